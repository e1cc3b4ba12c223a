//! Alerts are silenced by keys.

use std::time::Duration;

use super::*;
use crate::watch::{silences::Wish, snapshot::Silence};

fn wish(subject: Option<&str>, lasts: Duration) -> Effect {
    Effect::Silence(Wish {
        check: "lag".into(),
        subject: subject.map(Text::from),
        up_to: Severity::Critical,
        lasts,
        why: "q is text here".into(),
    })
}

#[test]
fn an_alert_is_silenced_by_a_form_that_wants_a_reason() {
    let mut robot = Robot::new();
    robot.press("z");
    assert_eq!(robot.toast(), "Silence: select an alert first");
    robot.press("tab tab z");
    assert_eq!(robot.model.state.overlay, Overlay::Silence);
    robot.press("enter");
    assert_eq!(robot.toast(), "Silence: say why, for whoever finds it quiet");
    assert_eq!(robot.model.state.overlay, Overlay::Silence, "it stays open");
    robot.press("'q space 'is space 'text space 'here");
    robot.press("up up down enter");
    assert_eq!(robot.effects, [wish(Some("rep-1"), Duration::from_hours(2))]);
    assert_eq!((robot.model.state.overlay, &robot.model.state.silence), (Overlay::None, &None));
}

#[test]
fn all_of_a_check_is_silenced_and_esc_leaves_it() {
    let mut robot = Robot::new();
    robot.press("tab tab z esc");
    assert_eq!((robot.model.state.overlay, robot.effects.len()), (Overlay::None, 0));
    robot.press("z tab");
    robot.tell(Msg::Paste("q is text here".into()));
    robot.press("down down down enter");
    assert_eq!(
        robot.effects,
        [wish(None, Duration::from_mins(15))],
        "no shorter than the shortest"
    );
}

#[test]
fn a_silence_is_ended_where_it_stands() {
    let mut robot = Robot::new();
    robot.press("tab tab Z");
    assert_eq!(robot.toast(), "End silence: the selected alert is not silenced");
    let mut quiet = estate();
    quiet.alerts[0].silenced = Some(Silence {
        id: "a1b2c3".into(),
        check: "lag".into(),
        subject: None,
        up_to: Severity::Critical,
        since: Timestamp::UNIX_EPOCH,
        until: Timestamp::UNIX_EPOCH,
        by: "ann".into(),
        why: "the deploy".into(),
    });
    robot.tell(Msg::Snapshot(Arc::new(quiet)));
    robot.press("Z");
    assert_eq!(robot.effects, [Effect::EndSilence("a1b2c3".into())]);
}
