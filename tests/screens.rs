//! What is on screen in every state and size: whole words, right styles, never a panic.
#![cfg(feature = "console")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::too_many_lines,
    reason = "fixtures of a test"
)]

use crate::support::dump;
use crate::support::sights;
use std::collections::BTreeMap;

use crate::support::sights::NOW;
use howdah::{
    base::text::Text,
    console::{
        command,
        model::{Model, Overlay, Pane, SilenceForm, UiState},
        screen::{Layout, Ui, render},
        theme::{Depth, Glyphs, Theme, Themes},
    },
    watch::snapshot::Snapshot,
};
use ratatui::{buffer::Buffer, layout::Rect};

/// Draws one frame.
fn draw(
    snapshot: &Snapshot,
    state: &UiState,
    theme: &Theme,
    glyphs: Glyphs,
    (width, height): (u16, u16),
) -> (Buffer, Layout) {
    let model = Model {
        snapshot: snapshot.clone().into(),
        latest: snapshot.clone().into(),
        state: state.clone(),
        keys: command::keymap(&BTreeMap::default()).expect("the keys are right"),
        themes: vec!["ansi".to_owned(), "mono".to_owned()],
        ..Model::default()
    };
    let entries = match state.overlay {
        Overlay::Palette => command::matching(&model, state.line.value()),
        _ => command::all(&model),
    };
    let ui = Ui {
        theme,
        glyphs,
        now: NOW,
        wall: sights::wall(),
        latest: snapshot,
        bar: &command::bar(&model),
        screens: &command::screens(&model),
        entries: &entries,
    };
    let area = Rect::new(0, 0, width, height);
    let mut buf = Buffer::empty(area);
    let layout = render(snapshot, state, &ui, area, &mut buf);
    (buf, layout)
}

fn plain(snapshot: &Snapshot, state: &UiState, size: (u16, u16)) -> String {
    dump::text(&draw(snapshot, state, &Theme::default(), Glyphs::Unicode, size).0)
}

fn zoomed(pane: Pane) -> UiState {
    UiState { focus: pane, zoom: Some(pane), ..UiState::default() }
}

#[test]
fn overview_in_every_state() {
    let mono = Themes::built_in().pick("mono", Depth::None).expect("there");
    for (name, snapshot) in sights::all() {
        let state = UiState::default();
        for size in [(80, 24), (120, 40)] {
            let (buf, _) = draw(&snapshot, &state, &Theme::default(), Glyphs::Unicode, size);
            insta::assert_snapshot!(
                format!("overview_{name}_{}x{}", size.0, size.1),
                dump::styled(&buf)
            );
        }
        let (buf, _) = draw(&snapshot, &state, &mono, Glyphs::Ascii, (80, 24));
        insta::assert_snapshot!(format!("overview_{name}_80x24_mono"), dump::styled(&buf));
    }
}

/// A word that must be read whole wherever there is room for four panes.
fn must_say(name: &str) -> &'static [&'static str] {
    match name {
        "loading" => &["PROD", "connecting 2s", "CONNECTING", "RPO", "RTO", "PITR", "waiting for"],
        "healthy" => &[
            "PROD",
            "● live",
            "prod-eu",
            "primary",
            "tl 3",
            "…4821",
            "12/197",
            "✓ no alert",
            "proven L5",
        ],
        "degraded" => &[
            "2 CRIT",
            "1 WARN",
            "RPO ≤22:10/15:00 ✗ OVER",
            "PITR",
            "FULL",
            "QUEUE",
            "STALE",
            "OPEN",
            "FORCED OPEN",
            "HALF-OPEN",
            "CLOSED",
            "■ CRIT",
            "▲ WARN",
            "FAILING",
            "NEVER",
            "pending",
            "try in 18s",
            "2/3 probes",
            "pool exhausted api-2",
            "logical FAILED",
            "proven L5",
            "logical DAMAGED",
        ],
        "met" => {
            &["PROD", "● live", "primary", "tl 3", "…4821", "— conns", "RPO —", "no check yet"]
        }
        "stale" => &["▲ STALE 7s", "STALE    7s", "alerts STALE", "prod-eu"],
        "down" => &["■ DOWN 8s, next try 1s", "connection refused", "STALE 9s", "alerts STALE"],
        "hung" => &["HUNG, STALE 12s", "STALE   12s", "no answer within 1s"],
        "refused" => {
            &["■ REFUSED 3s", "password authentication failed", "nothing has been seen yet"]
        }
        "blind" => &["RPO ? BLIND", "? BLIND conns", "some BLIND", "5 BLIND", "pg_monitor"],
        "engines" => {
            &["pgBackRest main full 2.0 GB, the", "last one FAILED", "Barman db1: 'barman' is not"]
        }
        "quiet" => &[
            "● 2 silenced",
            "Health alerts 2 silenced",
            "silenced 27m",
            "silenced 7h42m",
            "PAUSE",
            "4:12",
            "shop paused, resumes by itself in 4:12, held by ada@db1: switch to db2",
        ],
        _ => &["ENV ?", "RPO — no archive, no standby, no backup", "OFF", "howdah config example"],
    }
}

