//! pgBackRest: `info --output=json`, `check`, and `verify --output=text --verbose`.
//!
//! `info` ends with 0 whatever it tells: its `status.code` is what counts. A backup that was taken although
//! pages had wrong checksums says `"error": true` beside a status of `ok`. `verify` of 2.45 ends with 0 on
//! damage, too, and prints nothing at all without these two options.

use serde::Deserialize;

use super::{
    Access, Backup, Engine, Extent, Fault, History, Kind, Report, Result, Span, State,
    access::{CHECK_LIMIT, LIST_LIMIT},
    chain, not_understood, read_json, seconds,
};
use crate::base::{cancel::Cancel, exec::Tool, text::Text};

const ENGINE: Engine = Engine::PgBackRest;

/// A command of pgBackRest for this stanza. Its messages go to standard error only, so that its answer stands
/// alone on standard output.
pub(super) fn tool(access: &Access, command: &str) -> Tool {
    access
        .tool("pgbackrest")
        .args(access.config_argument("--config="))
        .arg(format!("--stanza={}", access.name))
        .args(["--log-level-console=off", "--log-level-stderr=warn", "--no-log-timestamp"])
        .arg(command)
}

pub(super) fn history(access: &Access, cancel: &Cancel) -> Result<History> {
    let tool = tool(access, "info").arg("--output=json");
    let answer = access.ask(&tool, Some(LIST_LIMIT), cancel)?;
    match answer.refusal() {
        Some(refusal) => Err(refusal),
        None => parse_info(&answer.stdout, &access.name),
    }
}

pub(super) fn check(access: &Access, cancel: &Cancel) -> Result<Report> {
    let answer = access.ask(&tool(access, "check"), Some(CHECK_LIMIT), cancel)?;
    if answer.refusal().is_none() {
        let archived = "a segment of WAL was switched and arrived in the repository";
        let notes = answer.messages.into_iter().chain([Text::ours(archived)]).collect();
        return Ok(Report { findings: Vec::new(), notes });
    }
    let findings = match answer.messages.as_slice() {
        [] => vec![format!("it failed with exit code {} and said nothing", answer.code).into()],
        // A hint stands on the lines after its error.
        lines => {
            let lines: Vec<&str> = lines.iter().map(Text::as_str).collect();
            vec![Text::one_line(&lines.join(" "))]
        }
    };
    Ok(Report { findings, notes: Vec::new() })
}

pub(super) fn verify(access: &Access, cancel: &Cancel) -> Result<Report> {
    let text = tool(access, "verify").args(["--output=text", "--verbose"]);
    let answer = access.ask(&text, None, cancel)?;
    let said = String::from_utf8_lossy(&answer.stdout);
    // Later versions may end with another code on damage, and still tell of it.
    if said.trim().is_empty()
        && let Some(refusal) = answer.refusal()
    {
        return Err(refusal);
    }
    let mut report = parse_verify(&said)?;
    report.notes.extend(answer.messages);
    if report.findings.is_empty() {
        // What is missing between two segments is not among the things that it looks for.
        let listed = tool(access, "repo-ls").args(["--recurse", "--output=json"]);
        let listed = listed.arg(format!("archive/{}", access.name));
        let answer = access.ask(&listed, Some(LIST_LIMIT), cancel)?;
        if let Some(refusal) = answer.refusal() {
            return Err(refusal);
        }
        let history = history(access, cancel)?;
        chain::judge(&parse_listing(&answer.stdout)?, &history.backups, &mut report);
    }
    Ok(report)
}

#[derive(Deserialize)]
struct Stanza {
    name: String,
    backup: Vec<Listed>,
    db: Vec<Database>,
    status: Status,
    #[serde(default)]
    repo: Vec<Repo>,
}

#[derive(Deserialize)]
struct Database {
    id: u64,
    #[serde(rename = "repo-key")]
    repo_key: Option<u64>,
    #[serde(rename = "system-id")]
    system_id: u64,
}

#[derive(Deserialize)]
struct Repo {
    key: u64,
    status: Status,
}

#[derive(Deserialize)]
struct Status {
    code: u32,
    message: String,
    lock: Option<Locks>,
}

#[derive(Deserialize)]
struct Locks {
    backup: Option<Lock>,
}

#[derive(Deserialize)]
struct Lock {
    held: bool,
    /// Bytes to be copied and copied so far: since 2.48.
    size: Option<u64>,
    #[serde(rename = "size-cplt")]
    complete: Option<u64>,
}

