//! The ledger under many writers, under kill -9 and on a full disk.
//!
//! The writers are this very program, started again to run one test: that test then plays the writer.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "clippy sees tests only in test functions"
)]

use std::{
    collections::BTreeSet,
    env, fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use howdah::base::{
    clock::Clock,
    ledger::{self, Act, Ledger, LedgerError, Outcome, Selection, Target, Verdict, Who},
};
use serde_json::json;

/// The test that plays the writer.
const STAGE: &str = "ledger::a_writer_appends_and_its_chain_holds";

fn player(part: &str, folder: &Path) -> Command {
    let mut command = Command::new(env::current_exe().expect("this program"));
    command.args(["--exact", STAGE, "--nocapture"]);
    command.env("HOWDAH_TEST_PART", part).env("HOWDAH_TEST_FOLDER", folder);
    command
}

fn ledger(folder: &Path) -> Ledger {
    Ledger::new(folder, Who::current(None), &Clock::system())
}

fn act(size: usize) -> Act {
    Act::new("test.run")
        .on(Target::new("prod", Some(1)))
        .with(json!({ "filler": "x".repeat(size) }))
}

fn verdict(folder: &Path) -> Verdict {
    ledger::verify(folder).expect("readable")
}

/// Writes acts and prints the number of each line that is safe.
fn write(folder: &Path, acts: u64, size: usize) {
    for _ in 0..acts {
        let entry = ledger(folder).begin(act(size)).expect("begun");
        println!("safe {}", entry.seq());
        entry.done(json!({})).expect("done");
    }
}

#[test]
fn a_writer_appends_and_its_chain_holds() {
    let folder = env::var_os("HOWDAH_TEST_FOLDER");
    if let (Ok(part), Some(folder)) = (env::var("HOWDAH_TEST_PART"), folder) {
        let acts = |n: &str| n.parse().expect("a number");
        return match part.split_once(' ') {
            Some(("write", n)) => write(folder.as_ref(), acts(n), 10),
            // Lines of several pages, so that a kill may tear them.
            Some(("long-lines", n)) => write(folder.as_ref(), acts(n), 30_000),
            _ => fill(folder.as_ref()),
        };
    }
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), 3, 10);
    let verdict = verdict(folder.path());
    assert_eq!((verdict.lines, verdict.fault, verdict.open.len()), (6, None, 0));
}

#[test]
fn eight_processes_at_once_lose_nothing() {
    const ACTS: u64 = 25;
    let folder = tempfile::tempdir().expect("a folder");
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let mut writer = player(&format!("write {ACTS}"), folder.path());
            writer.stdout(Stdio::piped()).spawn().expect("it runs")
        })
        .collect();
    let mut safe = BTreeSet::new();
    for writer in writers {
        let output = writer.wait_with_output().expect("it ends");
        assert!(output.status.success());
        let said = String::from_utf8(output.stdout).expect("UTF-8");
        for number in said.lines().filter_map(|line| line.strip_prefix("safe ")) {
            assert!(safe.insert(number.parse::<u64>().expect("a number")), "twice: {number}");
        }
    }
    let verdict = verdict(folder.path());
    assert_eq!((verdict.fault, verdict.lines, verdict.open.len()), (None, 8 * ACTS * 2, 0));
    let all = ledger::accounts(folder.path(), &Selection::default()).expect("readable").acts;
    assert_eq!(all.len() as u64, 8 * ACTS);
    assert!(all.iter().all(|account| account.outcome() == Some(Outcome::Done)));
    assert_eq!(all.iter().map(|account| account.begin.seq).collect::<BTreeSet<_>>(), safe);
    let writers: BTreeSet<_> = all.iter().map(|account| account.begin.pid).collect();
    assert_eq!(writers.len(), 8);
}

