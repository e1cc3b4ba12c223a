//! The guides on screen: the shelf, and a page in every phase, in every size, whatever foreign text says.
#![cfg(feature = "console")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::too_many_lines,
    reason = "fixtures of a test"
)]

use crate::support::dump;
use crate::support::machine;
use crate::support::sights;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::{Arc, LazyLock},
    time::Duration,
};

use crate::support::sights::NOW;
use howdah::{
    base::{
        clock::Timestamp,
        ledger::Who,
        text::{Text, is_unsafe},
    },
    console::{
        app::{
            effects::Told,
            update::{Msg, update},
        },
        command,
        model::{
            Answering, Guides, Model, Offered, Overlay, Screen, Seat, Sheet, Shelf, UiState,
            Waiting,
        },
        screen::{Layout, Ui, render},
        theme::{Depth, Glyphs, Meaning, Theme, Themes},
    },
    guide::{
        handover,
        journal::Site,
        page::{Ask, Guarded, Line, Pace, Page, Undo, page},
        run::Card,
        spec::{Grade, Kind},
        state::Phase,
        walked::Walked,
    },
    watch::snapshot::Snapshot,
};
use proptest::prelude::*;
use ratatui::{buffer::Buffer, layout::Rect};

/// A sight of a healthy target, made once for all frames.
static HEALTHY: LazyLock<Arc<Snapshot>> = LazyLock::new(|| {
    let found = sights::all().into_iter().find(|(name, _)| *name == "healthy");
    found.expect("one").1.into()
});

fn draw(state: &UiState, theme: &Theme, glyphs: Glyphs, size: (u16, u16)) -> (Buffer, Layout) {
    let snapshot = &*HEALTHY;
    let model = Model {
        snapshot: Arc::clone(snapshot),
        latest: Arc::clone(snapshot),
        state: state.clone(),
        keys: command::keymap(&BTreeMap::default()).expect("the keys are right"),
        ..Model::default()
    };
    let ui = Ui {
        theme,
        glyphs,
        now: NOW,
        wall: sights::wall(),
        latest: snapshot,
        bar: &command::bar(&model),
        screens: &command::screens(&model),
        entries: &[],
    };
    let area = Rect::new(0, 0, size.0, size.1);
    let mut buf = Buffer::empty(area);
    let layout = render(snapshot, state, &ui, area, &mut buf);
    (buf, layout)
}

fn began() -> Timestamp {
    sights::wall().checked_sub(std::time::Duration::from_secs(83)).expect("a moment")
}

fn shelf() -> Shelf {
    let guide = |id: &str, title: &str, about: &str| Offered {
        id: id.into(),
        title: title.into(),
        about: about.into(),
        answers: vec![],
        subject: vec![],
        walked: None,
    };
    let run = |id: &str, step: &str, driver: Option<&str>| Waiting {
        id: id.into(),
        title: "Bring lost data back".into(),
        on: "prod-eu".into(),
        step: step.into(),
        began: began(),
        driver: driver.map(Text::from),
        gone: None,
    };
    let walked = |days: u64, left_out: usize| Walked {
        at: sights::wall().checked_sub(Duration::from_secs(days * 86_400)).expect("a moment"),
        by: "anna (postgres)".into(),
        took: Duration::from_secs(252),
        left_out,
        failed: 0,
    };
    Shelf {
        guides: vec![
            guide(
                "restore",
                "Bring lost data back",
                "From 'a table is gone' to its rows back in place.",
            ),
            guide(
                "wal-check",
                "Verify the WAL archive",
                "Settings, a segment there and back, continuity, verdict.",
            ),
            Offered {
                walked: Some(walked(3, 1)),
                ..guide(
                    "breaker",
                    "A circuit breaker is stuck open",
                    "Look, and decide who decides.",
                )
            },
            Offered {
                walked: Some(walked(120, 0)),
                ..guide("hung-server", "The server does not answer", "Tell hung from down.")
            },
        ],
        runs: vec![
            run(
                "a",
                "Bring the cluster back to just before it",
                Some("anna (postgres), process 4711"),
            ),
            run("b", "Which table?", None),
        ],
        trouble: None,
    }
}

