//! Encryption with age: public keys seal, identities open. Who only seals, such as the host that takes the
//! backups, never needs an identity.
//!
//! The format is that of <https://age-encryption.org/v1>: `age --decrypt` opens what is sealed here.

use std::{
    fmt, fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use age::{
    DecryptError, Decryptor, Encryptor,
    stream::{StreamReader, StreamWriter},
    x25519,
};

use super::key::Key;
use crate::{
    base::text::Text,
    recover::{Fault, Kind, Result, repository::sealed},
};

/// What every private key of age begins with.
const PRIVATE: &str = "AGE-SECRET-KEY-";

/// Those for whom everything new is sealed; empty for no encryption.
#[derive(Clone, Debug, Default)]
pub struct Recipients(Vec<x25519::Recipient>);

impl Recipients {
    /// Reads public keys as `age-keygen` prints them: `age1…`. The same one twice counts once.
    ///
    /// # Errors
    /// [`Kind::Config`] names the word that is none; a private key is refused without being repeated.
    pub fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut recipients: Vec<x25519::Recipient> = Vec::new();
        for word in words.into_iter().map(str::trim) {
            if word.to_uppercase().starts_with(PRIVATE) {
                let what = "recover.recipients holds a private key";
                return Err(Fault::new(Kind::Config, what).remedy(
                    "put its public key there (`age-keygen -y FILE` prints it), and the private key into the \
                     file that recover.identity names",
                ));
            }
            let recipient: x25519::Recipient = word.parse().map_err(|why| {
                Fault::new(Kind::Config, format!("'{word}' is no public key of age: {why}"))
                    .remedy("recover.recipients takes keys like age1…, as `age-keygen` prints them")
            })?;
            if !recipients.contains(&recipient) {
                recipients.push(recipient);
            }
        }
        Ok(Self(recipients))
    }

    /// True when nothing is encrypted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The public keys.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }

    /// Encrypts what is written, for every one of them. There must be one.
    pub(super) fn encrypt<W: Write>(&self, key: &Key, output: W) -> Result<StreamWriter<W>> {
        let each = self.0.iter().map(|recipient| recipient as &dyn age::Recipient);
        Encryptor::with_recipients(each)
            .map_err(|error| Fault::new(Kind::Failed, format!("cannot encrypt '{key}': {error}")))?
            .wrap_output(output)
            .map_err(Fault::io(format!("cannot write '{key}'")))
    }
}

/// The identities that open what was sealed for them: the private keys of one file, which is read when the
/// first of them is needed.
#[derive(Clone, Default)]
pub struct Keys(Option<Arc<Source>>);

struct Source {
    path: PathBuf,
    identities: OnceLock<Result<Vec<x25519::Identity>>>,
}

impl Keys {
    /// The identities of a file as `age-keygen` writes it: one `AGE-SECRET-KEY-1…` a line, and comments.
    pub fn of_file(path: impl Into<PathBuf>) -> Self {
        Self(Some(Arc::new(Source { path: path.into(), identities: OnceLock::new() })))
    }

    /// The public keys that belong to them.
    ///
    /// # Errors
    /// [`Kind::Config`] when the file cannot be read, is readable for others, or holds no identity.
    pub fn names(&self) -> Result<Vec<String>> {
        Ok(self.identities()?.iter().map(|identity| identity.to_public().to_string()).collect())
    }

    fn identities(&self) -> Result<&[x25519::Identity]> {
        let Some(source) = &self.0 else { return Ok(&[]) };
        match source.identities.get_or_init(|| read_identities(&source.path)) {
            Ok(identities) => Ok(identities),
            Err(fault) => Err(fault.clone()),
        }
    }

    /// Begins to decrypt.
    pub(super) fn decrypt<R: Read>(
        &self,
        key: &Key,
        recipients: &[String],
        input: R,
    ) -> Result<Outcome<R>> {
        let damaged = |why: &dyn fmt::Display| {
            Fault::new(Kind::Damaged, format!("'{key}' cannot be decrypted: {why}"))
        };
        let identities = self.identities()?;
        let each = identities.iter().map(|identity| identity as &dyn age::Identity);
        let opened = Decryptor::new_buffered(BufReader::with_capacity(1 << 16, input))
            .and_then(|decryptor| decryptor.decrypt(each));
        match opened {
            Ok(reader) => Ok(Outcome::Opened(reader)),
            Err(DecryptError::NoMatchingKeys)
                if self.names()?.iter().any(|name| recipients.contains(name)) =>
            {
                Err(damaged(&"it is not sealed for whom it should be"))
            }
            Err(DecryptError::NoMatchingKeys) => Ok(Outcome::NoKey(self.why_not(recipients)?)),
            Err(DecryptError::Io(error)) => Err(sealed::unreadable(key, &error)),
            Err(error) => Err(damaged(&error)),
        }
    }