#[test]
fn a_writer_that_is_killed_anywhere_leaves_a_valid_chain_and_takes_nothing_along() {
    const KILLS: u64 = 40;
    let folder = tempfile::tempdir().expect("a folder");
    let mut safe = BTreeSet::new();
    for round in 0..KILLS {
        let mut writer = player("long-lines 10000", folder.path());
        let mut child = writer.stdout(Stdio::piped()).spawn().expect("it runs");
        let mut said = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let number =
            |line: &str| line.strip_prefix("safe ").map(|n| n.parse::<u64>().expect("a number"));
        // Let it get going, then strike at a moment that moves through its work.
        let first = said.find_map(|line| number(&line.expect("UTF-8"))).expect("it writes");
        safe.insert(first);
        thread::sleep(Duration::from_micros(round * 131 % 6000));
        child.kill().expect("killed");
        child.wait().expect("it ends");
        // What it said before it died, its last word perhaps torn.
        safe.extend(said.map_while(Result::ok).filter_map(|line| number(&line)));
        let verdict = verdict(folder.path());
        assert_eq!(verdict.fault, None, "round {round}");
    }
    ledger(folder.path()).begin(act(1)).expect("begun").done(json!({})).expect("done");
    let verdict = verdict(folder.path());
    assert_eq!((verdict.fault, verdict.torn), (None, false));
    let all = ledger::accounts(folder.path(), &Selection::default()).expect("readable").acts;
    let begun: BTreeSet<u64> = all.iter().map(|account| account.begin.seq).collect();
    assert!(safe.is_subset(&begun), "what was said to be safe is there");
    // Every torn line is kept and told of.
    let kept = fs::read_dir(folder.path()).expect("a folder").flatten();
    let kept =
        kept.filter(|entry| entry.file_name().to_string_lossy().starts_with("torn-")).count();
    assert!(verdict.mended.len() >= kept, "{} told, {kept} kept", verdict.mended.len());
    println!("{KILLS} kills, {kept} torn lines, {} acts without an end", verdict.open.len());
}

/// Appends until there is no room, then makes room and goes on. Long lines first, so that the line itself
/// is what does not fit; then short ones, so that the head's draft is.
fn fill(folder: &Path) {
    let ballast = folder.join("ballast");
    fs::write(&ballast, vec![b'x'; 16 << 10]).expect("written");
    let (ours, mut refusals) = (folder.join("ledger"), 0);
    for size in [30_000, 9_000, 300] {
        let before = verdict(&ours).lines;
        let mut appended = 0;
        let error = loop {
            match ledger(&ours).begin(act(size)) {
                Ok(entry) => drop(entry),
                Err(error) => break error,
            }
            appended += 1;
            assert!(appended < 10_000, "there is no end of room");
        };
        assert!(matches!(error, LedgerError::Unwritable { .. }), "{error}");
        assert!(error.to_string().contains("ledger.folder"), "the remedy is named: {error}");
        let now = verdict(&ours);
        assert_eq!((now.fault, now.lines), (None, before + appended), "no more and no less");
        refusals += 1;
    }
    fs::remove_file(&ballast).expect("removed");
    if env::var_os("HOWDAH_TEST_NO_ROOM_AGAIN").is_none() {
        ledger(&ours).begin(act(10)).expect("begun").done(json!({})).expect("done");
    }
    let now = verdict(&ours);
    assert_eq!(now.fault, None);
    println!("{refusals} refused, {} lines", now.lines);
}

fn passes(mut command: Command) {
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let cried = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{cried}");
    assert!(said.contains("3 refused"), "{said}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_refuses_the_act_and_loses_no_record() {
    let folder = tempfile::tempdir().expect("a folder");
    let player = player("fill", folder.path());
    // A file system of 128 kB in a namespace of its own: root or not.
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    command.arg("mount -t tmpfs -o size=128k tmpfs \"$1\" && shift && exec \"$@\"").arg("sh");
    command.arg(folder.path()).arg(player.get_program()).args(player.get_args());
    command.envs(player.get_envs().filter_map(|(name, value)| Some((name, value?))));
    passes(command);
}

#[test]
fn a_limit_on_the_size_of_files_refuses_the_act_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let player = player("fill", folder.path());
    // In blocks of 512 bytes. Without the trap the system would end the process.
    let mut command = Command::new("sh");
    command.arg("-c").arg("trap '' XFSZ; ulimit -f 256; exec \"$@\"").arg("sh");
    command.arg(player.get_program()).args(player.get_args());
    command.envs(player.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("HOWDAH_TEST_NO_ROOM_AGAIN", "1");
    passes(command);
}

#[test]
fn a_folder_that_cannot_be_written_refuses_the_act() {
    let error = ledger(Path::new("/proc/howdah")).begin(act(1)).expect_err("no folder");
    assert!(error.to_string().contains("'/proc/howdah/ledger.jsonl' cannot be written"), "{error}");
}
