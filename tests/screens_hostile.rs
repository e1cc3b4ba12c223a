//! Whatever names and messages hold, and whatever size the screen has: no panic, and no character in the
//! frame that could steer the terminal or hide what stands there.
#![cfg(feature = "console")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::too_many_lines,
    reason = "fixtures of a test"
)]

use crate::support::sights;
use crate::support::sights::NOW;
use howdah::{
    base::{
        clock::Timestamp,
        progress::{Measured, Progress},
        text::{Text, is_unsafe},
    },
    console::{
        command,
        model::{
            Errand, Model, Overlay, Pane, Question, RecoveryState, Screen, Section, SilenceForm,
            Toast, Tone, UiState,
        },
        screen::{Ui, render},
        theme::{Glyphs, Theme},
    },
    watch::snapshot::{
        BackupState, BaseBackup, Job, JobState, Known, Snapshot, Timeline, WalPoint,
    },
};
use proptest::prelude::*;
use ratatui::{buffer::Buffer, layout::Rect};

/// Bits that strings are put together from: escapes, controls, bidirectional and invisible characters, wide
/// and combining ones, and plain words.
fn hostile() -> impl Strategy<Value = String> {
    let bits = prop_oneof![
        Just("\x1b]52;c;aGk=\x07".to_owned()),
        Just("\x1b[2J\x1b[31m".to_owned()),
        Just("\u{9b}31m".to_owned()),
        Just("\u{202e}abc\u{2066}".to_owned()),
        Just("\u{200b}\u{200d}\u{feff}".to_owned()),
        Just("\r\n\t\x08\x7f\0".to_owned()),
        Just("日本語".to_owned()),
        Just("👩‍👩‍👧🏳️‍🌈".to_owned()),
        Just("e\u{301}\u{301}\u{301}".to_owned()),
        Just("שלום".to_owned()),
        Just("api-1 ".to_owned()),
        any::<String>(),
    ];
    proptest::collection::vec(bits, 0..5).prop_map(|bits| bits.concat())
}

/// The same text everywhere that a text may stand.
fn poisoned(mut s: Snapshot, raw: &str) -> Snapshot {
    let text = || Text::foreign(raw);
    s.target.name = text();
    s.target.address = text();
    if let Some(problem) = &mut s.link.problem {
        problem.what = text();
        problem.remedy = text();
    }
    if let Known::Is(identity) = &mut s.identity {
        identity.version = text();
        identity.user = text();
        identity.database = text();
    }
    if let Known::Is(rpo) = &mut s.recoverability.rpo {
        rpo.source = text();
        rpo.ways.push((text(), Known::Blind(text())));
    }
    s.recoverability.rto = Known::Unknown(text());
    s.recoverability.pitr = Known::Blind(text());
    match &mut s.backup.repository {
        Known::Is(kept) => {
            kept.location = text();
            kept.timeline = Known::Is(poisoned_line(&text(), raw.len()));
            for proof in &mut kept.proofs {
                proof.name = text();
                proof.backup = text();
                proof.findings = vec![text(), text()];
            }
            if raw.len() % 4 == 1 {
                kept.expiry = Known::Unknown(text());
            }
            for backup in &mut kept.backups {
                backup.id = text();
                backup.method = text();
                if let BackupState::Failed { why, .. } = &mut backup.state {
                    *why = text();
                }
            }
        }
        unseen => *unseen = Known::Unknown(text()),
    }
    if let Known::Is(archiver) = &mut s.backup.archiver {
        archiver.last_wal = Some(text());
        archiver.last_failed_wal = Some(text());
        archiver.ready = Known::Blind(text());
    }
    for running in &mut s.backup.running {
        running.phase = text();
    }
    if let Known::Is(jobs) = &mut s.jobs {
        for job in jobs {
            job.id = text();
            job.what = text();
            job.command = text();
            job.who = text();
            job.step = Some(text());
            job.left = vec![text()];
        }
        let running = sights::job("running", raw, 30, JobState::Running);
        let progress = Progress::bytes(text(), 5, Some(raw.len() as u64)).with_note(text());
        let measured = Measured { progress, rate: Some(1.5), seconds_left: Some(70) };
        let lost = Job { left: vec![text()], ..sights::job("x", raw, 9, JobState::Lost(text())) };
        s.jobs = Known::Is(vec![lost, Job { progress: Some(measured), ..running }]);
    } else {
        s.jobs = Known::Unknown(text());
    }
    for pool in &mut s.pools {
        pool.name = text();
        pool.note = Some(Text::foreign(&format!("paused{raw}")));
    }
    for breaker in &mut s.breakers {
        breaker.name = text();
    }
    for source in &mut s.sources {
        source.address = text();
        if let Some(problem) = &mut source.problem {
            problem.what = text();
        }
    }
    for check in &mut s.checks {
        check.id = text();
        check.unit = text();
        check.warn = text();
        check.error = Some(text());
        for finding in &mut check.findings {
            finding.subject = text();
            finding.detail = text();
        }
    }
    for alert in &mut s.alerts {
        alert.id = text();
        alert.check = text();
        alert.subject = text();
        alert.unit = text();
        alert.threshold = text();
        alert.detail = text();
        alert.remedy = text();
        alert.muted = vec![text(), text()];
        if let Some(silence) = &mut alert.silenced {
            silence.by = text();
            silence.why = text();
        }
    }
    s
}

