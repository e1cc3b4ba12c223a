//! The chain against every kind of damage.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use proptest::{prelude::*, sample::Index};
use serde_json::json;

use super::*;
use crate::base::secret::Secret;

/// Acts, each begun and done.
const ACTS: u64 = 6;
/// Lines of such a ledger.
const COUNT: usize = 2 * ACTS as usize;

fn ledger(folder: &Path) -> Ledger {
    let who = Who { user: "anna".into(), uid: 1000, ..Who::default() };
    Ledger::new(folder, who, &Clock::test())
}

fn act() -> Act {
    Act::new("backup.run").on(Target::new("prod", Some(7_391_245_123_456_789_012)))
}

/// A ledger of some acts.
fn written() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = ledger(folder.path());
    for number in 0..ACTS {
        let entry = ledger.begin(act().with(json!({ "number": number }))).expect("begun");
        entry.done(json!({ "bytes": 42 })).expect("done");
    }
    let file = folder.path().join(tail::LINES);
    (folder, file)
}

fn lines_of(file: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(file).expect("readable");
    bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn line_feeds(bytes: &[u8]) -> u64 {
    bytes.split(|byte| *byte == b'\n').count() as u64 - 1
}

fn fault(folder: &Path) -> Option<Fault> {
    verify(folder).expect("readable").fault
}

#[test]
fn an_act_is_there_from_its_begin_and_whole_with_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = ledger(folder.path());
    let entry = ledger.begin(act().because("nightly")).expect("begun");
    assert_eq!(entry.seq(), 1);
    let verdict = verify(folder.path()).expect("readable");
    assert_eq!((verdict.lines, verdict.open.len(), verdict.fault), (1, 1, None));
    entry.failed("disk full", json!({ "bytes": 7 })).expect("recorded");
    let in_job = ledger.clone().in_job(Some("20260101-000000-aa"));
    in_job.refuse(&Act::new("restore.run"), "read-only").expect("recorded");
    let dropped = ledger.begin(Act::new("wal.setup")).expect("begun");
    drop(dropped);

    let all = accounts(folder.path(), &Selection::default()).expect("readable").acts;
    let words: Vec<_> = all.iter().map(Account::outcome_in_words).collect();
    assert_eq!(words, ["failed", "refused", "no end recorded"]);
    let end = all[0].end.as_ref().expect("an end");
    assert_eq!(end.why.as_deref(), Some("disk full"));
    assert_eq!(end.details, *json!({ "bytes": 7 }).as_object().expect("an object"));
    assert_eq!(all[0].begin.why.as_deref(), Some("nightly"));
    assert_eq!((&all[0].begin.job, all[1].begin.job.is_some()), (&None, true));
    let selection = Selection { target: Some("prod".into()), ..Selection::default() };
    assert_eq!(accounts(folder.path(), &selection).expect("readable").acts.len(), 1);
    let verdict = verify(folder.path()).expect("readable");
    assert_eq!((verdict.open.into_iter().collect::<Vec<_>>(), verdict.fault), (vec![4], None));
}

#[test]
fn the_hash_of_a_line_is_that_of_the_line_without_it() {
    let (_folder, file) = written();
    let line = String::from_utf8(lines_of(&file).swap_remove(0)).expect("UTF-8");
    let (object, hash) = line.trim_end().rsplit_once(",\"hash\":\"").expect("a hash");
    let hash = hash.trim_end_matches("\"}");
    assert_eq!(crate::base::digest::sha256(format!("{object}}}").as_bytes()), hash);
    assert!(object.contains("\"system_identifier\":\"7391245123456789012\""), "{object}");
}

#[test]
fn it_is_for_its_owner_only_and_an_absent_one_is_whole() {
    let (folder, file) = written();
    for path in [file, folder.path().join(tail::HEAD)] {
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }
    let absent = verify(&folder.path().join("absent")).expect("nothing to read");
    assert_eq!(absent, Verdict::default());
}