/// The words of a screen with every run of blanks and line ends between words as one blank, pane by pane,
/// so that words that are broken over two lines of a pane are found.
fn words(screen: &str) -> String {
    let half = |right: bool| {
        let cells = |line: &str| -> String {
            let cells: Vec<char> = line.chars().collect();
            let middle = cells.len().min(40);
            if right { cells[middle..].iter().collect() } else { cells[..middle].iter().collect() }
        };
        screen.lines().map(cells).collect::<Vec<_>>().join(" ")
    };
    let flat =
        |text: String| text.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{screen}\n{}\n{}", flat(half(false)), flat(half(true)))
}

#[test]
fn critical_words_are_whole_at_80x24() {
    for (name, snapshot) in sights::all() {
        let screen = words(&plain(&snapshot, &UiState::default(), (80, 24)));
        for word in must_say(name) {
            assert!(screen.contains(word), "'{word}' is missing in '{name}':\n{screen}");
        }
    }
}

#[test]
fn the_large_overview_uses_its_room() {
    for (name, snapshot) in [("degraded", sights::degraded()), ("crowded", sights::crowded())] {
        let (buf, _) =
            draw(&snapshot, &UiState::default(), &Theme::default(), Glyphs::Unicode, (200, 60));
        insta::assert_snapshot!(format!("overview_{name}_200x60"), dump::styled(&buf));
    }
}

#[test]
fn every_pane_zoomed() {
    for pane in [Pane::Pools, Pane::Breakers, Pane::Alerts] {
        for size in [(80, 24), (120, 40)] {
            let state = zoomed(pane);
            let (buf, _) =
                draw(&sights::degraded(), &state, &Theme::default(), Glyphs::Unicode, size);
            let name = format!("zoom_{pane:?}_{}x{}", size.0, size.1).to_lowercase();
            insta::assert_snapshot!(name, dump::styled(&buf));
        }
    }
    let (buf, _) = draw(
        &sights::healthy(),
        &zoomed(Pane::Alerts),
        &Theme::default(),
        Glyphs::Unicode,
        (80, 24),
    );
    insta::assert_snapshot!("zoom_alerts_healthy_80x24", dump::styled(&buf));
}

#[test]
fn every_overlay() {
    for overlay in
        [Overlay::Help, Overlay::Palette, Overlay::Filter, Overlay::Detail, Overlay::Sources]
    {
        let typed = match overlay {
            Overlay::Palette => "in",
            Overlay::Filter => "api",
            _ => "",
        };
        let state = UiState {
            focus: Pane::Alerts,
            overlay,
            line: typed.into(),
            filter: if overlay == Overlay::Filter { typed.to_owned() } else { String::new() },
            choice: 2,
            ..UiState::default()
        };
        for size in [(80, 24), (120, 40)] {
            let (buf, layout) =
                draw(&sights::degraded(), &state, &Theme::default(), Glyphs::Unicode, size);
            assert_eq!(layout.cursor.is_some(), overlay.is_typing(), "{overlay:?}");
            let name = format!("overlay_{overlay:?}_{}x{}", size.0, size.1).to_lowercase();
            insta::assert_snapshot!(name, dump::styled(&buf));
        }
    }
}

