//! The console takes a real terminal and gives it back, whatever happens in between.

#![cfg(all(unix, feature = "console"))]

use std::time::Duration;

use crate::support::pty::{Robot, Seen, wait_until};
use rustix::process::{Pid, Signal, kill_process};

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_howdah");
/// A server that is not there: the console opens all the same.
const ARGS: &[&str] = &["host=127.0.0.1 port=1 user=x dbname=x sslmode=disable"];
/// Stands on the first screen.
const READY: &str = "Pools";
/// Makes the console draw everything again (ctrl-l).
const REDRAW: &[u8] = b"\x0c";
/// Within this the console must be gone when its terminal or its life ends.
const SOON: Duration = Duration::from_secs(2);

fn start(env: &[(&str, &str)]) -> Robot {
    let robot = Robot::start(PROGRAM, ARGS, env);
    robot.wait_for(READY);
    assert!(robot.look(|seen| seen.screen().alternate_screen() && seen.screen().hide_cursor()));
    assert!(!robot.settings_are_back(), "the terminal is in raw mode while the console runs");
    robot
}

fn leave_by(act: impl FnOnce(&mut Robot), code: u32) {
    let mut robot = start(&[]);
    // Whatever the library below may have switched on must go, too.
    robot.send("m");
    robot.wait_until("the mouse to be reported", |seen| {
        seen.screen().mouse_protocol_mode() != vt100::MouseProtocolMode::None
    });
    act(&mut robot);
    let (got, took) = robot.wait_exit();
    assert_eq!(got, code);
    assert!(took < Duration::from_secs(1), "it took {took:?}");
    robot.assert_given_back();
}

fn press(robot: &mut Robot, key: &str) {
    robot.send(key);
}

#[test]
fn q_gives_the_terminal_back() {
    leave_by(|robot| press(robot, "q"), 0);
}

#[test]
fn control_c_gives_the_terminal_back() {
    leave_by(|robot| press(robot, "\x03"), 0);
}

#[test]
fn sigterm_gives_the_terminal_back() {
    leave_by(|robot| robot.signal(Signal::TERM), 143);
}

#[test]
fn sighup_gives_the_terminal_back() {
    leave_by(|robot| robot.signal(Signal::HUP), 129);
}

#[test]
fn sigint_gives_the_terminal_back() {
    leave_by(|robot| robot.signal(Signal::INT), 130);
}

#[test]
fn sigquit_gives_the_terminal_back() {
    leave_by(|robot| robot.signal(Signal::QUIT), 131);
}

#[cfg(debug_assertions)]
#[test]
fn a_panic_gives_the_terminal_back_and_is_told() {
    let mut robot = Robot::start(PROGRAM, ARGS, &[("HOWDAH_TEST_PANIC", "1")]);
    let (code, _) = robot.wait_exit();
    assert_eq!(code, 1);
    robot.assert_given_back();
    robot.wait_for("the console failed: asked to panic");
}

#[cfg(debug_assertions)]
#[test]
fn a_stuck_ui_thread_cannot_keep_the_terminal() {
    let mut robot = start(&[("HOWDAH_TEST_HANG", "1")]);
    robot.signal(Signal::TERM);
    let (code, took) = robot.wait_exit();
    assert_eq!(code, 143);
    assert!(took < Duration::from_secs(1), "it took {took:?}");
    robot.assert_given_back();
}

#[cfg(debug_assertions)]
#[test]
fn a_stuck_ui_thread_cannot_outlive_its_terminal() {
    ends_with_its_terminal(&[("HOWDAH_TEST_HANG", "1")]);
}

#[test]
fn a_closed_terminal_ends_the_console() {
    let mut robot = start(&[]);
    robot.stop_reading();
    robot.close();
    let (code, took) = robot.wait_exit();
    assert_eq!(code, 129, "{}", robot.log());
    assert!(took < SOON, "it took {took:?}");
}

