//! The Recovery screen in every state and size, and what its keys do.
#![cfg(feature = "console")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::too_many_lines,
    reason = "fixtures of a test"
)]

use crate::support::dump;
use crate::support::sights;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::support::sights::NOW;
use howdah::{
    base::{
        clock::{Stamp, Timestamp},
        progress::{Measured, Progress},
        text::Text,
    },
    console::{
        app::{
            effects::Effect,
            update::{Msg, update},
        },
        command,
        model::{Calling, Model, Overlay, Room, Screen, Section},
        screen::Painter,
        theme::{Depth, Glyphs, Themes},
    },
    watch::snapshot::{BackupState, JobState, Known, Repository, Snapshot},
};
use ratatui::{buffer::Buffer, layout::Rect};

/// The screen with its keys, drawn after each.
struct Seat {
    model: Model,
    painter: Painter,
    now: Stamp,
    buffer: Buffer,
}

impl Seat {
    fn new(snapshot: Snapshot, (width, height): (u16, u16), mono: bool) -> Self {
        let (depth, glyphs, theme) = if mono {
            (Depth::None, Glyphs::Ascii, "mono")
        } else {
            (Depth::Ansi16, Glyphs::Unicode, "ansi")
        };
        let snapshot = Arc::new(snapshot);
        let words = |words: &str| words.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let mut model = Model {
            snapshot: Arc::clone(&snapshot),
            latest: snapshot,
            keys: command::keymap(&BTreeMap::default()).expect("the keys are right"),
            calling: Calling { common: Vec::new(), place: words("--target prod-eu") },
            size: (width, height),
            ..Model::default()
        };
        theme.clone_into(&mut model.state.theme);
        let painter = Painter::new(Themes::built_in(), depth, glyphs);
        let buffer = Buffer::empty(Rect::new(0, 0, width, height));
        let mut seat = Self { model, painter, now: NOW, buffer };
        seat.press("3");
        seat
    }

    fn draw(&mut self) {
        let area = self.buffer.area;
        self.buffer = Buffer::empty(area);
        let layout =
            self.painter.paint(&self.model, self.now, sights::wall(), area, &mut self.buffer);
        self.model.room = Room {
            rows: layout.rows,
            below: layout.below,
            sections: layout.sections,
            line: layout.line,
            overlay: layout.overlay,
            guide: layout.guide,
        };
    }

    fn press(&mut self, keys: &str) -> Vec<Effect> {
        let mut effects = Vec::new();
        for key in keys.split(' ') {
            let key = Msg::Key(key.parse().expect("a key"));
            effects.extend(update(&mut self.model, key, self.now));
            self.draw();
        }
        effects
    }

    fn text(&self) -> String {
        dump::text(&self.buffer)
    }

    fn moment(&self) -> Timestamp {
        self.model.state.recovery.moment(&self.model.snapshot).expect("a moment")
    }

    fn toast(&self) -> &str {
        self.model.state.toast.as_ref().map_or("", |toast| &toast.text)
    }
}

fn kept(snapshot: &mut Snapshot) -> &mut Repository {
    match &mut snapshot.backup.repository {
        Known::Is(kept) => kept,
        _ => panic!("a repository"),
    }
}

fn wall_ago(secs: i64) -> Timestamp {
    Timestamp::from_second(sights::wall().as_second() - secs).expect("a moment")
}

/// A repository in which nothing is kept yet.
fn empty_repository() -> Snapshot {
    let mut s = sights::healthy();
    s.backup.running.clear();
    s.jobs = Known::Is(Vec::new());
    let kept = kept(&mut s);
    kept.backups.clear();
    kept.proofs.clear();
    kept.timeline = Known::Unknown("there is no physical backup".into());
    if let Known::Is(expiry) = &mut kept.expiry {
        expiry.going.clear();
        expiry.wal = None;
        expiry.freed = 0;
    }
    s
}

/// Six days ago a segment went missing; the backup of the next night began anew.
fn gap() -> Snapshot {
    let mut s = sights::healthy();
    let kept = kept(&mut s);
    let Known::Is(line) = &mut kept.timeline else { panic!("a line") };
    let lost = wall_ago(6 * 86_400);
    for base in line.bases.iter_mut().filter(|base| base.from < lost) {
        base.to = lost;
        base.missing = Some("00000003000000090000001F is missing".into());
    }
    let wrong = "00000003000000090000001F is missing; lost: timeline 3, 9/1F000000 to 9/20000000";
    kept.backups[2].state = BackupState::Complete { level: Some(2), wrong: Some(wrong.into()) };
    s
}