    /// Why these keys do not open it.
    fn why_not(&self, recipients: &[String]) -> Result<Text> {
        let sealed = format!("sealed for {}", recipients.join(", "));
        Ok(match &self.0 {
            None => format!("{sealed}; no identity given"),
            Some(source) => format!(
                "{sealed}; '{}' holds the identity of {}",
                source.path.display(),
                self.names()?.join(", ")
            ),
        }
        .into())
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({:?})", self.0.as_ref().map(|source| &source.path))
    }
}

/// What came of trying to decrypt.
pub(super) enum Outcome<R> {
    /// It can be read.
    Opened(StreamReader<BufReader<R>>),
    /// It is sealed for others.
    NoKey(Text),
}

fn read_identities(path: &Path) -> Result<Vec<x25519::Identity>> {
    let shown = path.display();
    let wrong = |why: &str| Fault::new(Kind::Config, format!("the identity '{shown}' {why}"));
    let cannot = |error: std::io::Error| {
        wrong(&format!("cannot be read: {error}")).remedy("recover.identity names the file")
    };
    let file = fs::File::open(path).map_err(cannot)?;
    let mode = file.metadata().map_err(cannot)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(wrong("can be read by others").remedy(format!("chmod 600 '{shown}'")));
    }
    let mut identities = Vec::new();
    for line in BufReader::new(file).lines() {
        let line = line.map_err(cannot)?;
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // The line itself is never repeated: it may be a private key with a slip in it.
        let identity = line.parse().map_err(|_| {
            wrong("holds something else than private keys of age").remedy(
                "each line is AGE-SECRET-KEY-1…, as `age-keygen` writes it, or begins with '#'; SSH keys and \
                 files with a passphrase are not taken",
            )
        })?;
        identities.push(identity);
    }
    if identities.is_empty() {
        return Err(wrong("holds no private key").remedy("`age-keygen -o FILE` makes one"));
    }
    Ok(identities)
}

#[cfg(test)]
mod tests {
    use age::secrecy::ExposeSecret as _;

    use super::*;

    fn file_of(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().join("identity");
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its mode");
        (home, path)
    }

    #[test]
    fn an_identity_that_others_can_read_or_that_is_none_is_refused_and_never_repeated() {
        let identity = x25519::Identity::generate();
        let secret = identity.to_string().expose_secret().to_owned();
        for (text, mode, word) in [
            (secret.as_str(), 0o640, "chmod 600"),
            ("# nothing here\n\n", 0o600, "no private key"),
            (&secret[..40], 0o600, "something else"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\n", 0o600, "SSH keys"),
        ] {
            let (_home, path) = file_of(text, mode);
            let fault = Keys::of_file(&path).names().expect_err(word);
            assert_eq!(fault.kind, Kind::Config);
            assert!(fault.to_string().contains(word), "{fault}");
            assert!(!fault.to_string().contains(&secret[..20]), "{fault}");
        }
        let (_home, path) = file_of(&format!("# created: today\n{secret}\n"), 0o600);
        let names = Keys::of_file(&path).names().expect("an identity");
        assert_eq!(names, [identity.to_public().to_string()]);
        assert!(Keys::of_file("/nonexistent").names().is_err());
    }

    #[test]
    fn recipients_are_public_keys_and_nothing_else() {
        let identity = x25519::Identity::generate();
        let (public, secret) = (identity.to_public().to_string(), identity.to_string());
        let twice = Recipients::parse([public.as_str(), &format!(" {public}")]).expect("a key");
        assert_eq!(twice.names(), [public]);
        assert!(Recipients::parse([]).expect("none").is_empty());
        for (word, said) in [
            ("age1nonsense", "'age1nonsense' is no public key"),
            ("ssh-ed25519 AAAA", "is no public key"),
            (secret.expose_secret(), "holds a private key"),
        ] {
            let fault = Recipients::parse([word]).expect_err(said);
            assert_eq!(fault.kind, Kind::Config);
            assert!(fault.to_string().contains(said), "{fault}");
            assert!(!fault.to_string().contains(secret.expose_secret()), "{fault}");
        }
    }
}