/// A line of time with gaps, backups of one moment, and moments that lie as far apart as can be.
fn poisoned_line(name: &Text, seed: usize) -> Timeline {
    let at = |second: i64| Timestamp::from_second(second).expect("a moment");
    let now = sights::wall().as_second();
    let base = |from: i64, to: i64| BaseBackup {
        id: name.clone(),
        from: at(from),
        to: at(to),
        start: seed as u64,
        missing: Some(name.clone()),
    };
    let bases = match seed % 5 {
        0 => Vec::new(),
        1 => vec![base(now, now)],
        2 => vec![base(now - 9_000, now - 8_000), base(now - 4_000, now - 10)],
        3 => vec![base(-300_000_000_000, -299_000_000_000), base(0, now + 200_000_000_000)],
        _ => vec![base(now - 50, now - 60), base(now + 70, now + 80)],
    };
    let wal = bases.iter().map(|base| WalPoint { at: base.to, end: u64::MAX }).collect();
    Timeline { bases, wal }
}

fn overlay() -> impl Strategy<Value = Overlay> {
    prop_oneof![
        Just(Overlay::None),
        Just(Overlay::Help),
        Just(Overlay::Palette),
        Just(Overlay::Filter),
        Just(Overlay::Detail),
        Just(Overlay::Sources),
        Just(Overlay::Question),
        Just(Overlay::Silence),
    ]
}

fn size() -> impl Strategy<Value = (u16, u16)> {
    prop_oneof![
        (1_u16..300, 1_u16..100),
        // Most edges are met on small screens.
        (1_u16..50, 1_u16..12),
        Just((80, 24)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_screen_at_any_size_with_any_text(
        raw in hostile(),
        (width, height) in size(),
        which in 0_usize..13,
        overlay in overlay(),
        focus in 0_usize..4,
        (screen, section, moved, scale) in
            (0_usize..3, 0_usize..3, prop::option::of(-400_000_i64..9_000), 0_u8..20),
        zoomed in any::<bool>(),
        (scroll, choice) in (0_u16..200, 0_usize..60),
        ascii in any::<bool>(),
        toasted in any::<bool>(),
    ) {
        let mut snapshots: Vec<Snapshot> = sights::all().into_iter().map(|(_, s)| s).collect();
        snapshots.push(sights::crowded());
        let snapshot = poisoned(snapshots.swap_remove(which), &raw);
        let focus = Pane::ALL[focus];
        let state = UiState {
            focus,
            zoom: zoomed.then_some(focus),
            screen: Screen::ALL[screen],
            recovery: RecoveryState {
                section: Section::ALL[section],
                moment: moved.map(|by| {
                    Timestamp::from_second(sights::wall().as_second() + by).expect("a moment")
                }),
                scale,
                ..RecoveryState::default()
            },
            question: Some(Question {
                errand: Errand::Prove,
                words: vec!["prove".to_owned(), raw.clone()],
                since: NOW,
            }),
            silence: snapshot.alerts.first().map(|alert| SilenceForm::of(alert, &snapshot)),
            overlay,
            scroll,
            choice,
            line: raw.as_str().into(),
            filter: if choice % 3 == 0 { raw.clone() } else { String::new() },
            toast: toasted.then(|| Toast {
                text: Text::foreign(&raw),
                tone: Tone::Refusal,
                until: NOW.plus(std::time::Duration::from_secs(1)),
            }),
            ..UiState::default()
        };
        let model = Model { state: state.clone(), ..Model::default() };
        let theme = Theme::default();
        let ui = Ui {
            theme: &theme,
            glyphs: if ascii { Glyphs::Ascii } else { Glyphs::Unicode },
            now: NOW,
            wall: sights::wall(),
            latest: &snapshot,
            bar: &command::bar(&model),
        screens: &command::screens(&model),
            entries: &command::all(&model),
        };
        // An area that is not the whole buffer: nothing may be drawn beside it.
        let area = Rect::new(2, 1, width, height);
        let mut buf = Buffer::empty(Rect::new(0, 0, width + 4, height + 2));
        let layout = render(&snapshot, &state, &ui, area, &mut buf);
        for y in buf.area.top()..buf.area.bottom() {
            for x in buf.area.left()..buf.area.right() {
                let symbol = buf[(x, y)].symbol();
                prop_assert!(!symbol.chars().any(is_unsafe), "{symbol:?} at {x},{y}");
                if !area.contains((x, y).into()) {
                    prop_assert_eq!(symbol, " ", "drawn outside at {},{}", x, y);
                }
            }
        }
        for at in [layout.cursor, layout.selection].into_iter().flatten() {
            prop_assert!(area.contains(at), "{at:?} outside of {area:?}");
        }
    }
}