fn sheet(body: Vec<Line>, ask: Ask) -> Sheet {
    Sheet {
        run: "20261109-031400-restore".into(),
        page: Page {
            title: "Bring lost data back".into(),
            on: "prod-eu".into(),
            site: site(),
            chunk: "Back to where it was".into(),
            number: 10,
            line: "Bring public.orders back to where it was".into(),
            body,
            undo: None,
            ask,
            chosen: 0,
            began: began(),
            budget: Some(3600),
            pace: None,
            rests: None,
            well: true,
        },
        handover: vec![
            Line::Say("Bring lost data back on ops1 prod-eu …4821".into()),
            Line::Done("03:15:22Z Bring the cluster back: done by job 20261109-031522-ka".into()),
            Line::Say("03:16:00Z TODO by anna: ask who dropped it".into()),
            Line::Say("next: confirm a severe act, or not".into()),
            Line::Command("howdah guide resume 20261109-031400-restore".into()),
        ],
        refusal: None,
        seat: Seat::Ours,
    }
}

fn site() -> Site {
    Site { host: "ops1".into(), target: "prod-eu".into(), tail: Some("4821".into()) }
}

/// A job that runs since then, and may take a minute.
fn runs_since(seconds: u64) -> Sheet {
    let running = vec![
        Line::Command("howdah jobs attach 20261109-031522-ka".into()),
        Line::Say("step: restore a cluster".into()),
        Line::Say("replaying WAL  41.2 MB of 88.1 MB  47%  12 MB/s  4s left".into()),
        watch(Some(Ok("41872".into()))),
        watch(Some(Err("it did not end within 30s, and was ended".into()))),
    ];
    let ask = Ask::Wait("it runs, and goes on without this terminal".into());
    let mut sheet = sheet(running, ask);
    sheet.page.pace = Some(Pace {
        since: sights::wall().checked_sub(Duration::from_secs(seconds)).expect("a moment"),
        budget: Duration::from_mins(1),
        silence: "while WAL is replayed it may stand still for as long as a segment takes".into(),
    });
    sheet
}

fn watch(seen: Option<Result<Text, Text>>) -> Line {
    let limit = "room left where it is brought back to (MB): at least 512".into();
    Line::Watch(Guarded { id: (0, 0), limit, seen })
}

fn fact(label: &str, value: Option<&str>, well: Option<bool>) -> Line {
    Line::Fact { label: label.into(), value: value.map(Text::from), well }
}

fn plan(lines: usize) -> Vec<Line> {
    let line =
        |n| Line::Plan(format!("comes      entry number {n} of the table of contents").into());
    (0..lines)
        .map(line)
        .chain([Line::Command("howdah restore table --target prod-eu --from-cluster /tmp/howdah-restored --database shop --table public.orders --in-place".into())])
        .collect()
}

fn severe() -> Sheet {
    let challenge = Some("prod-eu/4821".into());
    let ask = Ask::Confirm { grade: Grade::Severe, challenge, since: began() };
    let mut sheet = sheet(plan(4), ask);
    sheet.page.undo = Some(Undo::By("DROP TABLE public.orders: it is a new one".into()));
    sheet
}

