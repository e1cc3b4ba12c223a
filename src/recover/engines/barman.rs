//! Barman: `list-backups`, `show-backup`, `check` and `verify-backup`, with `--format json`.
//!
//! Its JSON holds the server's name as a key, sizes both pretty and in bytes, and moments as texts of seconds.
//! Its own complaints stand in `_ERROR`. `check` has no overall status: each line of it has its own.

use std::collections::BTreeMap;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    Access, Backup, Engine, Extent, Fault, History, Kind, Report, Result, Span, State, Tablespace,
    access::{Answer, CHECK_LIMIT, LIST_LIMIT},
    not_understood, number_or_text, seconds,
};
use crate::base::{cancel::Cancel, exec::Tool, text::Text};

const ENGINE: Engine = Engine::Barman;
/// Of how many backups the details are asked, the newest first. Each call starts a Python program, which took
/// 0.8 s of processor time; the list alone tells neither when a backup began nor which WAL it needs.
const DETAILED: usize = 5;

/// A command of Barman for this server; further arguments follow.
pub(super) fn tool(access: &Access, command: &str) -> Tool {
    access
        .tool("barman")
        .args(access.config.iter().flat_map(|path| ["-c".as_ref(), path.as_os_str()]))
        .args(["-f", "json", command])
}

pub(super) fn history(access: &Access, cancel: &Cancel) -> Result<History> {
    let list = tool(access, "list-backups").arg(&access.name);
    let answer = access.ask(&list, Some(LIST_LIMIT), cancel)?;
    let mut history = parse_list(&own_words(&answer)?, &access.name)?;
    for backup in history.backups.iter_mut().take(DETAILED) {
        detail(access, &backup.id.clone(), cancel)?.add_to(backup)?;
    }
    Ok(history)
}

/// What Barman tells of one backup.
pub(super) fn detail(access: &Access, id: &str, cancel: &Cancel) -> Result<Detail> {
    let show = tool(access, "show-backup").args([&access.name, id]);
    let answer = access.ask(&show, Some(LIST_LIMIT), cancel)?;
    parse_show(&own_words(&answer)?, &access.name)
}

pub(super) fn check(access: &Access, cancel: &Cancel) -> Result<Report> {
    let check = tool(access, "check").arg(&access.name);
    let answer = access.ask(&check, Some(CHECK_LIMIT), cancel)?;
    parse_check(&own_words(&answer)?, &access.name)
}

pub(super) fn verify(access: &Access, cancel: &Cancel) -> Result<Report> {
    let list = tool(access, "list-backups").arg(&access.name);
    let answer = access.ask(&list, Some(LIST_LIMIT), cancel)?;
    let history = parse_list(&own_words(&answer)?, &access.name)?;
    let mut report = Report::default();
    for backup in history.backups.iter().filter(|backup| backup.whole()) {
        let verify = tool(access, "verify-backup").args([&access.name, &*backup.id]);
        let answer = access.ask(&verify, None, cancel)?;
        judge_verify(&backup.id, answer.code, &own_words(&answer)?, &mut report);
    }
    if report == Report::default() {
        report.findings.push(Text::ours("nothing was verified: there is no whole backup"));
    }
    report
        .notes
        .push(Text::ours("Barman compares the files of its backups, and no WAL after them"));
    Ok(report)
}

type Words = BTreeMap<String, Value>;

/// What Barman printed, as JSON. It ends with 1 both when it cannot answer and when its answer is bad news.
pub(super) fn own_words(answer: &Answer) -> Result<Words> {
    match parse_words(&answer.stdout) {
        Err(fault) => Err(answer.refusal().unwrap_or(fault)),
        words => words,
    }
}

fn parse_words(text: &[u8]) -> Result<Words> {
    super::read_json(ENGINE, "--format json", text)
}

/// The complaints in an answer.
pub(super) fn complaints(words: &Words) -> Vec<Text> {
    let list = words.get("_ERROR").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(Text::one_line).collect()
}

