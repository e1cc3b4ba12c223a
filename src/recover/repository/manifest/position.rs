//! Numbers in a manifest: log positions as PostgreSQL writes them, and what does not fit into a double.

/// A log position as PostgreSQL writes it: `16/B374D848`.
pub fn lsn(position: u64) -> String {
    format!("{:X}/{:X}", position >> 32, position & 0xFFFF_FFFF)
}

/// Reads a log position.
pub fn parse_lsn(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    let part = |digits: &str| u32::from_str_radix(digits, 16).ok().map(u64::from);
    Some(part(high)? << 32 | part(low)?)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
pub(in crate::recover) mod as_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(in crate::recover) fn serialize<S: Serializer>(
        number: &u64,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        s.serialize_str(&number.to_string())
    }

    pub(in crate::recover) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<u64, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
pub(super) mod lsn_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(in super::super) fn serialize<S: Serializer>(
        position: &u64,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        s.serialize_str(&super::lsn(*position))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
        let text = String::deserialize(d)?;
        super::parse_lsn(&text)
            .ok_or_else(|| D::Error::custom(format!("'{text}' is no log position")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_written_as_postgresql_does() {
        assert_eq!(lsn(0x16_B374_D848), "16/B374D848");
        assert_eq!(parse_lsn("16/B374D848"), Some(0x16_B374_D848));
        assert_eq!(parse_lsn("16"), None);
    }
}