/// Every phase of a page, and the shelf.
fn sheets() -> Vec<(&'static str, Option<Sheet>, Overlay)> {
    let facts = || {
        vec![
            Line::Say("Compare it with what you were called for.".into()),
            fact("address", Some("db.example:5432/shop as postgres"), None),
            fact("role", Some("standby"), Some(false)),
            fact("gaps", Some("0"), Some(true)),
            fact("proven", None, None),
        ]
    };
    let mut refused = severe();
    refused.refusal =
        Some("it has stood there for a moment only: what is typed ahead does not count".into());
    let mut rests = sheet(facts(), Ask::Accept("take these values".into()));
    rests.page.rests = Some("rests since 03:20:00Z by anna: lunch".into());
    let mut unwell = sheet(facts(), Ask::Accept("take these values".into()));
    unwell.page.well = false;
    let mut never =
        sheet(plan(30), Ask::Confirm { grade: Grade::Mild, challenge: None, since: began() });
    never.page.undo = Some(Undo::Never);
    let choices = Ask::Choose(vec![
        "transaction 2307, committed 2026-11-09T03:10:25Z".into(),
        "transaction 1914, committed 2026-11-08T22:41:07Z".into(),
    ]);
    let stopped = vec![
        Line::Bad("03:15:40Z stopped: failed, as a share: at most 0.05, and it is 0.31".into()),
        Line::Say("undo: howdah breaker set api-1 disabled".into()),
        Line::Say("To go on all the same, leave it out with a reason.".into()),
    ];
    let decisions = Ask::Choose(vec![
        "Take the way out: Let api-1 only count again".into(),
        "Look once more, and go on if it is well".into(),
    ]);
    let account = vec![
        Line::Done("03:14:05Z Which table?: public.orders".into()),
        Line::Bad("begun, and not seen to its end: Bring it back: job 20261109-031522-ka".into()),
    ];
    let answering = Overlay::Answer(Answering::Answer);
    let theirs = Sheet { seat: Seat::Theirs("anna (postgres), process 4711".into()), ..severe() };
    let free = Sheet { seat: Seat::Free, ..rests.clone() };
    vec![
        ("theirs", Some(theirs), Overlay::None),
        ("free", Some(free), Overlay::None),
        ("shelf", None, Overlay::None),
        ("accept", Some(sheet(facts(), Ask::Accept("take these values".into()))), Overlay::None),
        ("unwell", Some(unwell), Overlay::None),
        ("choose", Some(sheet(vec![], choices)), Overlay::None),
        ("nothing_to_choose", Some(sheet(vec![], Ask::Choose(vec![]))), Overlay::None),
        ("enter", Some(sheet(vec![], Ask::Enter("shop".into()))), answering),
        ("severe", Some(severe()), answering),
        ("refused", Some(refused), Overlay::None),
        ("no_undo_and_a_long_plan", Some(never), Overlay::None),
        ("reason", Some(severe()), Overlay::Answer(Answering::Reason)),
        ("running", Some(runs_since(17)), Overlay::None),
        ("late", Some(runs_since(75)), Overlay::None),
        ("stopped", Some(sheet(stopped, decisions)), Overlay::None),
        ("handover", Some(severe()), Overlay::Handover),
        ("todo", Some(severe()), Overlay::Answer(Answering::Todo)),
        (
            "failed",
            Some(sheet(vec![Line::Bad("the plan is no longer a1b2 but c3d4".into())], Ask::Failed)),
            Overlay::None,
        ),
        ("rests", Some(rests), Overlay::None),
        ("over", Some(sheet(account, Ask::Over)), Overlay::None),
    ]
}

fn state(sheet: Option<Sheet>, overlay: Overlay) -> UiState {
    UiState {
        screen: Screen::Guides,
        overlay,
        line: "prod-eu/48".into(),
        guides: Guides {
            shelf: Arc::new(shelf()),
            sheet: sheet.map(Arc::new),
            choice: 1,
            ..Guides::default()
        },
        ..UiState::default()
    }
}

#[test]
fn every_page() {
    let mono = Themes::built_in().pick("mono", Depth::None).expect("there");
    for (name, sheet, overlay) in sheets() {
        let state = state(sheet, overlay);
        for size in [(80, 24), (120, 40)] {
            let (buf, layout) = draw(&state, &Theme::default(), Glyphs::Unicode, size);
            insta::assert_snapshot!(
                format!("guides_{name}_{}x{}", size.0, size.1),
                dump::styled(&buf)
            );
            assert_eq!(layout.cursor.is_some(), overlay.is_typing(), "{name}");
        }
        let (buf, _) = draw(&state, &mono, Glyphs::Ascii, (80, 24));
        insta::assert_snapshot!(format!("guides_{name}_80x24_mono"), dump::styled(&buf));
    }
}

/// The page of a walk, as the console opens it.
fn page_of(walk: &machine::Walk) -> UiState {
    let card = Card {
        guide: walk.guide.clone(),
        values: walk.base.clone(),
        began: began(),
        who: Who::current(Some("anna")),
        host: "ops1".into(),
        on: machine::NAME.into(),
        budget: Some(3600),
        common: vec![],
    };
    let page = page(&card, &walk.state, None);
    let handover = handover::note("20261123-091244", &card, &walk.state, None);
    let (refusal, seat) = (None, Seat::Ours);
    let sheet = Sheet { run: "20261123-091244".into(), page, handover, refusal, seat };
    let mut model = Model::default();
    model.state.screen = Screen::Guides;
    update(&mut model, Msg::Told(Told::Sheet(Some(Arc::new(sheet)))), NOW);
    model.state.guides.shelf = Arc::new(shelf());
    model.state
}