#[test]
fn the_form_of_a_silence_and_what_is_known_of_one() {
    let mut snapshot = sights::degraded();
    let form = SilenceForm::of(&snapshot.alerts[2], &snapshot);
    let mut state = UiState {
        focus: Pane::Alerts,
        overlay: Overlay::Silence,
        line: "rep-2 is being made anew".into(),
        silence: Some(form),
        ..UiState::default()
    };
    let mono = Themes::built_in().pick("mono", Depth::None).expect("there");
    for size in [(80, 24), (120, 40)] {
        let (buf, layout) = draw(&snapshot, &state, &Theme::default(), Glyphs::Unicode, size);
        assert!(layout.cursor.is_some(), "it is typed into");
        insta::assert_snapshot!(format!("silence_{}x{}", size.0, size.1), dump::styled(&buf));
    }
    let (buf, _) = draw(&snapshot, &state, &mono, Glyphs::Ascii, (80, 24));
    insta::assert_snapshot!("silence_80x24_mono", dump::styled(&buf));
    for size in [(40, 10), (20, 4), (3, 2)] {
        plain(&snapshot, &state, size);
    }
    state = UiState { overlay: Overlay::Detail, ..zoomed(Pane::Alerts) };
    snapshot = sights::quiet();
    let (buf, _) = draw(&snapshot, &state, &Theme::default(), Glyphs::Unicode, (120, 40));
    insta::assert_snapshot!("silenced_detail_120x40", dump::styled(&buf));
}

#[test]
fn one_pane_on_small_screens() {
    for size in [(79, 24), (60, 12), (40, 10), (30, 6), (20, 4), (12, 2)] {
        for pane in [Pane::Pools, Pane::Alerts] {
            let state = UiState { focus: pane, ..UiState::default() };
            let (buf, _) =
                draw(&sights::degraded(), &state, &Theme::default(), Glyphs::Unicode, size);
            let name = format!("small_{pane:?}_{}x{}", size.0, size.1).to_lowercase();
            insta::assert_snapshot!(name, dump::text(&buf));
        }
    }
}

#[test]
fn a_frozen_screen_says_so_and_its_ages_stand_still() {
    let frozen = NOW.minus(std::time::Duration::from_secs(42));
    let state = UiState { frozen: Some(frozen), ..UiState::default() };
    let screen = plain(&sights::healthy(), &state, (80, 24));
    assert!(screen.contains(" FROZEN 0:42 "), "{screen}");
    assert!(!screen.contains("STALE"), "{screen}");
    assert!(screen.contains("09:14:07Z"), "the clock goes on: {screen}");
}

#[test]
fn the_link_is_told_live_while_the_screen_is_frozen() {
    let model = Model::default();
    let state = UiState { frozen: Some(NOW), ..UiState::default() };
    let (shown, latest) = (sights::healthy(), sights::down());
    let theme = Theme::default();
    let ui = Ui {
        theme: &theme,
        glyphs: Glyphs::Unicode,
        now: NOW,
        wall: sights::wall(),
        latest: &latest,
        bar: &command::bar(&model),
        screens: &command::screens(&model),
        entries: &[],
    };
    let area = Rect::new(0, 0, 80, 24);
    let mut buf = Buffer::empty(area);
    render(&shown, &state, &ui, area, &mut buf);
    let screen = dump::text(&buf);
    assert!(screen.contains("DOWN 8s, next try 1s"), "{screen}");
    assert!(screen.contains("FROZEN"), "{screen}");
}

#[test]
fn silence_is_stale_even_when_the_link_seems_live() {
    let screen = plain(&sights::stale(), &UiState::default(), (80, 24));
    assert!(screen.lines().next().is_some_and(|line| line.contains("▲ STALE 7s")), "{screen}");
}

#[test]
fn a_message_passes_by() {
    use howdah::console::model::{Toast, Tone};
    let toast = |until| Toast { text: Text::ours("theme: dark"), tone: Tone::Info, until };
    let shown = |until| {
        let state = UiState { toast: Some(toast(until)), ..UiState::default() };
        plain(&sights::healthy(), &state, (80, 24)).contains("theme: dark")
    };
    assert!(shown(NOW.plus(std::time::Duration::from_secs(1))));
    assert!(!shown(NOW));
}

#[test]
fn the_selected_row_is_in_sight_wherever_it_is() {
    let snapshot = sights::crowded();
    for pane in Pane::ALL {
        let rows = howdah::console::model::rows(&snapshot, pane, "");
        for row in rows.iter() {
            for zoom in [None, Some(pane)] {
                let mut state = UiState { focus: pane, zoom, ..UiState::default() };
                state.selected.insert(pane, row.id.clone());
                for size in [(80, 24), (40, 10)] {
                    let layout =
                        draw(&snapshot, &state, &Theme::default(), Glyphs::Unicode, size).1;
                    assert!(layout.selection.is_some(), "{pane:?} {} {zoom:?} {size:?}", row.id);
                }
            }
        }
    }
}

