//! A robot that presses keys on the real update, and what it finds.

use std::sync::Arc;

use super::{
    effects::{Effect, Notice, Told},
    update::{Msg, update},
};
use crate::{
    base::{
        clock::{Clock, Timestamp},
        text::Text,
    },
    console::{
        command,
        input::keymap::KeySettings,
        model::{
            Answering, GuideWish, Model, Offered, Overlay, Pane, Screen, Seat, Sheet, Shelf, Tone,
        },
    },
    guide::{
        page::{Ask, Page},
        spec::Grade,
        state::Input,
    },
    watch::snapshot::{
        Alert, AlertState, Breaker, BreakerState, Check, CheckState, Environment, Pool, PoolKind,
        Severity, Snapshot,
    },
};

struct Robot {
    model: Model,
    clock: Clock,
    effects: Vec<Effect>,
}

impl Robot {
    fn new() -> Self {
        let keys = command::keymap(&KeySettings::new()).expect("the presets are sound");
        let themes = vec!["ansi".to_owned(), "dark".to_owned()];
        let mut model = Model { keys, themes, size: (80, 24), ..Model::default() };
        model.state.theme = "ansi".to_owned();
        let mut robot = Self { model, clock: Clock::test(), effects: Vec::new() };
        robot.tell(Msg::Snapshot(Arc::new(estate())));
        robot
    }

    fn tell(&mut self, msg: Msg) {
        self.effects.extend(update(&mut self.model, msg, self.clock.now()));
    }

    /// Presses keys written as in the key file, divided by spaces; `'text` types each character.
    fn press(&mut self, keys: &str) -> &mut Self {
        for word in keys.split(' ') {
            match word.strip_prefix('\'') {
                Some(text) => {
                    for c in text.chars() {
                        self.tell(Msg::Key(c.to_string().parse().expect("a key")));
                    }
                }
                None => self.tell(Msg::Key(word.parse().expect("a key"))),
            }
        }
        self
    }

    fn selected(&self) -> String {
        self.model.selected_row().map(|row| row.id.to_string()).unwrap_or_default()
    }

    fn toast(&self) -> &str {
        self.model.state.toast.as_ref().map_or("", |toast| &toast.text)
    }
}

fn pool(name: &str, waiting: u64) -> Pool {
    Pool {
        name: name.into(),
        source: "api".into(),
        kind: PoolKind::Application,
        in_use: Some(3),
        idle: None,
        max: Some(10),
        waiting: Some(waiting),
        wait: None,
        timeouts: None,
        note: None,
        trend: Vec::new(),
    }
}

fn breaker(name: &str, state: BreakerState) -> Breaker {
    Breaker {
        name: name.into(),
        source: "api".into(),
        state,
        since: None,
        since_exact: false,
        failure_rate: None,
        slow_rate: None,
        calls: None,
        next_try: None,
        probes: None,
        rejected: None,
    }
}

fn alert(subject: &str, state: AlertState) -> Alert {
    Alert {
        id: format!("demo/lag/{subject}").into(),
        check: "lag".into(),
        subject: subject.into(),
        severity: Severity::Critical,
        state,
        value: Some(1.0),
        unit: Text::default(),
        threshold: Text::default(),
        since: Clock::test().now(),
        since_wall: Timestamp::UNIX_EPOCH,
        detail: Text::default(),
        remedy: Text::default(),
        muted: Vec::new(),
        silenced: None,
    }
}

fn check(id: &str) -> Check {
    Check {
        id: id.into(),
        class: Text::default(),
        state: CheckState::Ok,
        findings: Vec::new(),
        unit: Text::default(),
        warn: Text::default(),
        crit: Text::default(),
        remedy: Text::default(),
        ran: None,
        error: None,
    }
}

fn estate() -> Snapshot {
    Snapshot {
        pools: vec![pool("calm", 0), pool("full", 7), pool("idle", 0)],
        breakers: vec![
            breaker("fine", BreakerState::Closed),
            breaker("broken", BreakerState::Open),
        ],
        alerts: vec![alert("rep-1", AlertState::Firing), alert("rep-2", AlertState::Acked)],
        ..Snapshot::default()
    }
}