#[test]
fn no_secret_and_no_control_character_enters() {
    let (folder, file) = written();
    let details = json!({
        "secret": Secret::new("hunter2"),
        "inside": ["postgresql://me:hunter2@db/app", { "k": "password=hunter2 user=me" }],
        "foreign": "a\u{1b}[31m\u{9b}b\u{202e}",
    });
    let ledger = ledger(folder.path());
    let entry = ledger.begin(act().with(details).because("x://u:hunter2@h")).expect("begun");
    entry.failed("password='hunter2' is wrong\u{7}", json!({})).expect("recorded");
    let text = fs::read_to_string(&file).expect("UTF-8");
    assert!(!text.contains("hunter2"), "{text}");
    assert!(text.contains("postgresql://me:********@db/app"), "{text}");
    assert!(!text.lines().any(|line| line.chars().any(crate::base::text::is_unsafe)), "{text}");
}

#[test]
fn an_action_is_dotted_words() {
    let folder = tempfile::tempdir().expect("a folder");
    for wrong in ["backup", "", ".", "Backup.run", "backup.", "backup run.x", "a..b"] {
        let error = ledger(folder.path()).begin(Act::new(wrong)).expect_err(wrong);
        assert!(matches!(error, LedgerError::NotAnAction(_)), "{error}");
    }
    ledger(folder.path()).refuse(&Act::new("wal.set-up2"), "no").expect("an action");
}

#[test]
fn a_line_that_nobody_finished_is_moved_aside_and_told() {
    let (folder, file) = written();
    let whole = fs::read(&file).expect("readable");
    let torn = &lines_of(&file)[0][..40];
    fs::write(&file, [&whole, torn].concat()).expect("written");
    let verdict = verify(folder.path()).expect("readable");
    assert_eq!((verdict.torn, verdict.fault), (true, None), "a torn end is no damage");

    ledger(folder.path()).begin(act()).expect("begun").done(json!({})).expect("done");
    let verdict = verify(folder.path()).expect("readable");
    let told = COUNT as u64 + 1;
    assert_eq!((verdict.fault, verdict.torn, verdict.mended), (None, false, vec![told]));
    let all = accounts(folder.path(), &Selection::default()).expect("readable").acts;
    let mended = all.iter().find(|account| account.begin.seq == told).expect("told");
    let name = mended.begin.details["file"].as_str().expect("a name");
    assert_eq!(fs::read(folder.path().join(name)).expect("kept"), torn);
    assert_eq!(fs::read(&file).expect("readable")[..whole.len()], whole[..], "nothing else moved");
}

#[test]
fn whoever_dies_after_cutting_a_torn_line_leaves_it_to_the_next() {
    let (folder, file) = written();
    let left = folder.path().join("torn-new-123-abc");
    fs::write(&left, "a piece").expect("written");
    fs::write(folder.path().join("head.json.1.partial"), "x").expect("written");
    ledger(folder.path()).begin(act()).expect("begun").done(json!({})).expect("done");
    assert!(!left.exists() && folder.path().join("torn-123-abc").exists());
    assert!(!folder.path().join("head.json.1.partial").exists(), "a dead process's draft");
    assert_eq!(lines_of(&file).len(), COUNT + 3);
    assert_eq!(verify(folder.path()).expect("readable").mended.len(), 1);
}

#[test]
fn whoever_dies_between_line_and_head_loses_nothing() {
    let (folder, file) = written();
    let head = folder.path().join(tail::HEAD);
    let before = fs::read(&head).expect("a head");
    let entry = ledger(folder.path()).begin(act()).expect("begun");
    fs::write(&head, &before).expect("an earlier head");
    assert_eq!(fault(folder.path()), None);
    entry.done(json!({})).expect("done");
    assert_eq!(fault(folder.path()), None);
    assert_eq!(lines_of(&file).len(), COUNT + 2);
    // The same with the very first line, before there was a head.
    let other = tempfile::tempdir().expect("a folder");
    let entry = ledger(other.path()).begin(act()).expect("begun");
    fs::remove_file(other.path().join(tail::HEAD)).expect("removed");
    assert_eq!(fault(other.path()), None);
    entry.done(json!({})).expect("done");
    assert_eq!(fault(other.path()), None);
}