#[test]
fn all_checks_can_be_reached_below_the_zoomed_alerts() {
    let snapshot = sights::degraded();
    let mut state = zoomed(Pane::Alerts);
    let mut seen = String::new();
    let (shown, all) =
        draw(&snapshot, &state, &Theme::default(), Glyphs::Unicode, (80, 24)).1.below;
    assert!(shown > 0 && usize::from(all) == snapshot.checks.len() && shown < all);
    for below in 0..=all {
        state.below = below;
        let screen = plain(&snapshot, &state, (80, 24));
        assert!(!screen.contains("All checks ↑ 0"), "{screen}");
        seen.push_str(&screen);
    }
    for check in &snapshot.checks {
        let words = howdah::console::view::check_words(&check.id);
        let begin: String = words.chars().take(20).collect();
        assert!(seen.contains(&begin), "{words} is never in sight");
    }
    let end = plain(&snapshot, &state, (80, 24));
    assert!(end.contains(&format!("All checks ↑ {} more", all - shown)), "{end}");
}

#[test]
fn rows_out_of_sight_are_counted() {
    let screen = plain(&sights::crowded(), &UiState::default(), (80, 24));
    assert!(screen.contains("Pools ↓ 37 more"), "{screen}");
    let mut state = zoomed(Pane::Breakers);
    state.selected.insert(Pane::Breakers, Text::from("worker/service-20"));
    let screen = plain(&sights::crowded(), &state, (80, 24));
    assert!(screen.contains("↑ ") && screen.contains(" ↓ "), "{screen}");
    assert!(screen.contains("Circuit breaker service-20"), "{screen}");
}

/// Cells that a colour alone would tell are told in words as well: the same screen without any colour or
/// attribute still has them.
#[test]
fn ascii_screens_are_ascii() {
    let mono = Themes::built_in().pick("mono", Depth::None).expect("there");
    for (name, snapshot) in sights::all() {
        for overlay in [Overlay::None, Overlay::Help, Overlay::Sources, Overlay::Detail] {
            let state = UiState { overlay, ..UiState::default() };
            let (buf, _) = draw(&snapshot, &state, &mono, Glyphs::Ascii, (120, 40));
            let screen = dump::text(&buf);
            let odd: String = screen.chars().filter(|c| !c.is_ascii()).collect();
            assert!(odd.is_empty(), "'{odd}' in '{name}' {overlay:?}:\n{screen}");
        }
    }
}

#[test]
fn nothing_is_drawn_in_colour_without_colour() {
    for name in Themes::built_in().offered(Depth::None) {
        let theme = Themes::built_in().pick(name, Depth::None).expect("there");
        let state = UiState::default();
        let (buf, _) = draw(&sights::degraded(), &state, &theme, Glyphs::Unicode, (80, 24));
        for cell in &buf.content {
            assert_eq!((cell.fg, cell.bg), Default::default(), "{name}");
        }
        let reversed = buf
            .content
            .iter()
            .any(|cell| cell.modifier.contains(ratatui::style::Modifier::REVERSED));
        assert!(reversed, "{name}: the selection must stand out");
    }
}

#[test]
fn green_is_earned() {
    use howdah::watch::snapshot::{AlertState, CheckState};
    let header = |snapshot: &Snapshot| {
        let screen = plain(snapshot, &UiState::default(), (80, 24));
        screen.lines().nth(1).unwrap_or_default().to_owned()
    };
    assert!(header(&sights::healthy()).contains("✓ no alert"));
    for (state, word) in [
        (AlertState::Acked, "● 1 acked"),
        (AlertState::Pending, "… 1 pending"),
        (AlertState::Resolving, "… 1 resolving"),
    ] {
        let mut snapshot = sights::degraded();
        snapshot.alerts.truncate(1);
        snapshot.alerts[0].state = state;
        assert!(header(&snapshot).contains(word), "{}", header(&snapshot));
    }
    for state in [
        CheckState::Pending,
        CheckState::Blind,
        CheckState::Failed,
        CheckState::Warning,
        CheckState::Critical,
    ] {
        let mut snapshot = sights::healthy();
        snapshot.checks[3].state = state;
        let screen = plain(&snapshot, &UiState::default(), (80, 24));
        assert!(!screen.contains("✓ no alert"), "{state:?}: {screen}");
    }
    let mut unseen = sights::healthy();
    unseen.checks.clear();
    assert!(header(&unseen).contains("no check yet"), "{}", header(&unseen));
}
