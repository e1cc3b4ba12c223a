//! What the sources say, and which of them wins: the connection string, then the service file, then the
//! variables of the environment.

use std::collections::BTreeMap;

use super::{
    environment::Environment,
    error::ConninfoError,
    options::{self, Treatment},
    service,
    settings::Origin,
};
use crate::base::text::Text;

/// What has been said so far: the strongest source of each keyword.
#[derive(Default)]
pub(super) struct Values(BTreeMap<&'static str, (String, Origin)>);

impl Values {
    /// Takes a pair of the connection string; of two, the later one counts.
    pub(super) fn give(&mut self, keyword: &str, value: String) -> Result<(), ConninfoError> {
        // From before there was sslmode; libpq still translates it.
        let (keyword, value) = match keyword {
            "requiressl" if value.starts_with('1') => ("sslmode", "require".to_owned()),
            "requiressl" => ("sslmode", "prefer".to_owned()),
            _ => (keyword, value),
        };
        let known = options::find(keyword).ok_or_else(|| ConninfoError::UnknownKeyword {
            given: Text::foreign(keyword),
            nearest: options::nearest(keyword),
        })?;
        self.0.insert(known.name, (value, Origin::String));
        Ok(())
    }

    /// Fills the gaps: first from the service, then from the variables.
    pub(super) fn complete(&mut self, environment: &Environment) -> Result<(), ConninfoError> {
        let service = self.get("service").or_else(|| environment.get("PGSERVICE"));
        if let Some(name) = service.map(str::to_owned) {
            let (file, settings) = service::load(&name, environment)?;
            for (keyword, value) in settings {
                self.0.entry(keyword).or_insert_with(|| (value, Origin::Service(file.clone())));
            }
        }
        for keyword in options::keywords() {
            let Some(variable) = keyword.variable else { continue };
            if let Some(value) = environment.get(variable) {
                self.0
                    .entry(keyword.name)
                    .or_insert_with(|| (value.to_owned(), Origin::Variable(variable)));
            }
        }
        if environment.get("PGREQUIRESSL").is_some_and(|value| value.starts_with('1')) {
            self.0
                .entry("sslmode")
                .or_insert_with(|| ("require".to_owned(), Origin::Variable("PGREQUIRESSL")));
        }
        Ok(())
    }

    pub(super) fn get(&self, keyword: &str) -> Option<&str> {
        self.0.get(keyword).map(|(value, _)| value.as_str())
    }

    /// The value and who gave it.
    pub(super) fn source(&self, keyword: &str) -> Option<&(String, Origin)> {
        self.0.get(keyword)
    }

    /// The value, unless it is empty.
    pub(super) fn filled(&self, keyword: &str) -> Option<&str> {
        self.get(keyword).filter(|value| !value.is_empty())
    }

    pub(super) fn owned(&self, keyword: &str) -> Option<String> {
        self.filled(keyword).map(str::to_owned)
    }

    pub(super) fn bad(&self, keyword: &'static str, expected: &'static str) -> ConninfoError {
        let (value, origin) =
            self.0.get(keyword).cloned().unwrap_or((String::new(), Origin::Default));
        ConninfoError::BadValue { keyword, value: Text::foreign(&value), origin, expected }
    }

    pub(super) fn refused(&self, keyword: &'static str, reason: &'static str) -> ConninfoError {
        let (value, origin) =
            self.0.get(keyword).cloned().unwrap_or((String::new(), Origin::Default));
        // Of the refused keywords, these hold secrets.
        let secret = matches!(
            keyword,
            "sslpassword" | "oauth_client_secret" | "scram_client_key" | "scram_server_key"
        );
        let value = if secret { Text::ours("...") } else { Text::foreign(&value) };
        ConninfoError::Refused { keyword, value, origin, reason }
    }

    /// One of a few words.
    pub(super) fn choose<T>(
        &self,
        keyword: &'static str,
        default: T,
        expected: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<T, ConninfoError> {
        self.get(keyword)
            .map_or(Ok(default), |word| read(word).ok_or_else(|| self.bad(keyword, expected)))
    }

    /// A whole number, by the rules of libpq: white space around it is allowed, nothing else.
    pub(super) fn number(&self, keyword: &'static str) -> Result<Option<i32>, ConninfoError> {
        let Some(value) = self.get(keyword) else { return Ok(None) };
        let number = value.trim().parse().map_err(|_| self.bad(keyword, "a whole number"))?;
        Ok(Some(number))
    }

    /// Refuses what we do not honour.
    pub(super) fn check_treatment(&self) -> Result<(), ConninfoError> {
        for keyword in options::keywords() {
            let Some(value) = self.get(keyword.name) else { continue };
            match keyword.treatment {
                Treatment::Only(allowed, reason) if !allowed.contains(&value) => {
                    return Err(self.refused(keyword.name, reason));
                }
                Treatment::Refused(reason) if !value.is_empty() => {
                    return Err(self.refused(keyword.name, reason));
                }
                _ => {}
            }
        }
        // The server sends text to us in this encoding; another one would have to be decoded.
        let encoding: String = self
            .get("client_encoding")
            .unwrap_or_default()
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|c| c.to_ascii_lowercase())
            .collect();
        if !matches!(encoding.as_str(), "" | "auto" | "utf8" | "unicode") {
            return Err(self.refused("client_encoding", "the session always speaks UTF8"));
        }
        Ok(())
    }
}