/// What an answer says of the server.
fn of_server<T: DeserializeOwned>(words: &Words, server: &str, command: &str) -> Result<T> {
    let Some(value) = words.get(server) else {
        let said = complaints(words);
        return Err(match said.first() {
            Some(first) => Fault::new(Kind::Unavailable, format!("Barman: {first}"))
                .remedy("`barman list-servers` tells which servers it knows"),
            None => not_understood(ENGINE, command, format!("it says nothing of '{server}'")),
        });
    };
    T::deserialize(value).map_err(|error| not_understood(ENGINE, command, error))
}

#[derive(Deserialize)]
struct Listed {
    backup_id: String,
    status: String,
    backup_type: Option<String>,
    #[serde(default, deserialize_with = "number_or_text")]
    end_time_timestamp: Option<i64>,
    size_bytes: Option<u64>,
}

/// Reads `list-backups`.
fn parse_list(words: &Words, server: &str) -> Result<History> {
    let mut history = History::default();
    for listed in of_server::<Vec<Listed>>(words, server, "list-backups")? {
        if listed.backup_id.starts_with('-') {
            let why = format!("'{}' is no name of a backup", listed.backup_id);
            return Err(not_understood(ENGINE, "list-backups", why));
        }
        history.backups.push(Backup {
            extent: extent(listed.backup_type.as_deref()),
            ended: listed.end_time_timestamp.map(|at| seconds(ENGINE, at)).transpose()?,
            stored: listed.size_bytes,
            ..Backup::named(ENGINE, listed.backup_id, state(&listed.status, None))
        });
    }
    history.complaints = complaints(words);
    Ok(history)
}

/// Before 3.11 every backup was a full one, and there was no word for it.
fn extent(word: Option<&str>) -> Option<Extent> {
    match word {
        None | Some("full" | "rsync" | "snapshot") => Some(Extent::Full),
        Some("incremental") => Some(Extent::Incremental),
        Some(_) => None,
    }
}

/// The states of Barman's `BackupInfo`. One that waits for its WAL would not come up if it were restored.
fn state(word: &str, error: Option<&str>) -> State {
    match word {
        "DONE" => State::Whole,
        "EMPTY" | "STARTED" | "SYNCING" | "WAITING_FOR_WALS" => State::Running { percent: None },
        "FAILED" => {
            State::Failed { reason: error.map_or(Text::ours("no reason told"), Text::one_line) }
        }
        other => State::Failed { reason: format!("'{other}' is no state that is known").into() },
    }
}

/// What `show-backup` tells.
#[derive(Debug, Deserialize)]
pub struct Detail {
    status: String,
    error: Option<String>,
    /// Those of the cluster: a restore that does not move them writes where they were.
    pub tablespaces: Option<Vec<Tablespace>>,
    #[serde(default, deserialize_with = "number_or_text")]
    system_id: Option<u64>,
    cluster_size_bytes: Option<u64>,
    base_backup_information: Option<Base>,
}

#[derive(Debug, Deserialize)]
struct Base {
    #[serde(default, deserialize_with = "number_or_text")]
    begin_time_timestamp: Option<i64>,
    #[serde(default, deserialize_with = "number_or_text")]
    end_time_timestamp: Option<i64>,
    begin_wal: Option<String>,
    end_wal: Option<String>,
    begin_lsn: Option<String>,
    end_lsn: Option<String>,
    /// Of 3.4.
    incremental_size_bytes: Option<u64>,
    /// Of 3.19.
    backup_size_bytes: Option<u64>,
}

/// Reads `show-backup`.
fn parse_show(words: &Words, server: &str) -> Result<Detail> {
    of_server(words, server, "show-backup")
}

impl Detail {
    fn add_to(self, backup: &mut Backup) -> Result<()> {
        backup.state = state(&self.status, self.error.as_deref());
        backup.system_identifier = self.system_id;
        backup.cluster = self.cluster_size_bytes;
        let Some(base) = self.base_backup_information else { return Ok(()) };
        let moment = |at: Option<i64>| at.map(|at| seconds(ENGINE, at)).transpose();
        backup.began = moment(base.begin_time_timestamp)?;
        backup.ended = moment(base.end_time_timestamp)?.or(backup.ended);
        backup.stored = base.backup_size_bytes.or(base.incremental_size_bytes).or(backup.stored);
        let span =
            |(first, last): (String, String)| Span { first: first.into(), last: last.into() };
        backup.wal = base.begin_wal.zip(base.end_wal).map(span);
        backup.lsn = base.begin_lsn.zip(base.end_lsn).map(span);
        Ok(())
    }
}