/// Each page of a guide on which the person has the word or a job runs, with its end: by every choice.
fn pages_of(guide: &howdah::guide::spec::Guide) -> BTreeMap<(usize, u8, &'static str), UiState> {
    let mut pages = BTreeMap::new();
    for choice in 0..6 {
        let mut walk = machine::Walk::new(guide.clone(), machine::base());
        for _ in 0..200 {
            let phase = match &walk.state.phase {
                Phase::Asking => Some((0, "asks")),
                Phase::Confirming { .. } => Some((1, "would do")),
                Phase::Acting { .. } => Some((2, "does")),
                Phase::Over(_) => Some((3, "is over")),
                _ => None,
            };
            if let Some((order, phase)) = phase {
                pages.entry((walk.state.at, order, phase)).or_insert_with(|| page_of(&walk));
            }
            if !walk.bring(true) && !walk.answer(choice) {
                break;
            }
        }
    }
    pages
}

#[test]
fn every_step_of_every_guide() {
    for guide in machine::ours() {
        let pages = pages_of(&guide);
        let met: BTreeSet<usize> = pages.keys().map(|(step, ..)| *step).collect();
        assert_eq!(met.len(), guide.steps.len() + 1, "{}: all steps, and its end", guide.id);
        let mut all = String::new();
        for ((step, _, phase), state) in pages {
            let step = guide.steps.get(step).map_or("end", |step| step.id.as_str());
            let (buf, _) = draw(&state, &Theme::default(), Glyphs::Unicode, (80, 24));
            let _ = writeln!(all, "== {step} {phase}\n{}", dump::styled(&buf));
        }
        insta::assert_snapshot!(format!("guide_steps_{}", guide.id), all);
    }
}

#[test]
fn what_matters_before_a_deed_is_always_in_sight() {
    for height in 10..40 {
        let mut sheet = severe();
        sheet.page.body = plan(30);
        let state = state(Some(sheet), Overlay::Answer(Answering::Answer));
        let (buf, _) = draw(&state, &Theme::default(), Glyphs::Unicode, (80, height));
        let text = dump::text(&buf);
        let always =
            ["undo: DROP TABLE", "Type prod-eu/4821 to do it", "PROD", "ops1 prod-eu …4821"];
        for words in always {
            assert!(text.contains(words), "{words} at 80x{height}:\n{text}");
        }
    }
}

/// Each act of ours says what it comes to, and how it is undone stands right above what confirms it: once, and in the
/// same place in every guide.
#[test]
fn every_act_says_what_it_costs_and_its_undo_in_one_place() {
    let mut acts = 0;
    for guide in machine::ours() {
        for ((at, _, phase), state) in pages_of(&guide) {
            let step = &guide.steps[at.min(guide.steps.len() - 1)];
            let Kind::Act { grade, planned, undo, .. } = &step.kind else { continue };
            if phase != "would do" {
                continue;
            }
            acts += 1;
            let place = format!("{} {}", guide.id, step.id);
            let told = *planned || *grade == Grade::Mild || !step.say.is_empty();
            assert!(told, "{place} shows no plan and says nothing of what it comes to");
            for size in [(80, 24), (120, 40)] {
                let (buf, _) = draw(&state, &Theme::default(), Glyphs::Unicode, size);
                let text = dump::text(&buf);
                let lines: Vec<&str> =
                    text.lines().map(|line| line.trim_matches(['│', ' '])).collect();
                let rows = |begin: &str| {
                    let found =
                        lines.iter().enumerate().filter(|(_, line)| line.starts_with(begin));
                    found.map(|(row, _)| row).collect::<Vec<_>>()
                };
                let word = if undo.is_some() { "undo: " } else { "NO UNDO" };
                // Above the frame's last line and that of the keys; what is typed has a line more.
                let (confirms, below) =
                    if *grade == Grade::Mild { ("Enter does it", 3) } else { ("Type ", 4) };
                let (undone, confirmed) = (rows(word), rows(confirms));
                assert!(undone.len() == 1 && confirmed.len() == 1, "{place} at {size:?}:\n{text}");
                assert_eq!(
                    confirmed[0],
                    usize::from(size.1) - below,
                    "{place} at {size:?}:\n{text}"
                );
                // Words of the undo may take two lines.
                let between = confirmed[0] - undone[0];
                assert!((1..=2).contains(&between), "{place} at {size:?}:\n{text}");
                assert!(!lines[undone[0]].ends_with('…'), "{place} at {size:?}:\n{text}");
                if *planned {
                    let plan = machine::plan(step).text;
                    let whole = plan.iter().all(|line| text.contains(line.as_str()));
                    assert!(whole, "{place} at {size:?}:\n{text}");
                }
            }
        }
    }
    assert!(acts >= 20, "{acts}");
}