#[test]
fn the_worst_rows_stand_first() {
    let mut robot = Robot::new();
    assert_eq!(robot.selected(), "api/full");
    robot.press("tab");
    assert_eq!(robot.selected(), "api/broken");
}

#[test]
fn the_selection_stays_on_its_thing_when_rows_move() {
    let mut robot = Robot::new();
    robot.press("j");
    assert_eq!(robot.selected(), "api/calm");
    let mut moved = estate();
    moved.pools.reverse();
    robot.tell(Msg::Snapshot(Arc::new(moved)));
    assert_eq!(robot.selected(), "api/calm");
    robot.tell(Msg::Snapshot(Arc::new(Snapshot::default())));
    assert_eq!(robot.selected(), "");
    robot.press("j k G g page-down page-up home end");
    robot.tell(Msg::Snapshot(Arc::new(estate())));
    assert_eq!(robot.selected(), "api/calm", "it is selected again when it comes back");
}

#[test]
fn the_selection_stops_at_both_ends() {
    let mut robot = Robot::new();
    robot.press("k");
    assert_eq!(robot.selected(), "api/full");
    robot.press("G");
    assert_eq!(robot.selected(), "api/idle");
    robot.press("j page-down");
    assert_eq!(robot.selected(), "api/idle");
    robot.press("g");
    assert_eq!(robot.selected(), "api/full");
}

#[test]
fn a_page_is_what_the_pane_shows() {
    let mut robot = Robot::new();
    robot.model.room.rows = [2, 0, 0, 0];
    robot.press("page-down");
    assert_eq!(robot.selected(), "api/idle");
    robot.press("page-up");
    assert_eq!(robot.selected(), "api/full");
}

#[test]
fn the_focus_moves_as_the_panes_lie() {
    let mut robot = Robot::new();
    for (keys, pane) in [
        ("l", Pane::Breakers),
        ("l", Pane::Breakers),
        ("tab", Pane::Alerts),
        ("right", Pane::Backup),
        ("left", Pane::Alerts),
        ("shift-tab", Pane::Breakers),
        ("h", Pane::Pools),
        ("shift-tab", Pane::Backup),
        ("tab", Pane::Pools),
    ] {
        robot.press(keys);
        assert_eq!(robot.model.state.focus, pane, "after {keys}");
    }
}

#[test]
fn enter_goes_deeper_and_esc_comes_back_and_never_quits() {
    let mut robot = Robot::new();
    robot.press("enter");
    assert_eq!(robot.model.state.zoom, Some(Pane::Pools));
    robot.press("tab");
    assert_eq!(robot.model.state.zoom, Some(Pane::Breakers));
    robot.press("enter");
    assert_eq!(robot.model.state.overlay, Overlay::Detail);
    robot.press("esc");
    assert_eq!(robot.model.state.overlay, Overlay::None);
    robot.press("esc");
    assert_eq!(robot.model.state.zoom, None);
    robot.press("esc esc esc");
    assert_eq!((robot.effects.len(), robot.toast()), (0, ""));
}

#[test]
fn screens_have_keys_and_esc_comes_back_to_the_overview() {
    let mut robot = Robot::new();
    for (keys, screen) in [
        ("shift-tab enter", Screen::Recovery),
        ("5", Screen::Guides),
        ("1", Screen::Overview),
        ("3", Screen::Recovery),
        ("esc", Screen::Overview),
    ] {
        robot.press(keys);
        assert_eq!(robot.model.state.screen, screen, "after {keys}");
    }
    assert_eq!(robot.model.state.focus, Pane::Backup, "the pane that it was entered by");
    robot.press("tab enter tab tab tab");
    assert_eq!(robot.model.state.zoom, Some(Pane::Pools), "three panes fill the overview");
}