#[test]
fn a_lost_head_is_a_fault_and_stays_told() {
    let (folder, _file) = written();
    fs::remove_file(folder.path().join(tail::HEAD)).expect("removed");
    assert_eq!(fault(folder.path()), Some(Fault::NoHead { last: COUNT as u64 }));
    ledger(folder.path()).refuse(&act(), "no").expect("recorded");
    let verdict = verify(folder.path()).expect("readable");
    assert_eq!((verdict.fault, verdict.mended), (None, vec![COUNT as u64 + 1]));
}

#[test]
fn an_old_head_is_told() {
    let (folder, _file) = written();
    let head = folder.path().join(tail::HEAD);
    let old = fs::read(&head).expect("a head");
    ledger(folder.path()).begin(act()).expect("begun").done(json!({})).expect("done");
    fs::write(&head, old).expect("written");
    let last = COUNT as u64 + 2;
    assert_eq!(fault(folder.path()), Some(Fault::OldHead { head: COUNT as u64, last }));
}

#[test]
fn an_end_that_was_cut_off_stays_visible_after_the_next_act() {
    let (folder, file) = written();
    fs::write(&file, lines_of(&file)[..7].concat()).expect("cut");
    let cut = Fault::CutOff { from: 8, to: COUNT as u64 };
    assert_eq!(fault(folder.path()), Some(cut));
    ledger(folder.path()).refuse(&act(), "no").expect("recorded");
    let removed = Fault::Removed { from: 8, to: COUNT as u64 };
    assert_eq!(fault(folder.path()), Some(removed));
}

#[test]
fn a_rewritten_line_with_a_new_hash_of_its_own_is_found() {
    for at in [0, 4, COUNT - 1] {
        let (folder, file) = written();
        let mut lines = lines_of(&file);
        let mut line = record::unseal(&lines[at][..lines[at].len() - 1]).expect("a line").record;
        line.who.user = "somebody".into();
        lines[at] = record::seal(&line).expect("sealed").0.into_bytes();
        fs::write(&file, lines.concat()).expect("written");
        assert_eq!(fault(folder.path()), Some(Fault::Altered { line: at as u64 + 1 }));
    }
}

#[test]
fn a_damaged_end_without_a_head_refuses_the_act() {
    let (folder, file) = written();
    fs::write(&file, "garbage\n").expect("written");
    fs::remove_file(folder.path().join(tail::HEAD)).expect("removed");
    let error = ledger(folder.path()).begin(act()).expect_err("nothing to chain to");
    assert!(matches!(error, LedgerError::Damaged { .. }), "{error}");
    assert_eq!(fs::read_to_string(&file).expect("readable"), "garbage\n");
}

fn exported(folder: &Path, selection: &Selection) -> Vec<u8> {
    let mut bundle = Vec::new();
    let (_, verdict) = export(folder, selection, &Clock::test(), &mut bundle).expect("exported");
    assert_eq!(verdict.fault, None);
    bundle
}

