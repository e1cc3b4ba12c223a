//! The backups of a repository, in words.

use super::{Sight, fact, fact_line, short_age};
use crate::{
    base::{
        text::{Text, clean, width},
        units::{bytes, span},
    },
    console::{
        theme::Meaning,
        widget::{Fact, Line, Tone, line_width, marked, piece},
    },
    watch::snapshot::{BackupState, KeptBackup, Known, Repository},
};

/// The level of proof from which on a backup was restored, and not only looked at.
const RESTORED: u8 = 4;
/// The level at which the backup itself is whole; the next one looks at its WAL.
const STRUCTURE: u8 = 2;

/// The method whose backups need no WAL.
const LOGICAL: &str = "logical";

/// How a backup is meant, and its state in a word or two.
pub fn state(backup: &KeptBackup) -> (Tone, String) {
    match &backup.state {
        _ if wal_is_broken(backup) => (Tone::BAD, "WAL BROKEN".to_owned()),
        BackupState::Complete { wrong: Some(_), .. } => (Tone::BAD, "DAMAGED".to_owned()),
        BackupState::Complete { level: Some(level), .. } if *level >= RESTORED => {
            (Tone::GOOD, format!("proven L{level}"))
        }
        BackupState::Complete { level: Some(level), .. } => {
            (Tone::RUNS, format!("checked L{level}"))
        }
        BackupState::Complete { level: None, .. } => (Tone::WAIT, "unproven".to_owned()),
        BackupState::Failed { cancelled: true, .. } => (Tone::WAIT, "cancelled".to_owned()),
        BackupState::Failed { .. } => (Tone::BAD, "FAILED".to_owned()),
        BackupState::Unfinished => (Tone::WARN, "unfinished".to_owned()),
        BackupState::Damaged { .. } => (Tone::BAD, "UNREADABLE".to_owned()),
    }
}

/// True when the backup itself was found whole, and the WAL that leads on from it was not.
fn wal_is_broken(backup: &KeptBackup) -> bool {
    matches!(backup.state, BackupState::Complete { level: Some(STRUCTURE), wrong: Some(_) })
}

/// Why it is in that state, where there is more to say.
pub fn reason(backup: &KeptBackup) -> Option<&Text> {
    match &backup.state {
        BackupState::Complete { wrong, .. } => wrong.as_ref(),
        BackupState::Failed { why, .. } | BackupState::Damaged { why } => Some(why),
        BackupState::Unfinished => None,
    }
}

/// Kind, size and state, or the reason of a failure; how long it took where there is room for it.
pub fn words(backup: &KeptBackup, room: usize) -> Line {
    let (tone, word) = state(backup);
    let mut line = vec![piece(format!("{} ", backup.method), Meaning::Text)];
    if let Some(why) = reason(backup) {
        line.push(piece(word, tone.meaning));
        line.push(piece(format!(": {why}"), Meaning::Text));
        return line;
    }
    // How it is matters more than how large.
    let size = backup.size.map(|size| format!("{} ", bytes(size)));
    let fits = |size: &String| line_width(&line) + size.len() + width(&word) <= room;
    if let Some(size) = size.filter(fits) {
        line.push(piece(size, Meaning::Text));
    }
    line.push(piece(word, tone.meaning));
    let took = backup.duration.map(|took| format!(" in {}", span(took)));
    if let Some(took) = took.filter(|took| line_width(&line) + took.len() <= room) {
        line.push(piece(took, Meaning::Muted));
    }
    line
}

/// How long ago it began.
pub fn when(sight: &Sight<'_>, backup: &KeptBackup) -> String {
    short_age(sight.ago(backup.began))
}

