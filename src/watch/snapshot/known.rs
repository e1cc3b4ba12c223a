//! A value, or why there is none.

use serde::Serialize;

use crate::base::text::Text;

/// A value, or the reason why there is none. Unknown is never zero.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "known", content = "value", rename_all = "lowercase")]
pub enum Known<T> {
    /// The value, as observed.
    Is(T),
    /// Not known, and why. Shown as `—`.
    Unknown(Text),
    /// Our role may not see it, and which grant is missing. Shown as `BLIND`.
    Blind(Text),
}

impl<T> Known<T> {
    /// The value, if there is one.
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Unknown(_) | Self::Blind(_) => None,
        }
    }

    /// Why there is no value.
    pub const fn reason(&self) -> Option<&Text> {
        match self {
            Self::Is(_) => None,
            Self::Unknown(why) | Self::Blind(why) => Some(why),
        }
    }

    /// The same knowledge about something made from the value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Known<U> {
        match self {
            Self::Is(value) => Known::Is(f(value)),
            Self::Unknown(why) => Known::Unknown(why),
            Self::Blind(why) => Known::Blind(why),
        }
    }
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self::Unknown(Text::ours("not asked yet"))
    }
}