#[test]
fn a_part_for_others_can_be_verified_without_the_rest() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::test();
    let ledger = Ledger::new(folder.path(), Who::default(), &clock);
    for _ in 0..ACTS {
        ledger.begin(act()).expect("begun").done(json!({})).expect("done");
        clock.advance(std::time::Duration::from_hours(1));
    }
    let hour = |n: i64| Clock::test().wall() + jiff::SignedDuration::from_hours(n);
    let selection = Selection { since: Some(hour(2)), until: Some(hour(4)), target: None };
    let bundle = exported(folder.path(), &selection);
    let (header, verdict) = verify_bundle(&bundle[..]).expect("a bundle");
    assert_eq!((header.before.seq, header.last.seq, verdict.lines), (4, 8, 4));
    assert_eq!((verdict.fault, header.head.map(|head| head.seq)), (None, Some(COUNT as u64)));
    // Its lines are the ledger's own, byte by byte.
    let lines = lines_of(&folder.path().join(tail::LINES));
    assert!(bundle.ends_with(&lines[4..8].concat()));

    let of_bundle: Vec<_> = bundle.split_inclusive(|byte| *byte == b'\n').collect();
    let fault = |lines: &[&[u8]]| verify_bundle(&lines.concat()[..]).expect("a bundle").1.fault;
    let [header, a, b, c, d] = of_bundle[..] else { panic!("five lines") };
    let altered = String::from_utf8(c.to_vec()).expect("UTF-8").replace("prod", "test");
    assert_eq!(fault(&[header, a, b, c, d]), None);
    assert_eq!(fault(&[header, a, b, altered.as_bytes(), d]), Some(Fault::Altered { line: 7 }));
    assert_eq!(fault(&[header, b, c, d]), Some(Fault::Removed { from: 5, to: 5 }));
    assert_eq!(fault(&[header, a, b, c]), Some(Fault::CutOff { from: 8, to: 8 }));
    let swapped = Fault::Reordered { line: 6, found: 7, expected: 6 };
    assert_eq!(fault(&[header, a, c, b, d]), Some(swapped));
    let error = verify_bundle(&lines[0][..]).expect_err("no header");
    assert!(matches!(error, LedgerError::NotABundle(_)), "{error}");

    let nothing = Selection { since: Some(hour(99)), ..Selection::default() };
    let bundle = exported(folder.path(), &nothing);
    assert_eq!(verify_bundle(&bundle[..]).expect("a bundle").1, Verdict::default());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_byte_that_is_altered_is_found_in_its_line(at in any::<Index>(), with in any::<u8>()) {
        let (folder, file) = written();
        let mut bytes = fs::read(&file).expect("readable");
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != with);
        let line = line_feeds(&bytes[..at]) + 1;
        bytes[at] = with;
        fs::write(&file, bytes).expect("written");
        prop_assert_eq!(fault(folder.path()).map(|fault| fault.line()), Some(line));
    }

    #[test]
    fn lines_that_are_removed_are_named(from in 0..COUNT, count in 1..4_usize) {
        let (folder, file) = written();
        let mut lines = lines_of(&file);
        let to = (from + count).min(COUNT);
        lines.drain(from..to);
        fs::write(&file, lines.concat()).expect("written");
        let (first, last) = (from as u64 + 1, to as u64);
        let expected = if to == COUNT {
            Fault::CutOff { from: first, to: last }
        } else {
            Fault::Removed { from: first, to: last }
        };
        prop_assert_eq!(fault(folder.path()), Some(expected));
    }

    #[test]
    fn lines_that_changed_places_are_named(a in 0..COUNT, b in 0..COUNT) {
        prop_assume!(a != b);
        let (folder, file) = written();
        let mut lines = lines_of(&file);
        lines.swap(a, b);
        fs::write(&file, lines.concat()).expect("written");
        let (first, second) = (a.min(b) as u64 + 1, a.max(b) as u64 + 1);
        let expected = Fault::Reordered { line: first, found: second, expected: first };
        prop_assert_eq!(fault(folder.path()), Some(expected));
    }

    #[test]
    fn a_line_that_stands_there_twice_is_named(of in 0..COUNT, at in 0..=COUNT) {
        prop_assume!(at > of);
        let (folder, file) = written();
        let mut lines = lines_of(&file);
        lines.insert(at, lines[of].clone());
        fs::write(&file, lines.concat()).expect("written");
        let (found, expected) = (of as u64 + 1, at as u64 + 1);
        let expected = Fault::Reordered { line: expected, found, expected };
        prop_assert_eq!(fault(folder.path()), Some(expected));
    }

    #[test]
    fn an_end_that_is_cut_off_anywhere_is_named(at in any::<Index>()) {
        let (folder, file) = written();
        let bytes = fs::read(&file).expect("readable");
        let at = at.index(bytes.len());
        let whole = line_feeds(&bytes[..at]);
        fs::write(&file, &bytes[..at]).expect("written");
        let expected = Fault::CutOff { from: whole + 1, to: COUNT as u64 };
        prop_assert_eq!(fault(folder.path()), Some(expected));
    }
}