#[derive(Deserialize)]
struct Listed {
    label: String,
    r#type: Type,
    timestamp: Ends<i64>,
    archive: Option<Ends<Option<String>>>,
    lsn: Option<Ends<Option<String>>>,
    info: Info,
    prior: Option<String>,
    /// Pages with a wrong checksum were met.
    error: Option<bool>,
    database: DatabaseOf,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Type {
    Full,
    Diff,
    Incr,
}

#[derive(Deserialize)]
struct Ends<T> {
    start: T,
    stop: T,
}

#[derive(Deserialize)]
struct Info {
    /// Bytes of the cluster.
    size: Option<u64>,
    repository: Option<Stored>,
}

#[derive(Deserialize)]
struct Stored {
    /// Bytes that this backup added.
    delta: Option<u64>,
}

#[derive(Deserialize)]
struct DatabaseOf {
    id: u64,
    #[serde(rename = "repo-key")]
    repo_key: Option<u64>,
}

/// Reads `info --output=json` of one stanza.
///
/// # Errors
/// [`Kind::Unavailable`] when the repository does not know the stanza, [`Kind::Damaged`] when it is not what
/// pgBackRest prints.
pub fn parse_info(text: &[u8], stanza: &str) -> Result<History> {
    let stanzas: Vec<Stanza> = read_json(ENGINE, "info", text)?;
    let Some(found) = stanzas.into_iter().find(|found| found.name == stanza) else {
        return Err(not_understood(ENGINE, "info", format!("it says nothing of '{stanza}'")));
    };
    let mut history = History::default();
    // The codes of its documented output: 2 is an empty repository, which is no fault of it.
    match found.status.code {
        0 | 2 => {}
        1 | 3 => {
            let what = format!("pgBackRest has no stanza '{stanza}': {}", found.status.message);
            return Err(Fault::new(Kind::Unavailable, what)
                .remedy("create it with `pgbackrest stanza-create`, or correct its name"));
        }
        code => {
            let said = format!("stanza '{stanza}': {} (code {code})", found.status.message);
            history.complaints.push(said.into());
        }
    }
    for repo in found.repo.iter().filter(|repo| !matches!(repo.status.code, 0 | 2)) {
        let said = format!("repository {}: {}", repo.key, repo.status.message);
        history.complaints.push(said.into());
    }
    if let Some(lock) = found.status.lock.and_then(|locks| locks.backup)
        && lock.held
    {
        let percent = lock.size.zip(lock.complete).and_then(|(size, complete)| {
            (size > 0).then(|| (complete as f64 / size as f64 * 100.0).min(100.0))
        });
        history.backups.push(Backup::named(ENGINE, "(running)", State::Running { percent }));
    }
    for listed in found.backup {
        history.backups.push(backup(listed, &found.db)?);
    }
    history.sort();
    Ok(history)
}

fn backup(listed: Listed, databases: &[Database]) -> Result<Backup> {
    let state = if listed.error == Some(true) {
        State::Failed {
            reason: Text::ours("pages with a wrong checksum were met while it was taken"),
        }
    } else {
        State::Whole
    };
    let of = &listed.database;
    let database = databases.iter().find(|db| db.id == of.id && db.repo_key == of.repo_key);
    Ok(Backup {
        extent: Some(match listed.r#type {
            Type::Full => Extent::Full,
            Type::Diff => Extent::Differential,
            Type::Incr => Extent::Incremental,
        }),
        began: Some(seconds(ENGINE, listed.timestamp.start)?),
        ended: Some(seconds(ENGINE, listed.timestamp.stop)?),
        stored: listed.info.repository.and_then(|stored| stored.delta),
        cluster: listed.info.size,
        wal: listed.archive.and_then(span),
        lsn: listed.lsn.and_then(span),
        system_identifier: database.map(|database| database.system_id),
        parent: listed.prior.map(Text::from),
        ..Backup::named(ENGINE, listed.label, state)
    })
}

fn span(ends: Ends<Option<String>>) -> Option<Span> {
    Some(Span { first: ends.start?.into(), last: ends.stop?.into() })
}

