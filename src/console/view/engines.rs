//! What other backup engines keep, in words. What they say of themselves is their word, and no proof.

use super::{Sight, fact, fact_line, kept};
use crate::{
    base::{text::Text, units::bytes},
    console::{
        theme::Meaning,
        widget::{Fact, Line, Tone, marked, piece},
    },
    watch::snapshot::{BackupState, EngineHistory, KeptBackup, Known},
};

/// How an engine's history is meant, and its newest backup, or what is wrong, in words.
pub fn state(history: &EngineHistory) -> (Tone, Line) {
    let name = &history.name;
    if let Some(complaint) = history.complaints.first() {
        return (Tone::BAD, vec![piece(format!("{name}: {complaint}"), Meaning::Critical)]);
    }
    let Some(newest) = history.newest() else {
        return (Tone::STOP, vec![piece(format!("NONE by {name}"), Meaning::Critical)]);
    };
    let size = newest.size.map_or_else(String::new, |size| format!(" {}", bytes(size)));
    let mut line = vec![piece(format!("{name} {}{size}", newest.method), Meaning::Text)];
    if failed_since(history) {
        line.push(piece(", the last one FAILED", Meaning::Warning));
        return (Tone::WARN, line);
    }
    line.push(piece(" by its word", Meaning::Muted));
    (Tone::RUNS, line)
}

/// True when the newest attempt that is over came to nothing.
fn failed_since(history: &EngineHistory) -> bool {
    let ended = history.backups.iter().find(|backup| backup.state != BackupState::Unfinished);
    ended.is_some_and(|last| !last.is_whole())
}

/// Everything known of an engine.
pub fn detail(sight: &Sight<'_>, name: &Text, told: &Known<EngineHistory>) -> (String, Vec<Fact>) {
    let title = format!("Backups of {name}");
    let history = match told {
        Known::Is(history) => history,
        unseen => return (title, vec![fact_line("state", sight.known(unseen, |_| String::new()))]),
    };
    let (tone, _) = state(history);
    let whole = history.backups.iter().filter(|backup| backup.is_whole());
    let word = match (history.complaints.len(), history.newest()) {
        (0, Some(_)) if failed_since(history) => "its last attempt failed",
        (0, Some(_)) => "nothing is wrong, by its word",
        (0, None) => "it keeps no whole backup",
        _ => "it complains",
    };
    let mut facts = vec![fact_line("state", vec![marked(sight.glyphs, tone, word)])];
    if let Some(newest) = history.newest() {
        let words = format!("{} {}, {} ago", newest.method, newest.id, kept::when(sight, newest));
        facts.push(fact("newest", words));
    }
    facts.push(fact("backups", format!("{} whole of {}", whole.count(), history.backups.len())));
    facts.extend(history.complaints.iter().map(|complaint| fact("wrong", complaint.to_string())));
    facts.push(fact("meaning", MEANING));
    (title, facts)
}

/// Everything known of a backup that an engine keeps.
pub fn backup_detail(sight: &Sight<'_>, engine: &Text, backup: &KeptBackup) -> (String, Vec<Fact>) {
    let (title, mut facts) = kept::detail(sight, backup);
    facts.retain(|fact| fact.label != "meaning");
    facts.insert(1, fact("kept by", engine.to_string()));
    facts.push(fact("meaning", MEANING));
    (title, facts)
}

const MEANING: &str = "What the engine says of itself: howdah has proven nothing of it. `howdah engine verify` has it look, \
     `howdah engine restore` brings a backup back.";
