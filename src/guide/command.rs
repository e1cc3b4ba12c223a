//! Runs a command of this very program that only looks or plans, within a time.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use crate::base::{
    cancel::Cancel,
    clock::Clock,
    exec::{ExecError, Tool},
    text::Text,
};

/// How often the time of a command is looked at.
const GLANCE: Duration = Duration::from_millis(20);
/// How often a rest is looked at.
const DOZE: Duration = Duration::from_millis(100);
/// Lines of what a failed command printed that are told when it said nothing else.
const TOLD: usize = 5;

/// Rests that long; false when the end was wished for meanwhile.
pub fn rest(cancel: &Cancel, long: Duration) -> bool {
    let clock = Clock::system();
    let end = clock.now().plus(long);
    while clock.now() < end {
        if cancel.cancelled() {
            return false;
        }
        thread::sleep(DOZE.min(long));
    }
    !cancel.cancelled()
}

/// What a command prints that was asked for JSON.
pub fn json(printed: &[u8]) -> Result<serde_json::Value, Text> {
    serde_json::from_slice(printed)
        .map_err(|error| format!("what it printed is no JSON: {error}").into())
}

/// How a command ended.
pub struct Ran {
    /// What it printed.
    pub printed: Vec<u8>,
    /// Its exit code; none when it was ended.
    pub exit: Option<i32>,
    /// Its last message, when that was no answer.
    pub end: Result<(), Text>,
}

/// Runs a command to its end, and no longer than that. None when the end was wished for.
pub fn run_within(tool: &Tool, good: &[i32], cancel: &Cancel, within: Duration) -> Option<Ran> {
    let (inner, done) = (Cancel::new(), AtomicBool::new(false));
    let clock = Clock::system();
    let end = clock.now().plus(within);
    let ran = thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                if cancel.cancelled() || clock.now() >= end {
                    inner.cancel();
                    return;
                }
                thread::sleep(GLANCE);
            }
        });
        let ran = run(tool, good, &inner);
        done.store(true, Ordering::Relaxed);
        ran
    });
    match ran {
        None if !cancel.cancelled() => {
            let within = crate::base::units::span(within);
            let end = Err(format!("it did not end within {within}, and was ended").into());
            Some(Ran { printed: Vec::new(), exit: None, end })
        }
        ran => ran,
    }
}

/// Runs a command to its end. None when the end was wished for.
fn run(tool: &Tool, good: &[i32], cancel: &Cancel) -> Option<Ran> {
    // Its exit code is told of what is no success only; whether it is an answer we see ourselves.
    let (printed, ended) = match tool.clone().good(&[]).run_out(cancel, &mut |_| {}) {
        Ok(out) => out,
        Err(error) => {
            return Some(Ran {
                printed: Vec::new(),
                exit: None,
                end: Err(error.to_string().into()),
            });
        }
    };
    let exit = match &ended {
        Err(ExecError::Failed { code, .. }) => *code,
        _ => None,
    };
    let end = match ended {
        Err(ExecError::Cancelled { .. }) => return None,
        _ if exit.is_some_and(|code| good.contains(&code)) => Ok(()),
        Err(ExecError::Failed { messages, .. }) if !messages.is_empty() => {
            let ours = |line: &Text| line.strip_prefix("howdah: ").unwrap_or(line).to_owned();
            // Where a person finds the options of a command is no help in the middle of a guide.
            let helps = |line: &&Text| !line.starts_with("For more information, try");
            let said: Vec<String> = messages.iter().filter(helps).map(ours).collect();
            Err(with_code(&said.join(" "), exit))
        }
        Err(ExecError::Failed { code: Some(_), .. }) if !printed.is_empty() => {
            let printed = String::from_utf8_lossy(&printed);
            let lines: Vec<&str> = printed.lines().map(str::trim).collect();
            let said = lines[lines.len().saturating_sub(TOLD)..].join(" ");
            Err(with_code(&format!("it said only: {said}"), exit))
        }
        ended => ended.map_err(|error| error.to_string().into()),
    };
    Some(Ran { printed, exit, end })
}

fn with_code(said: &str, code: Option<i32>) -> Text {
    let code = code.map(|code| format!(" (exit code {code})")).unwrap_or_default();
    Text::one_line(&format!("{said}{code}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_does_not_end_is_ended_and_said() {
        let clock = Clock::system();
        let began = clock.now();
        let hangs = Tool::new("sleep").arg("60");
        let ran = run_within(&hangs, &[0], &Cancel::new(), Duration::from_millis(300));
        let why = ran.expect("an answer").end.expect_err("it was ended");
        assert!(why.contains("did not end within"), "{why}");
        let took = clock.now().since(began);
        assert!(took < Duration::from_secs(30), "it took {took:?}");
    }
}
