//! What values look like.

use toml::Value;

use crate::base::units;

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// Text that may hold a password.
    Secret,
    /// A duration with its unit, such as `15m`.
    Span,
    /// `true` or `false`.
    Switch,
    /// One of some words.
    Choice(&'static [&'static str]),
    /// A list of texts.
    List,
    /// How many of a hundred: 1 to 100.
    Percent,
}

impl Kind {
    /// What is expected, for messages.
    pub fn expected(self) -> String {
        match self {
            Self::Text | Self::Secret => "text in quotes".to_owned(),
            Self::Span => {
                "a duration with its unit, such as '500ms', '10s', '15m', '1h30m'".to_owned()
            }
            Self::Switch => "true or false".to_owned(),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::Percent => "a number from 1 to 100".to_owned(),
            Self::List => "a list of texts, such as [\"q\", \"ctrl-q\"]".to_owned(),
        }
    }

    /// The words to choose from.
    pub fn choices(self) -> Option<String> {
        match self {
            Self::Choice(words) => Some(words.join(", ")),
            _ => None,
        }
    }

    /// A value as a variable or a flag gives it: always text.
    pub fn from_text(self, text: &str) -> Value {
        match (self, text) {
            (Self::Switch, "true" | "1" | "yes" | "on") => Value::Boolean(true),
            (Self::Switch, "false" | "0" | "no" | "off") => Value::Boolean(false),
            (Self::List, _) => Value::Array(
                text.split(',').map(|item| Value::String(item.trim().to_owned())).collect(),
            ),
            (Self::Percent, _) => match text.parse() {
                Ok(number) => Value::Integer(number),
                Err(_) => Value::String(text.to_owned()),
            },
            _ => Value::String(text.to_owned()),
        }
    }

    /// True when `value` can be used.
    pub fn accepts(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Text | Self::Secret, Value::String(_)) | (Self::Switch, Value::Boolean(_)) => {
                true
            }
            (Self::Span, Value::String(text)) => {
                units::parse_span(text).is_some_and(|span| !span.is_zero())
            }
            (Self::Choice(words), Value::String(text)) => words.contains(&text.as_str()),
            (Self::Percent, Value::Integer(number)) => (1..=100).contains(number),
            (Self::List, Value::Array(items)) => items.iter().all(Value::is_str),
            _ => false,
        }
    }
}