/// In a session of its own the console hears no SIGHUP: only the watchdog can notice that its terminal
/// died.
#[cfg(target_os = "linux")]
#[expect(clippy::expect_used, reason = "clippy sees tests only in test functions")]
fn ends_with_its_terminal(env: &[(&str, &str)]) {
    let args = [&["--wait", PROGRAM], ARGS].concat();
    let mut robot = Robot::start("setsid", &args, env);
    robot.wait_for(READY);
    let console = only_child(robot.pid().as_raw_pid()).expect("one child");
    robot.stop_reading();
    robot.close();
    let took = wait_until("the console to end", || state(console).is_none_or(|state| state == 'Z'));
    assert!(took < SOON, "it took {took:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_that_dies_without_a_signal_ends_the_console() {
    ends_with_its_terminal(&[]);
}

#[test]
fn a_terminal_that_nobody_reads_does_not_hold_the_console() {
    let mut robot = start(&[]);
    robot.stop_reading();
    // Far more than a terminal takes: each size paints everything anew.
    for n in 0..200 {
        robot.resize(100 + n % 50, 40 + n % 10);
        std::thread::sleep(Duration::from_millis(3));
    }
    assert!(robot.is_alive());
    robot.signal(Signal::TERM);
    let (code, took) = robot.wait_exit();
    assert_eq!(code, 143);
    assert!(took < SOON, "it took {took:?}");
    assert!(robot.settings_are_back());
}

#[test]
fn a_terminal_that_is_read_again_shows_the_newest() {
    let mut robot = start(&[]);
    robot.stop_reading();
    for n in 0..100 {
        robot.resize(100 + n % 50, 40);
        std::thread::sleep(Duration::from_millis(3));
    }
    robot.resize(80, 24);
    robot.read_again();
    robot.send(REDRAW);
    robot.wait_for(READY);
    robot.send("q");
    assert_eq!(robot.wait_exit().0, 0);
    robot.assert_given_back();
}

/// The letter of a process's state, such as `T` for stopped.
#[cfg(target_os = "linux")]
fn state(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

#[cfg(target_os = "linux")]
fn only_child(pid: i32) -> Option<i32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.trim().parse().ok()
}

/// Under a shell with job control, as a person has it.
#[cfg(target_os = "linux")]
#[test]
fn a_stop_gives_the_terminal_back_and_a_continue_takes_it_again() {
    let console = format!("'{PROGRAM}' '{}'", ARGS.join("' '"));
    let script =
        format!("{console}; for i in 1 2; do echo STOPPED $i; read line; fg; done; exit $?");
    let mut robot = Robot::start("bash", &["-mc", &script], &[]);
    robot.wait_for(READY);
    let console = only_child(robot.pid().as_raw_pid()).expect("one child");
    for (round, by_key) in [("STOPPED 1", false), ("STOPPED 2", true)] {
        if by_key {
            robot.send("\x1a");
        } else {
            kill_process(Pid::from_raw(console).expect("a process id"), Signal::TSTP)
                .expect("sent");
        }
        robot.wait_for(round);
        assert_eq!(state(console), Some('T'));
        robot.assert_given_back();
        robot.send("\n");
        robot.wait_until("the screen", |seen| {
            seen.screen().alternate_screen() && seen.text().contains(READY)
        });
        wait_until("raw mode", || !robot.settings_are_back());
    }
    robot.send("q");
    assert_eq!(robot.wait_exit().0, 0);
    robot.assert_given_back();
}

/// Without a shell that could continue it, a stopped console would stay so for ever.
#[cfg(target_os = "linux")]
#[test]
fn without_job_control_the_console_does_not_stop() {
    let mut robot = start(&[]);
    let pid = robot.pid().as_raw_pid();
    robot.send("\x1a");
    robot.wait_for("no shell is there");
    robot.signal(Signal::TSTP);
    robot.send("?");
    robot.wait_for("Leave the console.");
    assert_ne!(state(pid), Some('T'));
    robot.send("q");
    assert_eq!(robot.wait_exit().0, 0);
}

/// SIGSTOP cannot be answered: whoever used the terminal meanwhile is answered after.
#[cfg(target_os = "linux")]
#[test]
fn a_stop_without_warning_is_mended_on_continue() {
    let mut robot = start(&[]);
    let pid = robot.pid().as_raw_pid();
    robot.signal(Signal::STOP);
    wait_until("the stop", || state(pid) == Some('T'));
    let before = robot.look(|seen| seen.raw.len());
    robot.meddle();
    robot.signal(Signal::CONT);
    robot.wait_until("a repaint", |seen| {
        String::from_utf8_lossy(&seen.raw[before..]).contains("\x1b[?1049h")
            && seen.text().contains(READY)
    });
    robot.send("q");
    assert_eq!(robot.wait_exit().0, 0);
    robot.assert_given_back();
}

#[test]
fn a_storm_of_sizes_ends_at_the_last() {
    let mut robot = start(&[]);
    for n in 1..200_u16 {
        robot.resize(1 + n * 7 % 200, 1 + n * 3 % 70);
        robot.send("j");
    }
    robot.resize(80, 24);
    robot.wait_for(READY);
    assert!(robot.is_alive());
    robot.send("q");
    assert_eq!(robot.wait_exit().0, 0);
    robot.assert_given_back();
}

/// Neither a key nor a size may wait for the next one when both come together.
#[test]
fn keys_typed_in_a_storm_of_sizes_arrive() {
    let typed = "abcdefghijklmnopqrstuvwxyz";
    let mut robot = start(&[]);
    robot.send("/");
    for (n, key) in (0..).zip(typed.chars()) {
        robot.resize(90 + n, 30);
        robot.send(key.to_string());
    }
    robot.resize(80, 24);
    robot.wait_for(typed);
    robot.send("\x03");
    assert_eq!(robot.wait_exit().0, 0);
}

#[test]
fn no_color_keeps_reverse_video() {
    let robot = start(&[("NO_COLOR", "1")]);
    robot.wait_until("reverse video", |seen| {
        let reversed = |row| seen.screen().cell(row, 1).is_some_and(vt100::Cell::inverse);
        (0..24).any(reversed)
    });
}

#[test]
fn every_frame_is_a_synchronized_update_and_nothing_is_asked() {
    let mut robot = start(&[]);
    robot.send("\tjk");
    robot.send(REDRAW);
    robot.send("q");
    assert_eq!(robot.wait_exit().0, 0);
    robot.assert_given_back();
    let raw = robot.look(|seen| String::from_utf8_lossy(&seen.raw).into_owned());
    let begun = raw.matches("\x1b[?2026h").count();
    // One end more: giving back resets the mode as well.
    assert_eq!(begun + 1, raw.matches("\x1b[?2026l").count());
    for question in ["\x1b[6n", "\x1b[c", "\x1b[>c", "$p", "\x1b]11;?"] {
        assert!(!raw.contains(question), "{question:?}");
    }
}

#[test]
fn a_paste_with_line_ends_presses_nothing() {
    let mut robot = start(&[]);
    robot.send("/").send("\x1b[200~abc\nq\r\x1b[201~");
    robot.wait_for("abc^Jq");
    assert!(robot.is_alive());
    robot.send("\x03");
    assert_eq!(robot.wait_exit().0, 0);
}

/// What a terminal that is none, or one that can do nothing, is told: where the same can be seen.
fn assert_sent_to_status(out: &str) {
    assert_eq!(out.trim().lines().count(), 1, "{out}");
    assert!(out.starts_with("howdah: ") && out.contains("`howdah status`"), "{out}");
    assert!(!out.contains('\u{1b}'), "{out:?}");
}

#[test]
fn without_a_terminal_the_console_names_the_way_without_one() {
    for args in [ARGS, &["demo"]] {
        let home = tempfile::tempdir().expect("a home folder");
        let output = std::process::Command::new(PROGRAM)
            .args(args)
            .env_clear()
            .env("HOME", home.path())
            .env("TERM", "xterm")
            .output()
            .expect("the program runs");
        assert_eq!(output.status.code(), Some(64));
        assert!(output.stdout.is_empty());
        assert_sent_to_status(&String::from_utf8_lossy(&output.stderr));
        let made = std::fs::read_dir(home.path()).expect("listed").count();
        assert_eq!(made, 0, "nothing was begun");
    }
}

#[test]
fn on_a_dumb_terminal_the_console_names_the_way_without_one() {
    for term in ["dumb", ""] {
        let mut robot = Robot::start(PROGRAM, ARGS, &[("TERM", term)]);
        assert_eq!(robot.wait_exit().0, 64);
        robot.wait_for("howdah status");
        assert_sent_to_status(&robot.look(|seen| String::from_utf8_lossy(&seen.raw).into_owned()));
        assert!(robot.settings_are_back());
    }
}

fn mouse_is_on(seen: &Seen) -> bool {
    seen.screen().mouse_protocol_mode() != vt100::MouseProtocolMode::None
}

fn start_with_mouse(env: &[(&str, &str)]) -> Robot {
    let robot = Robot::start(PROGRAM, ARGS, &[&[("HOWDAH_CONSOLE_MOUSE", "true")], env].concat());
    robot.wait_for(READY);
    robot
}

#[test]
fn the_mouse_is_on_from_the_start_when_configured() {
    let mut robot = start_with_mouse(&[]);
    assert!(robot.look(mouse_is_on));
    robot.send("m");
    robot.wait_until("the mouse to be off", |seen| !mouse_is_on(seen));
    robot.send("q");
    assert_eq!(robot.wait_exit().0, 0);
    robot.assert_given_back();
}

#[test]
fn the_mouse_stays_off_under_mosh_and_says_why() {
    let mut robot = start_with_mouse(&[("MOSH_CONNECTION", "1")]);
    robot.send("m");
    robot.wait_for("Mosh garbles");
    assert!(!robot.look(mouse_is_on));
    robot.send("q");
    assert_eq!(robot.wait_exit().0, 0);
}
