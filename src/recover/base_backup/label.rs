//! `backup_label` and `tablespace_map`: what recovery of a base backup begins with.

use crate::recover::{Fault, Kind, Result, repository::manifest::parse_lsn};

/// What `backup_label` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Recovery begins here.
    pub start: u64,
    /// On this timeline.
    pub timeline: u32,
    /// What the backup was called when it was taken.
    pub label: String,
}

impl Label {
    /// Reads it. Source of the lines: PostgreSQL's `build_backup_content`.
    ///
    /// # Errors
    /// [`Kind::Damaged`] when a line is missing or cannot be understood.
    pub fn parse(text: &str) -> Result<Self> {
        let field = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).ok_or_else(
                || Fault::new(Kind::Damaged, format!("backup_label has no line '{name}'")),
            )
        };
        let start = field("START WAL LOCATION")?;
        let timeline = field("START TIMELINE")?;
        let damaged = |what: &str| {
            Fault::new(Kind::Damaged, format!("backup_label: '{what}' is no place in WAL"))
        };
        Ok(Self {
            start: start
                .split_once(' ')
                .and_then(|(position, _)| parse_lsn(position))
                .ok_or_else(|| damaged(start))?,
            timeline: timeline.parse().map_err(|_| damaged(timeline))?,
            label: field("LABEL")?.to_owned(),
        })
    }
}

/// The lines of `tablespace_map`: number and place of each tablespace. PostgreSQL writes a backslash before
/// a backslash and before a line break (`do_pg_backup_start`).
pub fn tablespace_map(text: &str) -> Vec<(u32, String)> {
    let mut lines = vec![String::new()];
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, lines.last_mut()) {
            ('\\', Some(line)) => line.extend(letters.next()),
            ('\n', _) => lines.push(String::new()),
            (letter, Some(line)) => line.push(letter),
            // There is always a last line.
            (_, None) => {}
        }
    }
    let entry = |line: &String| {
        let (oid, place) = line.split_once(' ')?;
        Some((oid.parse().ok()?, place.to_owned()))
    };
    lines.iter().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_read() {
        let text = "START WAL LOCATION: 16/1B000028 (file 00000001000000160000001B)\n\
            CHECKPOINT LOCATION: 16/1B000060\nBACKUP METHOD: streamed\nBACKUP FROM: primary\n\
            START TIME: 2026-11-23 14:27:29 UTC\nLABEL: howdah x: y\nSTART TIMELINE: 12\n";
        let label = Label::parse(text).expect("a label");
        assert_eq!((label.start, label.timeline), (0x16_1B00_0028, 12));
        assert_eq!(label.label, "howdah x: y");
        for cut in ["START WAL LOCATION: 16/1B000028 (file x)\n", "START TIMELINE: 1\n", ""] {
            assert_eq!(Label::parse(cut).expect_err("cut").kind, Kind::Damaged);
        }
    }

    #[test]
    fn places_of_tablespaces_may_hold_anything() {
        let map = tablespace_map("16553 /ts one\n16554 /a\\\nb\\\\c\n");
        assert_eq!(map, [(16553, "/ts one".to_owned()), (16554, "/a\nb\\c".to_owned())]);
    }
}