/// The time of day, what would be lost now, and how long it has taken stand on each page; the promise for RTO only
/// where something is down.
#[test]
fn the_clocks_stand_on_every_page() {
    let mut promised = 0;
    for guide in machine::ours() {
        for ((at, _, phase), state) in pages_of(&guide) {
            let sheet = state.guides.sheet.clone().expect("a sheet");
            for size in [(80, 24), (120, 40)] {
                let (buf, _) = draw(&state, &Theme::default(), Glyphs::Unicode, size);
                let text = dump::text(&buf);
                let place = format!("{} {at} {phase} at {size:?}:\n{text}", guide.id);
                for words in ["09:14:07Z", "RPO 0:42/15:00"] {
                    assert!(text.contains(words), "{words}: {place}");
                }
                let (rto, plain) = ("RTO 1:23 of 1:00:00", "since the beginning 1:23");
                let (wanted, other) =
                    if sheet.page.budget.is_some() { (rto, plain) } else { (plain, rto) };
                assert_eq!(text.contains(wanted), phase != "is over", "{wanted}: {place}");
                assert!(!text.contains(other), "{other}: {place}");
            }
            promised += usize::from(sheet.page.budget.is_some());
        }
    }
    assert!(promised > 10, "{promised}");
}

/// A warning from half of the promise on, critical from four fifths.
#[test]
fn the_clock_of_an_outage_warns_in_time() {
    let theme = Theme::default();
    for (percent, meaning) in [
        (49, Meaning::Muted),
        (50, Meaning::Warning),
        (79, Meaning::Warning),
        (80, Meaning::Critical),
        (120, Meaning::Critical),
    ] {
        let mut sheet = severe();
        sheet.page.budget = Some(1000);
        sheet.page.began =
            sights::wall().checked_sub(Duration::from_secs(percent * 10)).expect("a moment");
        let (buf, _) = draw(&state(Some(sheet), Overlay::None), &theme, Glyphs::Unicode, (80, 24));
        let cells: Vec<&str> = (0..80).map(|x| buf[(x, 2)].symbol()).collect();
        let at = cells.windows(3).position(|three| three == ["R", "T", "O"]).expect("the clock");
        let clock = buf[(at as u16, 2)].style();
        assert_eq!(clock.fg, theme.style(meaning).fg, "{percent} %");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_page_at_any_size_with_any_text(
        raw in "(\u{1b}|\\PC|\u{7}|\u{202e}|[a-z ]){0,60}",
        which in 0_usize..20,
        (width, height) in (1_u16..300, 1_u16..100),
        (choice, scroll) in (0_usize..9, 0_u16..200),
        ascii in any::<bool>(),
    ) {
        let (_, sheet, overlay) = sheets().swap_remove(which);
        let sheet = sheet.map(|mut sheet| {
            let text = || Text::foreign(&raw);
            sheet.page.title = text();
            sheet.page.on = text();
            sheet.page.site = Site { host: text(), target: text(), tail: Some(text()) };
            sheet.handover.push(Line::Say(text()));
            sheet.page.line = text();
            sheet.page.body.push(Line::Say(text()));
            sheet.page.body.push(fact(&raw, Some(&raw), Some(false)));
            sheet.page.undo = Some(Undo::By(text()));
            sheet.refusal = Some(text());
            sheet
        });
        let mut state = state(sheet, overlay);
        state.guides.choice = choice;
        state.guides.scroll = scroll;
        let glyphs = if ascii { Glyphs::Ascii } else { Glyphs::Unicode };
        let (buf, _) = draw(&state, &Theme::default(), glyphs, (width, height));
        for cell in &buf.content {
            prop_assert!(!cell.symbol().chars().any(is_unsafe), "{:?}", cell.symbol());
        }
    }
}