/// Reads `verify --output=text --verbose`. A backup or an archive that is not valid is a finding whatever the
/// status above it says.
///
/// # Errors
/// [`Kind::Damaged`] when there is no status in it: nothing was verified then.
pub fn parse_verify(text: &str) -> Result<Report> {
    let mut report = Report::default();
    let mut status = None;
    let mut item: Option<Item> = None;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let fields: Vec<(&str, &str)> = line
            .split(", ")
            .filter_map(|field| field.split_once(':'))
            .map(|(name, value)| (name.trim(), value.trim()))
            .collect();
        let get = |name| fields.iter().find(|field| field.0 == name).map(|field| field.1);
        match fields.first() {
            Some(("stanza", _)) => {}
            Some(("status", value)) => status = Some(Text::foreign(value)),
            Some(("archiveId", id)) => {
                report.close(item.take());
                let (all, valid) = (get("total WAL checked"), get("total valid WAL"));
                item = Some(Item::new(format!("WAL of {id}"), "valid", all, valid, "segments"));
            }
            Some(("backup", id)) => {
                report.close(item.take());
                let (all, valid) = (get("total files checked"), get("total valid files"));
                let status = get("status").unwrap_or("without a status");
                item = Some(Item::new(format!("backup {id}"), status, all, valid, "files"));
            }
            Some(("missing", _)) if item.is_some() => {
                let bad = fields.iter().filter(|field| field.1 != "0");
                let bad: Vec<String> = bad.map(|(name, n)| format!("{name}: {n}")).collect();
                if let Some(item) = &mut item {
                    item.bad = bad.join(", ");
                }
            }
            _ => report.findings.push(Text::one_line(line)),
        }
    }
    report.close(item);
    let Some(status) = status else {
        return Err(not_understood(ENGINE, "verify", "it tells no status"));
    };
    if &*status != "ok" && report.findings.is_empty() {
        report.findings.push(format!("status {status}, without a reason").into());
    }
    if report.findings.is_empty() && report.notes.is_empty() {
        report.findings.push(Text::ours("nothing was verified: neither a backup nor WAL"));
    }
    Ok(report)
}

/// A backup or an archive in the words of `verify`.
struct Item {
    what: String,
    status: Text,
    /// Checked and valid.
    counts: Option<(u64, u64)>,
    unit: &'static str,
    /// The counters that are not 0.
    bad: String,
}

impl Item {
    fn new(
        what: String,
        status: &str,
        all: Option<&str>,
        valid: Option<&str>,
        unit: &'static str,
    ) -> Self {
        let number = |text: Option<&str>| text.and_then(|text| text.parse().ok());
        let counts = number(all).zip(number(valid));
        Self { what, status: status.into(), counts, unit, bad: String::new() }
    }
}

impl Report {
    fn close(&mut self, item: Option<Item>) {
        let Some(Item { what, status, counts, unit, bad }) = item else { return };
        let counted = counts.map_or_else(
            || format!("no count of {unit}"),
            |(all, valid)| format!("{valid} of {all} {unit} as written"),
        );
        let sound = counts.is_some_and(|(all, valid)| all == valid) && bad.is_empty();
        let told = format!("{what}: {status}, {counted}");
        match &*status {
            "valid" if sound => self.notes.push(told.into()),
            // It is being taken right now: what is there so far is no backup yet.
            "in-progress" => self.notes.push(told.into()),
            _ if bad.is_empty() => self.findings.push(told.into()),
            _ => self.findings.push(format!("{told} ({bad})").into()),
        }
    }
}