#[test]
fn beyond_the_last_alert_the_checks_scroll_and_come_back_first() {
    let mut robot = Robot::new();
    robot.press("tab tab enter");
    assert_eq!(robot.model.state.zoom, Some(Pane::Alerts));
    robot.model.room.below = (4, 10);
    let rows = robot.model.rows(Pane::Alerts).len();
    let at = |robot: &Robot| {
        let rows = robot.model.rows(Pane::Alerts);
        (rows.selected(&robot.model.state), robot.model.state.below)
    };
    robot.press("end");
    assert_eq!(at(&robot), (rows.saturating_sub(1), 0));
    for (keys, below) in
        [("j", 1), ("down", 2), ("page-down", 6), ("j", 6), ("k", 5), ("end", 6), ("page-up", 2)]
    {
        robot.press(keys);
        assert_eq!(at(&robot), (rows.saturating_sub(1), below), "after {keys}");
    }
    robot.press("home");
    assert_eq!(at(&robot), (0, 0));
    robot.press("end j esc enter");
    assert_eq!(robot.model.state.below, 0, "opened anew it begins anew");
}

#[test]
fn freezing_keeps_the_screen_and_thawing_shows_the_newest() {
    let mut robot = Robot::new();
    robot.press("f");
    robot.tell(Msg::Snapshot(Arc::new(Snapshot::default())));
    assert_eq!(robot.model.snapshot.pools.len(), 3);
    assert!(robot.model.state.frozen.is_some());
    robot.press("space");
    assert_eq!(robot.model.snapshot.pools.len(), 0);
    assert!(robot.model.state.frozen.is_none());
}

#[test]
fn the_filter_narrows_as_it_is_typed() {
    let mut robot = Robot::new();
    robot.press("/ 'FUL");
    assert_eq!(robot.model.rows(Pane::Pools).len(), 1);
    robot.press("enter");
    assert_eq!(
        (robot.model.state.overlay, robot.model.state.filter.as_str()),
        (Overlay::None, "FUL")
    );
    robot.press("/ backspace backspace backspace 'calm enter");
    assert_eq!(robot.selected(), "api/calm");
    robot.press("esc");
    assert_eq!(robot.model.rows(Pane::Pools).len(), 3);
    robot.press("/ 'x esc");
    assert!(robot.model.state.filter.is_empty());
}

#[test]
fn letters_are_text_while_typing_and_only_ctrl_c_leaves() {
    let mut robot = Robot::new();
    robot.press("/ 'qf?:t space");
    assert_eq!(robot.model.state.filter, "qf?:t ");
    assert!(robot.effects.is_empty());
    robot.press("ctrl-c");
    assert_eq!(robot.effects, [Effect::Quit]);
}

#[test]
fn the_palette_runs_what_it_finds() {
    let mut robot = Robot::new();
    robot.press(": 'retry enter");
    assert_eq!(
        (robot.effects.as_slice(), robot.model.state.overlay),
        (&[Effect::RetryNow][..], Overlay::None)
    );
    robot.press(": 'fre tab");
    assert_eq!(robot.model.state.line.value(), "freeze");
    robot.press("enter");
    assert!(robot.model.state.frozen.is_some());
    robot.press(": down down up enter");
    assert_eq!(robot.model.state.overlay, Overlay::Help, "the second of all commands");
}

#[test]
fn a_disabled_command_says_why_and_does_nothing() {
    let mut robot = Robot::new();
    robot.press(": 'incident space 'hang enter");
    assert_eq!(robot.toast(), "Incident: hang: only on a target made by 'howdah demo'");
    assert_eq!((robot.effects.len(), robot.model.state.overlay), (0, Overlay::Palette));
    let mut demo = estate();
    demo.target.environment = Environment::Demo;
    robot.tell(Msg::Snapshot(Arc::new(demo)));
    robot.press("enter");
    assert_eq!(robot.effects, [Effect::Incident("hang")]);
}

#[test]
fn only_a_firing_alert_can_be_taken() {
    let mut robot = Robot::new();
    robot.press("a");
    assert_eq!(robot.toast(), "Acknowledge: select an alert first");
    robot.press("tab tab j a");
    assert_eq!(robot.toast(), "Acknowledge: somebody has taken it already");
    robot.press("k a");
    assert_eq!(robot.effects, [Effect::Acknowledge("demo/lag/rep-1".into())]);
}

