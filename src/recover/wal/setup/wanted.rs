//! Which settings should be otherwise, and what that means.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Wish, survey::Setting};
use crate::{
    base::text::Text,
    recover::{
        Kind,
        repository::checkup::{Finding, Verdict},
    },
};

/// A setting that would be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Its name.
    pub name: String,
    /// What is in force.
    pub from: Text,
    /// What would be.
    pub to: String,
    /// What `ALTER SYSTEM` had written before; none when it had not.
    pub written: Option<String>,
    /// Where the value in force comes from.
    pub origin: Text,
    /// Only a restart brings it into force; else a reload.
    pub restart: bool,
}

/// What should be otherwise, and what is as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// These would be written.
    pub changes: Vec<Change>,
    /// These stay.
    pub kept: Vec<Setting>,
}

/// Compares the values that the next start would have with those that archiving needs.
pub fn wanted(settings: &[Setting], next: &BTreeMap<String, String>, wish: &Wish) -> Wanted {
    let mut wanted = Wanted::default();
    for setting in settings {
        let value = next.get(&setting.name).map_or(setting.now.as_str(), String::as_str);
        match other(&setting.name, value, wish) {
            None => wanted.kept.push(setting.clone()),
            Some(to) => wanted.changes.push(Change {
                name: setting.name.clone(),
                from: value.into(),
                to,
                written: setting.written.clone(),
                origin: setting.origin().into(),
                restart: setting.restart,
            }),
        }
    }
    wanted
}

/// What a setting should be instead; none when it does.
fn other(name: &str, value: &str, wish: &Wish) -> Option<String> {
    let to = match name {
        "wal_level" if value == "minimal" => "replica".to_owned(),
        "archive_mode" if value == "off" => "on".to_owned(),
        "archive_command" => wish.archiver.archive_command(),
        // It would archive in place of the command, or make the archiver refuse both.
        "archive_library" => String::new(),
        "archive_timeout" => {
            let (now, most) = (value.parse().unwrap_or(0_u64), wish.timeout.as_secs());
            if (1..=most).contains(&now) { value.to_owned() } else { most.to_string() }
        }
        _ => return None,
    };
    (to != value).then_some(to)
}

/// What has to be known before they are written.
pub fn findings(changes: &[Change], settings: &[Setting]) -> Vec<Finding> {
    let mut found = Vec::new();
    for change in changes {
        let setting = settings.iter().find(|setting| setting.name == change.name);
        if setting.is_some_and(Setting::is_fixed) {
            let detail = format!(
                "{} comes from the {}: what is written does not count until that is taken away",
                change.name, change.origin
            );
            found.push(Finding::bad("settings", Kind::Refused, detail));
        }
        let replaces = matches!(change.name.as_str(), "archive_command" | "archive_library");
        if replaces && !change.from.is_empty() {
            let detail =
                format!("{} is '{}' now: that archive ends here", change.name, change.from);
            found.push(Finding::new("settings", Verdict::Warning, detail));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::recover::wal::setup::archiver::Archiver;

    fn wish() -> Wish {
        let archiver = Archiver::new("/usr/bin/howdah".into(), None, "/b", "prod");
        let timeout = Wish::timeout_for(Duration::from_mins(15));
        Wish { archiver: archiver.expect("a command"), timeout }
    }

    fn changes(values: &[(&str, &str)]) -> Vec<(String, String)> {
        let setting = |(name, value): &(&str, &str)| Setting {
            name: (*name).into(),
            now: (*value).into(),
            source: "default".into(),
            place: None,
            written: None,
            restart: false,
            pending_restart: false,
        };
        let settings: Vec<Setting> = values.iter().map(setting).collect();
        let wanted = wanted(&settings, &BTreeMap::new(), &wish());
        assert_eq!(wanted.changes.len() + wanted.kept.len(), values.len());
        wanted.changes.into_iter().map(|change| (change.name, change.to)).collect()
    }

    #[test]
    fn only_what_archiving_needs_is_changed() {
        let command = wish().archiver.archive_command();
        let good = [
            ("wal_level", "logical"),
            ("archive_mode", "always"),
            ("archive_command", command.as_str()),
            ("archive_library", ""),
            ("archive_timeout", "60"),
        ];
        assert_eq!(changes(&good), []);
        let new = [
            ("wal_level", "minimal"),
            ("archive_mode", "off"),
            ("archive_command", ""),
            ("archive_library", "basic_archive"),
            ("archive_timeout", "0"),
        ];
        let expected = [
            ("wal_level", "replica"),
            ("archive_mode", "on"),
            ("archive_command", &command),
            ("archive_library", ""),
            ("archive_timeout", "450"),
        ];
        assert_eq!(changes(&new), expected.map(|(name, to)| (name.to_owned(), to.to_owned())));
        assert_eq!(changes(&[("archive_timeout", "3600")])[0].1, "450");
    }
}