/// A backup is being taken by a job of ours, and another one was lost.
fn running_job() -> Snapshot {
    let mut s = sights::healthy();
    let mut job = sights::job("20261123-091300-zz", "backup.run", 67, JobState::Running);
    let progress = Progress::bytes("copying the data folder", 1_825_361_100, Some(4_402_341_478));
    job.progress = Some(Measured { progress, rate: Some(87_031_808.0), seconds_left: Some(30) });
    let why = "its process was killed or has died: it left no result";
    let mut lost =
        sights::job("20261122-140000-lo", "proof.run", 69_247, JobState::Lost(why.into()));
    lost.left = vec!["remove the scratch cluster in /tmp/howdah-prove-1".into()];
    if let Known::Is(jobs) = &mut s.jobs {
        jobs.insert(0, lost);
        jobs.insert(0, job);
    }
    s
}

/// The newest backup failed, and the one before was found damaged.
fn failed_backup() -> Snapshot {
    let mut s = sights::degraded();
    let BackupState::Failed { .. } = kept(&mut s).backups[0].state else { panic!("it failed") };
    s
}

fn sights_of_recovery() -> Vec<(&'static str, Snapshot)> {
    let mut loading = sights::loading();
    loading.backup.repository = Known::Unknown("/mnt/backup/howdah was not read yet".into());
    loading.jobs = Known::Unknown("not read yet".into());
    vec![
        ("loading", loading),
        ("no_repository", sights::empty()),
        ("empty_repository", empty_repository()),
        ("healthy", sights::healthy()),
        ("gap", gap()),
        ("running_job", running_job()),
        ("failed_backup", failed_backup()),
        ("engines", sights::engines()),
    ]
}

#[test]
fn in_every_state() {
    for (name, snapshot) in sights_of_recovery() {
        for (size, mono) in [((80, 24), false), ((120, 40), false), ((80, 24), true)] {
            let seat = Seat::new(snapshot.clone(), size, mono);
            let mono = if mono { "_mono" } else { "" };
            insta::assert_snapshot!(
                format!("recovery_{name}_{}x{}{mono}", size.0, size.1),
                dump::styled(&seat.buffer)
            );
        }
    }
}

#[test]
fn on_other_sizes() {
    for size in [(300, 60), (60, 16), (40, 10), (24, 6), (12, 3)] {
        let seat = Seat::new(gap(), size, false);
        insta::assert_snapshot!(format!("recovery_gap_{}x{}", size.0, size.1), seat.text());
    }
}

#[test]
fn what_must_be_read_is_whole_at_80x24() {
    for (name, words) in [
        ("loading", &["was not read yet", "Jobs"][..]),
        ("no_repository", &["no backup repository configured", "expire  —"]),
        ("empty_repository", &["There is no backup yet", "there is no physical backup"]),
        (
            "healthy",
            &["can be restored", "proven L5", "FAILED", "TARGET MISSED", "restored in 3:10"],
        ),
        ("gap", &["✗", "can be restored", "1 cell = ", "WAL BROKEN"]),
        ("running_job", &["running", "41%", "30s left", "83.0 MB/s", "LOST"]),
        ("engines", &["incr", "FAILED", "kept by pgBackRest main"]),
        ("failed_backup", &["pg_dump: server closed", "shop.dump.zst is cut off", "DAMAGED"]),
    ] {
        let sights = sights_of_recovery();
        let (_, snapshot) = sights.into_iter().find(|(other, _)| *other == name).expect("there");
        let seat = Seat::new(snapshot, (80, 24), false);
        for word in words {
            assert!(
                seat.text().contains(word),
                "'{word}' is missing in '{name}':\n{}",
                seat.text()
            );
        }
    }
}

#[test]
fn mono_is_ascii() {
    for (name, snapshot) in sights_of_recovery() {
        let mut seat = Seat::new(snapshot, (120, 40), true);
        for keys in ["3", "tab", "tab", "d", "esc B"] {
            seat.press(keys);
            let odd: String = seat.text().chars().filter(|c| !c.is_ascii()).collect();
            assert!(odd.is_empty(), "'{odd}' in '{name}' after {keys}:\n{}", seat.text());
        }
    }
}

#[test]
fn the_cursor_picks_a_moment_by_cells_and_by_backups() {
    let mut seat = Seat::new(gap(), (80, 24), false);
    let newest = seat.moment();
    assert_eq!(newest, wall_ago(42));
    assert!(seat.text().contains("newest"), "{}", seat.text());
    seat.press("left");
    let cell = newest.as_second() - seat.moment().as_second();
    assert!(cell > 10_000, "a cell of two weeks in 76: {cell} s");
    seat.press("right H");
    assert_eq!(seat.moment().as_second(), newest.as_second() - 10 * cell);
    seat.press("N");
    assert_eq!(seat.moment(), newest);
    seat.press("[ [");
    assert_eq!(seat.moment(), wall_ago(26_047 - 72 + 86_400), "the backup before the newest");
    assert!(seat.text().contains("from 20261122T020000Z-physical"), "{}", seat.text());
    seat.press("] ]");
    assert_eq!(seat.model.state.recovery.moment, None, "behind the last backup is the newest");
    // To the second: the cells become smaller until they are one.
    seat.press("[ + + + + + + + + + + + + +");
    let at = seat.moment();
    seat.press("left left");
    assert_eq!(at.as_second() - seat.moment().as_second(), 2);
    assert!(seat.text().contains("1 cell = 1s"), "{}", seat.text());
    seat.press("- - - - - - - - - - - - - -");
    assert_eq!(seat.model.state.recovery.scale, 0);
}