/// Everything known of one backup.
pub fn detail(sight: &Sight<'_>, backup: &KeptBackup) -> (String, Vec<Fact>) {
    let (tone, word) = state(backup);
    let unknown = || sight.glyphs.unknown().to_owned();
    let mut facts = vec![
        fact_line("state", vec![marked(sight.glyphs, tone, &word)]),
        fact("kind", backup.method.to_string()),
        fact("began", format!("{}, {} ago", sight.moment(backup.began), when(sight, backup))),
        fact("took", backup.duration.map_or_else(unknown, span)),
        fact("size", backup.size.map_or_else(unknown, bytes)),
    ];
    if let Some(at) = backup.verified {
        facts.push(fact("verified", format!("{} ago", short_age(sight.ago(at)))));
    }
    if let Some(why) = reason(backup) {
        facts.push(fact("why", why.to_string()));
    }
    let meaning = match &backup.state {
        BackupState::Complete { level: Some(level), wrong: None } => {
            meaning_of(*level, &backup.method)
        }
        BackupState::Complete { level: None, wrong: None } => {
            "It was written whole; nobody has looked at it since. `howdah verify` does."
        }
        _ if wal_is_broken(backup) => {
            "It is whole, and brings back its own end; what came later ends where its WAL breaks off. \
             A new physical backup begins anew."
        }
        BackupState::Complete { wrong: Some(_), .. } => {
            "The last verification found it damaged: do not count on it."
        }
        BackupState::Failed { .. } => "There is no backup of this attempt: it never counts.",
        BackupState::Unfinished => {
            "It runs now, or was killed: there is no backup until its manifest is written."
        }
        BackupState::Damaged { .. } => "Its manifest cannot be read: what it holds is not known.",
    };
    facts.push(fact("meaning", meaning));
    (format!("Backup {}", clean(&backup.id)), facts)
}

/// What a level of proof says.
fn meaning_of(level: u8, method: &str) -> &'static str {
    match level {
        3 if method == LOGICAL => {
            "Its structure is sound: every member was read. A dump needs no WAL."
        }
        1 => "Its files are those that were written: sizes and hashes.",
        2 => "Its files are whole and their structure is sound: every member was read.",
        3 => "Its structure is sound, and the WAL that it needs is there without a gap.",
        4 => "It was restored, and a server came up on it.",
        _ => "It was restored; tables, indexes and counts were as they had been.",
    }
}

/// What is known of the repository itself.
pub fn repository(sight: &Sight<'_>, repository: &Repository) -> Vec<Fact> {
    let many = repository.backups.len();
    let whole =
        repository.backups.iter().filter(|b| matches!(b.state, BackupState::Complete { .. }));
    let size: u64 = repository.backups.iter().filter_map(|backup| backup.size).sum();
    let wal = match &repository.wal {
        Known::Is(wal) => format!(
            "timeline {} up to {:X}/{:X}, its last segment came {} ago",
            wal.timeline,
            wal.end >> 32,
            wal.end & 0xFFFF_FFFF,
            short_age(sight.ago(wal.at))
        ),
        Known::Unknown(why) | Known::Blind(why) => format!("{} {why}", sight.glyphs.unknown()),
    };
    vec![
        fact("where", repository.location.to_string()),
        fact("backups", format!("{} whole of {many}, {}", whole.count(), bytes(size))),
        fact("WAL", wal),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;

    #[test]
    fn a_dump_is_not_said_to_need_wal() {
        assert!(!meaning_of(3, LOGICAL).contains("the WAL that it needs"));
        assert!(meaning_of(3, "physical").contains("the WAL that it needs"));
    }

    /// How a backup is stands there whole; its size gives way.
    #[test]
    fn the_state_of_a_backup_goes_before_its_size() {
        let backup = KeptBackup {
            id: "a".into(),
            method: LOGICAL.into(),
            began: Clock::test().wall(),
            duration: None,
            size: Some(92_774),
            verified: None,
            state: BackupState::Complete { level: Some(3), wrong: None },
        };
        let told = |room| words(&backup, room).into_iter().map(|p| p.text).collect::<String>();
        assert_eq!(told(40), "logical 90.6 kB checked L3");
        assert_eq!(told(25), "logical checked L3");
    }
}
