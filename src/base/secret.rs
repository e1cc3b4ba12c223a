//! Values that must never be seen: passwords, keys, tokens.

use std::{borrow::Cow, fmt, fs, path::Path};

use serde::{Deserialize, Serialize, Serializer};

use super::paths::others_may_enter;

/// A value that shows itself only to who asks with [`Secret::expose`]; printing, logging and
/// serializing write `********`.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

/// What stands in place of a secret.
pub const REDACTED: &str = "********";

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one call that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The secret that stands alone in a file, of which the rule of libpq's passfile holds: nobody else may
    /// read it.
    ///
    /// # Errors
    /// Says what is wrong with the file.
    pub fn of_file(file: &Path) -> Result<Self, String> {
        let metadata = fs::metadata(file).map_err(|error| error.to_string())?;
        if others_may_enter(&metadata) {
            return Err("others may read it; chmod 0600 it".to_owned());
        }
        let text = Self::new(fs::read_to_string(file).map_err(|error| error.to_string())?);
        match text.expose().trim() {
            "" => Err("it is empty".to_owned()),
            secret => Ok(Self::new(secret)),
        }
    }

    /// Compares without telling by its duration how much was right.
    pub fn is_same_as(&self, given: &[u8]) -> bool {
        let own = self.0.as_bytes();
        own.len() == given.len() && own.iter().zip(given).fold(0, |d, (a, b)| d | (a ^ b)) == 0
    }

    /// True when there is nothing to hide.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

/// Words before a `=` or `:` whose value is a secret, in connection strings and option files.
const NAMES: [&str; 5] = ["password", "passphrase", "secret_access_key", "secret_key", "token"];

/// Masks what looks like a secret inside any text: the password of a URL (`scheme://user:password@host`)
/// and the value behind `password=` and its like. A net below the rule that secrets are carried as
/// [`Secret`]: it knows usual forms only.
pub fn mask(text: &str) -> Cow<'_, str> {
    let mut out = Cow::Borrowed(text);
    let mut from = 0;
    while let Some(range) = next_secret(&out, from) {
        from = range.start + REDACTED.len();
        out.to_mut().replace_range(range, REDACTED);
    }
    out
}

/// The first secret at or behind `from`, if any.
fn next_secret(text: &str, from: usize) -> Option<std::ops::Range<usize>> {
    let rest = text.get(from..)?;
    let in_url = rest.match_indices("://").find_map(|(at, found)| {
        let begin = at + found.len();
        let authority = rest.get(begin..)?;
        let authority = authority.split(['/', '?', ' ', '"', '\'']).next()?;
        let (user, _) = authority.rsplit_once('@')?;
        let (name, password) = user.split_once(':')?;
        let begin = begin + name.len() + 1;
        (!password.is_empty() && password != REDACTED).then_some(begin..begin + password.len())
    });
    let lower = rest.to_ascii_lowercase();
    let by_name = NAMES.iter().filter_map(|name| {
        lower.match_indices(name).find_map(|(at, found)| value_range(rest, at + found.len()))
    });
    let range = by_name.chain(in_url).min_by_key(|range| range.start)?;
    Some(range.start + from..range.end + from)
}

/// The value behind the name that ends at `at`: `=value`, `='va lue'`, `= value`.
fn value_range(text: &str, at: usize) -> Option<std::ops::Range<usize>> {
    let rest = text.get(at..)?;
    let equals = rest.trim_start().strip_prefix('=')?.trim_start();
    let begin = at + rest.len() - equals.len();
    let end = match equals.chars().next()? {
        quote @ ('\'' | '"') => equals.get(1..)?.find(quote).map_or(equals.len(), |end| end + 2),
        _ => equals.find([' ', '&', ';', ',', '"', '\'']).unwrap_or(equals.len()),
    };
    let value = equals.get(..end)?;
    (!value.is_empty() && value != REDACTED).then_some(begin..begin + end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_of_it_is_the_same() {
        let secret = Secret::new("abc");
        assert!(secret.is_same_as(b"abc"));
        for other in [&b"abd"[..], b"ab", b"abcd", b""] {
            assert!(!secret.is_same_as(other));
        }
    }

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new("hunter2");
        let printed =
            format!("{secret} {secret:?} {}", serde_json::to_string(&secret).expect("a string"));
        assert!(!printed.contains("hunter2"), "{printed}");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn a_secret_inside_a_text_is_masked_and_the_rest_is_kept() {
        for (text, masked) in [
            ("postgresql://me:hunter2@db/app", "postgresql://me:********@db/app"),
            ("host=db password=hunter2 user=me", "host=db password=******** user=me"),
            ("password = 'hun ter2' x", "password = ******** x"),
            ("a://u:hunter2@h b://u:hunter2@h", "a://u:********@h b://u:********@h"),
            ("?sslpassword=hunter2&x=1", "?sslpassword=********&x=1"),
            ("AWS_SECRET_ACCESS_KEY=hunter2", "AWS_SECRET_ACCESS_KEY=********"),
            ("password=a password=hunter2", "password=******** password=********"),
        ] {
            assert_eq!(mask(text), masked);
            assert_eq!(mask(masked), masked, "masking twice changes nothing");
        }
        for text in ["wrong password for user x", "postgresql://me@db:5432/app", "time 10:00@x", ""]
        {
            assert!(matches!(mask(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }
}