/// The names of the segments in `repo-ls --recurse --output=json` of a stanza's archive.
fn parse_listing(text: &[u8]) -> Result<Vec<chain::Archived>> {
    let files: std::collections::BTreeMap<String, serde_json::Value> =
        read_json(ENGINE, "repo-ls", text)?;
    Ok(files.keys().filter_map(|path| chain::Archived::of(path)).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAIN: &str =
        include_str!("../../../tests/fixtures/engines/pgbackrest_info_main_245.json");
    const CORRUPT: &str =
        include_str!("../../../tests/fixtures/engines/pgbackrest_verify_corrupt_260.txt");
    const GAP: &str = include_str!("../../../tests/fixtures/engines/pgbackrest_verify_gap_260.txt");

    fn info(text: &str, stanza: &str) -> Result<History> {
        parse_info(text.as_bytes(), stanza)
    }

    #[test]
    fn the_history_of_a_stanza_is_read_whole() {
        let history = info(MAIN, "main").expect("read");
        assert_eq!(history.complaints, Vec::<Text>::new());
        let methods: Vec<Text> = history.backups.iter().map(Backup::method).collect();
        let words =
            ["incr", "diff", "full", "full", "full"].map(|word| format!("pgBackRest {word}"));
        assert_eq!(methods, words.map(Text::from));
        let newest = history.newest_whole().expect("whole");
        assert_eq!(&*newest.id, "20261123-135431F_20261123-135528I");
        assert_eq!(newest.parent.as_deref(), Some("20261123-135431F_20261123-135513D"));
        assert_eq!(newest.system_identifier, Some(7_711_355_626_891_892_035), "above 2^53");
        assert_eq!(newest.duration(), Some(std::time::Duration::from_secs(2)));
        assert_eq!((newest.stored, newest.cluster), (Some(15_329), Some(2_649_685_706)));
        assert_eq!(newest.wal.as_ref().map(|wal| &*wal.first), Some("0000000100000000000000D6"));
        assert_eq!(newest.lsn.as_ref().map(|lsn| &*lsn.last), Some("0/D6000100"));
    }

    #[test]
    fn page_errors_beside_a_status_of_ok_are_a_failed_backup() {
        let newest = MAIN.rfind("\"error\":false").expect("a backup");
        let text = format!("{}\"error\":true{}", &MAIN[..newest], &MAIN[newest + 13..]);
        let history = info(&text, "main").expect("read");
        assert!(matches!(history.backups[0].state, State::Failed { .. }));
        assert_eq!(
            history.newest_whole().expect("the one before").extent,
            Some(Extent::Differential)
        );
    }

    #[test]
    fn a_running_backup_tells_its_percent_where_the_version_does() {
        let running = |held: &str| {
            let history = info(&MAIN.replace("{\"held\":false}", held), "main").expect("read");
            history.backups[0].state.clone()
        };
        assert_eq!(running("{\"held\":true}"), State::Running { percent: None });
        assert_eq!(
            running("{\"held\":true,\"size\":400,\"size-cplt\":100}"),
            State::Running { percent: Some(25.0) }
        );
        assert_eq!(
            running("{\"held\":true,\"size\":0,\"size-cplt\":0}"),
            State::Running { percent: None }
        );
    }

    #[test]
    fn a_status_that_is_not_ok_is_never_an_empty_history() {
        let empty = include_str!("../../../tests/fixtures/engines/pgbackrest_info_no_backup.json");
        assert_eq!(info(empty, "fx").expect("empty"), History::default());
        let missing =
            include_str!("../../../tests/fixtures/engines/pgbackrest_info_missing_stanza.json");
        let fault = info(missing, "fx").expect_err("no stanza");
        assert_eq!(fault.kind, Kind::Unavailable);
        assert!(fault.to_string().contains("missing stanza path"), "{fault}");
        let other = MAIN.replace("\"code\":0,\"lock\"", "\"code\":99,\"lock\"");
        assert_eq!(info(&other, "main").expect("read").complaints.len(), 1);
        assert_eq!(info(MAIN, "other").expect_err("another stanza").kind, Kind::Damaged);
    }

    #[test]
    fn keys_may_be_added_but_not_missing() {
        let more = MAIN.replace("\"prior\":null", "\"prior\":null,\"annotation\":{\"x\":[1]}");
        assert_eq!(info(&more, "main").expect("read"), info(MAIN, "main").expect("read"));
        let fault = info(&MAIN.replace("\"label\"", "\"lable\""), "main").expect_err("no label");
        assert!(fault.to_string().contains("label"), "{fault}");
    }

    #[test]
    fn verification_is_read_for_what_it_says() {
        let report = parse_verify(CORRUPT).expect("read");
        assert_eq!(report.findings.len(), 1, "{report:?}");
        assert_eq!(
            &*report.findings[0],
            "WAL of 15-1: valid, 10 of 11 segments as written (other: 1)"
        );
        assert_eq!(report.notes.len(), 2);
        let sound = parse_verify(GAP).expect("read");
        assert!(sound.findings.is_empty() && sound.notes.len() == 3, "{sound:?}");
        // A status of its own that contradicts what stands below it, either way.
        let lying = CORRUPT.replace("status: error", "status: ok");
        assert_eq!(parse_verify(&lying).expect("read").findings, report.findings);
        let vague = GAP.replacen("status: ok", "status: error", 1);
        assert_eq!(parse_verify(&vague).expect("read").findings.len(), 1);
        let none = "stanza: nosuch\nstatus: error\n  No usable backup.info file\n";
        assert_eq!(&*parse_verify(none).expect("read").findings[0], "No usable backup.info file");
        assert_eq!(parse_verify("").expect_err("nothing").kind, Kind::Damaged);
        assert!(!parse_verify("status: ok\n").expect("read").findings.is_empty());
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_and_never_a_panic(
            at in 0..MAIN.len(), bytes in prop::collection::vec(any::<u8>(), 0..8), text in ".*",
        ) {
            let mut info = MAIN.as_bytes().to_vec();
            let end = (at + bytes.len()).min(info.len());
            info.splice(at..end, bytes);
            let _ = parse_info(&info, "main");
            prop_assert!(parse_info(text.as_bytes(), "main").is_err());
            let _ = parse_verify(&text);
            let _ = parse_listing(text.as_bytes());
        }
    }
}