#[test]
fn a_paste_is_text_in_a_line_and_nothing_elsewhere() {
    let mut robot = Robot::new();
    robot.tell(Msg::Paste("q\n".to_owned()));
    robot.press("/");
    robot.tell(Msg::Paste("a\nb\u{1b}[31m".to_owned()));
    assert_eq!(robot.model.state.filter, "a^Jb^[[31m");
    assert_eq!((robot.effects.len(), robot.model.state.overlay), (0, Overlay::Filter));
    robot.tell(Msg::Paste("x".repeat(10_000)));
    assert!(robot.model.state.filter.len() <= 200);
}

#[test]
fn themes_go_round_and_are_kept() {
    let mut robot = Robot::new();
    robot.press("T T");
    assert_eq!(robot.effects, [Effect::SaveTheme("dark".into()), Effect::SaveTheme("ansi".into())]);
}

#[test]
fn help_scrolls_and_closes_with_its_own_key() {
    let mut robot = Robot::new();
    robot.press("?");
    robot.model.room.overlay = (10, 25);
    for (keys, line) in [("j j", 2), ("k", 1), ("page-down", 11), ("G", 15), ("j", 15), ("g", 0)] {
        robot.press(keys);
        assert_eq!((robot.model.state.overlay, robot.model.state.scroll), (Overlay::Help, line));
    }
    robot.press("j");
    robot.press("?");
    assert_eq!((robot.model.state.overlay, robot.model.state.scroll), (Overlay::None, 0));
}

#[test]
fn a_notice_passes_by() {
    let mut robot = Robot::new();
    let notice = Notice { text: "Done.".into(), tone: Tone::Info };
    robot.tell(Msg::Told(Told::Notice(notice)));
    robot.tell(Msg::Tick);
    assert_eq!(robot.toast(), "Done.");
    for _ in 0..5 {
        robot.clock.advance(std::time::Duration::from_secs(1));
        robot.tell(Msg::Snapshot(Arc::new(estate())));
    }
    assert_eq!(robot.toast(), "");
}

#[test]
fn the_way_out_of_an_open_breaker_is_its_guide() {
    let mut robot = Robot::new();
    robot.press("w");
    assert_eq!(robot.toast(), "Way out: no guide answers this");
    robot.press("tab w");
    assert_eq!(
        (robot.model.state.focus, robot.toast()),
        (Pane::Breakers, "Way out: no guide answers this")
    );
    let guide = Offered {
        walked: None,
        id: "breaker".into(),
        title: "A circuit breaker is stuck open".into(),
        about: Text::default(),
        answers: vec!["breaker_open".into()],
        subject: vec!["breaker".into()],
    };
    let shelf = Shelf { guides: vec![guide], ..Shelf::default() };
    robot.tell(Msg::Told(Told::Shelf(Arc::new(shelf))));
    robot.press("w");
    assert_eq!(robot.model.state.screen, Screen::Guides);
    // The worst stands first, and is selected.
    let offered = vec![("breaker".to_owned(), "broken".to_owned())];
    assert_eq!(robot.effects, [Effect::Guide(GuideWish::Begin("breaker".into(), offered))]);
}

#[test]
fn the_way_out_of_a_bad_night_is_one_key() {
    let mut robot = Robot::new();
    let worst = robot.model.snapshot.alerts[0].clone();
    let guide = Offered {
        walked: None,
        id: "mend".into(),
        title: "Mend it".into(),
        about: Text::default(),
        answers: vec![worst.check.clone()],
        subject: vec!["which".into()],
    };
    let shelf = Shelf { guides: vec![guide], ..Shelf::default() };
    robot.tell(Msg::Told(Told::Shelf(Arc::new(shelf))));
    robot.press("w");
    let offered = vec![("which".to_owned(), worst.subject.to_string())];
    assert_eq!(robot.effects, [Effect::Guide(GuideWish::Begin("mend".into(), offered))]);
    assert_eq!(robot.model.state.focus, Pane::Pools, "nothing had to be selected");
}