#[derive(Deserialize)]
struct Checked {
    status: String,
    #[serde(default)]
    hint: String,
}

/// Reads `check`: every line that is not `OK` is a finding.
fn parse_check(words: &Words, server: &str) -> Result<Report> {
    let checked: BTreeMap<String, Checked> = of_server(words, server, "check")?;
    if checked.is_empty() {
        return Err(not_understood(ENGINE, "check", "it checked nothing"));
    }
    let bad = checked.iter().filter(|(_, check)| check.status != "OK");
    let findings: Vec<Text> = bad
        .map(|(name, check)| {
            let name = name.replace('_', " ");
            match check.hint.as_str() {
                "" => format!("{name}: {}", check.status),
                hint => format!("{name}: {} ({hint})", check.status),
            }
        })
        .map(|finding| Text::one_line(&finding))
        .chain(complaints(words))
        .collect();
    let sound = checked.values().filter(|check| check.status == "OK").count();
    Ok(Report {
        findings,
        notes: vec![format!("{sound} of {} lines are OK", checked.len()).into()],
    })
}

/// Judges one `verify-backup`: only its own word of success is believed, and only with exit code 0.
fn judge_verify(id: &str, code: i32, words: &Words, report: &mut Report) {
    let info = words.get("_INFO").and_then(Value::as_array).into_iter().flatten();
    let good = info.filter_map(Value::as_str).any(|line| line.contains("successfully verified"));
    let said = complaints(words);
    if good && code == 0 && said.is_empty() {
        report.notes.push(format!("backup {id}: its files are as its manifest says").into());
        return;
    }
    let said = said.iter().map(Text::as_str).collect::<Vec<_>>().join(": ");
    let said = if said.is_empty() { format!("exit code {code}, without a reason") } else { said };
    report.findings.push(format!("backup {id}: {said}").into());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::clock::Timestamp;

    const LIST: &str = include_str!("../../../tests/fixtures/engines/barman_list-backups.json");
    const LIST_319: &str =
        include_str!("../../../tests/fixtures/engines/barman319_list-backups.json");
    const SHOW: &str = include_str!("../../../tests/fixtures/engines/barman_show-backup.json");
    const SHOW_319: &str =
        include_str!("../../../tests/fixtures/engines/barman319_show-backup.json");
    const CHECK: &str = include_str!("../../../tests/fixtures/engines/barman_check_ok.json");
    const UNREACHABLE: &str =
        include_str!("../../../tests/fixtures/engines/barman_check_unreachable.json");

    fn words(text: &str) -> Words {
        parse_words(text.as_bytes()).expect("JSON")
    }

    fn list(text: &str) -> Result<History> {
        parse_list(&words(text), "fx")
    }

    #[test]
    fn lists_of_both_versions_are_read() {
        for (text, newest, ended) in
            [(LIST, "20261123T134651", 1_795_441_615), (LIST_319, "20261123T135514", 1_795_442_117)]
        {
            let history = list(text).expect("read");
            assert_eq!(history.backups.len(), 2);
            let backup = history.newest_whole().expect("whole");
            assert_eq!((&*backup.id, backup.extent), (newest, Some(Extent::Full)));
            assert_eq!(backup.ended.map(Timestamp::as_second), Some(ended));
            assert_eq!(
                (backup.began, backup.duration()),
                (None, None),
                "the list does not tell it"
            );
        }
    }

    #[test]
    fn details_of_both_versions_are_added() {
        for (text, took, wal, system) in [
            (SHOW, 6, "00000001000000000000001A", None),
            (SHOW_319, 2, "000000010000000000000014", Some(7_711_363_862_344_694_040)),
        ] {
            let mut backup = Backup::named(ENGINE, "x", State::Running { percent: None });
            let detail = parse_show(&words(text), "fx").expect("read");
            assert_eq!(detail.tablespaces.as_ref().map(Vec::len), Some(1));
            detail.add_to(&mut backup).expect("moments");
            assert!(backup.whole());
            assert_eq!(backup.duration().map(|took| took.as_secs()), Some(took));
            assert_eq!(backup.wal.map(|wal| wal.first.to_string()).as_deref(), Some(wal));
            assert_eq!(backup.system_identifier, system);
        }
    }

    #[test]
    fn only_done_is_whole() {
        let with = |word: &str| {
            let text =
                format!("{{\"fx\":[{{\"backup_id\":\"20261123T1\",\"status\":\"{word}\"}}]}}");
            list(&text).expect("read").backups[0].state.clone()
        };
        assert_eq!(with("WAITING_FOR_WALS"), State::Running { percent: None });
        assert!(matches!(with("FAILED"), State::Failed { .. }));
        assert!(matches!(with("KEPT_SOMEHOW"), State::Failed { .. }));
        assert_eq!(extent(Some("incremental")), Some(Extent::Incremental));
    }

    #[test]
    fn a_server_that_barman_does_not_know_is_said_in_its_words() {
        let fault = list("{\"_ERROR\": [\"Unknown server 'fx'\"]}").expect_err("unknown");
        assert_eq!(fault.kind, Kind::Unavailable);
        assert!(fault.to_string().contains("Unknown server 'fx'"), "{fault}");
        assert_eq!(list("{}").expect_err("nothing").kind, Kind::Damaged);
        let fault = list(&LIST.replace("backup_id", "backup")).expect_err("no name");
        assert!(fault.to_string().contains("backup_id"), "{fault}");
    }

    #[test]
    fn each_line_of_a_check_counts() {
        let good = parse_check(&words(CHECK), "fx").expect("read");
        assert_eq!(good.findings, Vec::<Text>::new());
        assert_eq!(&*good.notes[0], "22 of 22 lines are OK");
        let bad = parse_check(&words(UNREACHABLE), "missing").expect("read");
        assert_eq!(bad.findings.len(), 5, "{bad:?}");
        assert!(bad.findings.iter().any(|finding| &**finding == "postgresql: FAILED"));
        assert!(parse_check(&words("{\"fx\": {}}"), "fx").is_err(), "nothing was checked");
    }

    #[test]
    fn only_its_own_word_of_success_is_believed() {
        let judged = |code, text: &str| {
            let mut report = Report::default();
            judge_verify("b", code, &words(text), &mut report);
            report.findings.len()
        };
        let good = "{\"_INFO\": [\"Calling pg_verifybackup\", \"backup successfully verified\"]}";
        assert_eq!((judged(0, good), judged(1, good)), (0, 1));
        assert_eq!(judged(0, "{\"_INFO\": [\"Calling pg_verifybackup\"]}"), 1);
        assert_eq!(
            judged(
                0,
                "{\"_ERROR\": [\"checksum mismatch\"], \"_INFO\": [\"successfully verified\"]}"
            ),
            1
        );
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_and_never_a_panic(
            at in 0..SHOW.len(), bytes in prop::collection::vec(any::<u8>(), 0..8), text in ".*",
        ) {
            for source in [LIST, SHOW, CHECK] {
                let mut source = source.as_bytes().to_vec();
                let end = (at + bytes.len()).min(source.len());
                source.splice(at.min(end)..end, bytes.iter().copied());
                if let Ok(words) = parse_words(&source) {
                    let _ = parse_list(&words, "fx");
                    let mut backup = Backup::named(ENGINE, "x", State::Whole);
                    let _ = parse_show(&words, "fx").and_then(|show| show.add_to(&mut backup));
                    let _ = parse_check(&words, "fx");
                }
            }
            let empty = text.trim() == "{}";
            prop_assert!(empty || parse_words(text.as_bytes()).is_err());
        }
    }
}