#[test]
fn a_moment_that_cannot_be_restored_says_why() {
    let mut seat = Seat::new(gap(), (80, 24), false);
    // From the night after the loss one cell back.
    seat.press("[ [ [ [ [ [ left");
    let screen = seat.text();
    for words in ["CANNOT be restored", "WAL 00000003000000090000001F is missing"] {
        assert!(screen.contains(words), "{words}:\n{screen}");
    }
    seat.press("R");
    assert_eq!(seat.toast(), "Restore: that moment cannot be restored");
    seat.press("left left left left left left");
    assert!(seat.text().contains("can be restored"), "{}", seat.text());
}

#[test]
fn nothing_runs_before_it_was_read_and_answered() {
    let mut seat = Seat::new(sights::healthy(), (80, 24), false);
    assert_eq!(seat.press("V"), []);
    let screen = seat.text();
    for words in
        ["Verify this backup", "howdah verify 20261123T020000Z-physical --target prod-eu", "Run it"]
    {
        assert!(screen.contains(words), "{words}:\n{screen}");
    }
    // Typed ahead is no answer.
    assert_eq!(seat.press("enter"), []);
    assert_eq!(seat.model.state.overlay, Overlay::Question);
    seat.now = seat.now.plus(Duration::from_millis(400));
    seat.press("esc");
    assert_eq!(seat.press("enter"), [], "it was left");
    seat.press("esc j P");
    seat.now = seat.now.plus(Duration::from_millis(400));
    let words = ["prove", "--backup", "20261122T140000Z-logical", "--target", "prod-eu"];
    assert_eq!(seat.press("enter"), [Effect::Run(words.map(str::to_owned).to_vec())]);
    assert_eq!(seat.model.state.overlay, Overlay::None);
    assert_eq!(seat.model.state.recovery.section, Section::Jobs, "there it is to be seen");
    assert_eq!(seat.model.state.screen, Screen::Recovery);
    seat.press("B");
    assert!(seat.text().contains("howdah backup run --physical --target prod-eu"));
}

#[test]
fn what_cannot_be_done_says_why() {
    let mut seat = Seat::new(sights::empty(), (80, 24), false);
    for (key, why) in [
        ("B", "Back up: no backup repository configured"),
        ("V", "Verify: no backup repository configured"),
        ("+", "Closer: there is no base backup to begin at"),
        ("R", "Restore: there is no base backup to begin at"),
    ] {
        seat.press(key);
        assert_eq!(seat.toast(), why);
    }
    let mut seat = Seat::new(failed_backup(), (80, 24), false);
    seat.press("P");
    assert_eq!(seat.toast(), "Prove: the selected backup is not whole");
    seat.press("1 V");
    assert_eq!(seat.toast(), "Verify: it belongs to the screen Recovery");
}

#[test]
fn lists_have_the_keys_in_turn_and_keep_their_selection() {
    let mut seat = Seat::new(running_job(), (80, 24), false);
    let id = |seat: &Seat, section| {
        seat.model.state.recovery.selected.get(&section).map(Text::to_string)
    };
    seat.press("j j");
    assert_eq!(id(&seat, Section::Backups).as_deref(), Some("20261122T020000Z-physical"));
    seat.press("tab j");
    assert_eq!(id(&seat, Section::Jobs).as_deref(), Some("20261123-091300-zz"));
    seat.press("d");
    for words in ["Job 20261123-091300-zz", "howdah jobs attach 20261123-091300-zz", "copying"] {
        assert!(seat.text().contains(words), "{words}:\n{}", seat.text());
    }
    seat.press("esc tab G d");
    assert!(seat.text().contains("the server did not come up"), "{}", seat.text());
    seat.press("esc shift-tab shift-tab");
    assert_eq!(seat.model.state.recovery.section, Section::Backups);
    assert_eq!(id(&seat, Section::Backups).as_deref(), Some("20261122T020000Z-physical"));
}

#[test]
fn every_selected_row_is_in_sight() {
    let mut snapshot = running_job();
    let more = kept(&mut snapshot).backups.clone();
    for n in 0..40 {
        for backup in &more {
            let mut backup = backup.clone();
            backup.id = Text::from(format!("{}-{n}", backup.id));
            kept(&mut snapshot).backups.push(backup);
        }
    }
    for size in [(80, 24), (60, 12), (40, 9)] {
        let mut seat = Seat::new(snapshot.clone(), size, false);
        for _ in 0..30 {
            seat.press("page-down");
            let layout = seat.painter.paint(
                &seat.model,
                seat.now,
                sights::wall(),
                seat.buffer.area,
                &mut seat.buffer,
            );
            assert!(layout.selection.is_some(), "{size:?}:\n{}", seat.text());
        }
    }
}