#[test]
fn a_confirmation_is_asked_for_until_it_is_whole() {
    let mut robot = Robot::new();
    let challenge = Some("prod/4821".into());
    let ask = Ask::Confirm { grade: Grade::Severe, challenge, since: Timestamp::UNIX_EPOCH };
    let page = Page {
        site: crate::guide::journal::Site::default(),
        pace: None,
        title: Text::default(),
        on: Text::default(),
        chunk: Text::default(),
        number: 1,
        line: Text::default(),
        well: true,
        body: Vec::new(),
        undo: None,
        ask,
        chosen: 0,
        began: Timestamp::UNIX_EPOCH,
        budget: None,
        rests: None,
    };
    let sheet =
        Sheet { run: "r".into(), page, handover: Vec::new(), refusal: None, seat: Seat::Ours };
    robot.press("5");
    robot.tell(Msg::Told(Told::Sheet(Some(Arc::new(sheet)))));
    let stands = |robot: &Robot| {
        let Overlay::Answer(what) = robot.model.state.overlay else { panic!("nothing is asked") };
        let sheet = robot.model.state.guides.sheet.as_ref().expect("a sheet");
        (what, sheet.refusal.as_ref().map(Text::to_string))
    };
    assert_eq!(stands(&robot), (Answering::Answer, None));
    robot.press("'prod/4822 enter");
    let refusal = Some("'prod/4821' was not typed".to_owned());
    assert_eq!(stands(&robot), (Answering::Answer, refusal), "nothing else is asked before");
    robot.press("'prod/4821 enter");
    assert_eq!(stands(&robot), (Answering::Reason, None), "what was refused is past");
    robot.press("enter");
    assert_eq!(stands(&robot), (Answering::Reason, Some("a reason is needed".to_owned())));
    robot.effects.clear();
    robot.press("'broken enter");
    let confirm = Input::Confirm { typed: "prod/4821".into(), reason: "broken".into() };
    assert_eq!(robot.effects, [Effect::Guide(GuideWish::Input(confirm))]);
}

#[test]
fn a_message_that_was_seen_goes_with_the_next_key() {
    let mut robot = Robot::new();
    robot.press("a");
    assert_eq!(robot.toast(), "Acknowledge: select an alert first");
    robot.press("tab");
    assert_eq!(robot.toast(), "Acknowledge: select an alert first", "too soon to have been read");
    robot.clock.advance(std::time::Duration::from_millis(400));
    robot.press("tab");
    assert_eq!(robot.toast(), "");
    robot.press("m");
    assert!(robot.toast().starts_with("Mouse: on."));
}

#[test]
fn without_an_alert_the_checks_can_be_read() {
    let mut robot = Robot::new();
    robot.tell(Msg::Snapshot(Arc::new(Snapshot::default())));
    robot.press("d");
    assert_eq!(
        (robot.model.state.overlay, robot.toast()),
        (Overlay::None, "Detail: the pane has no row")
    );
    robot.tell(Msg::Snapshot(Arc::new(Snapshot {
        checks: vec![check("lag")],
        ..Snapshot::default()
    })));
    robot.press("tab tab enter enter");
    assert_eq!(robot.model.state.overlay, Overlay::Detail);
}

mod recovery;
mod silences;

mod properties {
    use proptest::prelude::*;

    use super::*;
    use crate::console::command::CATALOGUE;

    fn any_key() -> impl Strategy<Value = String> {
        let keys: Vec<&str> = CATALOGUE.iter().flat_map(|command| command.keys).copied().collect();
        prop_oneof![
            8 => proptest::sample::select(keys).prop_map(str::to_owned),
            2 => "[a-z]".prop_map(|c| c),
            1 => Just("backspace".to_owned()),
        ]
    }

    proptest! {
        /// Whatever is pressed: nothing panics, Esc leads back to the first screen, and it never quits.
        #[test]
        fn esc_always_leads_home(keys in proptest::collection::vec(any_key(), 0..60)) {
            let mut robot = Robot::new();
            for key in &keys {
                robot.press(key);
            }
            robot.effects.clear();
            robot.press("esc esc esc esc esc");
            prop_assert_eq!(robot.effects.len(), 0);
            prop_assert_eq!(robot.model.state.overlay, Overlay::None);
            prop_assert_eq!(robot.model.state.zoom, None);
            prop_assert_eq!(robot.model.state.screen, Screen::Overview);
            prop_assert!(robot.model.state.filter.is_empty());
            prop_assert!(robot.model.state.frozen.is_none());
        }
    }
}
