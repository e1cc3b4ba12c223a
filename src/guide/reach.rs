//! A moment that a person types, held against the windows that can be reached.

use serde::Deserialize;

use crate::base::clock::{Timestamp, parse_moment};

/// A window of moments, both ends within it.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Window {
    from: Timestamp,
    to: Timestamp,
}

impl Window {
    /// As people say it: by whole seconds within it where it has some, else to the last digit.
    fn spoken(self) -> (String, String) {
        let (from, to) = (up_to_second(self.from), second(self.to));
        if from <= to { (words(from), words(to)) } else { (words(self.from), words(self.to)) }
    }

    /// What lies in it next to a moment outside, and how far away.
    fn nearest(self, at: Timestamp) -> (jiff::SignedDuration, String) {
        let (from, to) = self.spoken();
        if at < self.from {
            (self.from.duration_since(at), from)
        } else {
            (at.duration_since(self.to), to)
        }
    }
}

/// The moment that was typed, as RFC 3339, when it can be reached. Where the windows are not known, every
/// moment may be; the plan will tell.
///
/// # Errors
/// It is no moment, or outside of all windows: with the windows, and the nearest moment within one.
pub(super) fn reachable(
    typed: &str,
    windows: Option<&str>,
    now: Timestamp,
) -> Result<String, String> {
    let windows: Vec<Window> =
        windows.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let Some(at) = parse_moment(typed, now) else {
        let so = "no moment: type UTC, such as 2026-11-09 02:00:30, or how long ago: 2h";
        return Err(match told(&windows) {
            Some(all) => format!("{so}; it can be {all}"),
            None => so.to_owned(),
        });
    };
    let nearest = windows.iter().map(|window| window.nearest(at)).min();
    let inside = windows.iter().any(|window| window.from <= at && at <= window.to);
    match (nearest, told(&windows)) {
        // The most important first: a line of a terminal may end behind it.
        (Some((_, nearest)), Some(all)) if !inside => {
            Err(format!("out of reach: the nearest moment is {nearest}; it can be {all}"))
        }
        _ => Ok(at.to_string()),
    }
}

/// All windows; none where there is none.
fn told(windows: &[Window]) -> Option<String> {
    let each = windows.iter().map(|window| {
        let (from, to) = window.spoken();
        format!("from {from} to {to}")
    });
    let all: Vec<String> = each.collect();
    (!all.is_empty()).then(|| all.join(", or "))
}

fn second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

fn up_to_second(at: Timestamp) -> Timestamp {
    let down = second(at);
    if down == at { at } else { Timestamp::from_second(at.as_second() + 1).unwrap_or(at) }
}

fn words(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S%.fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOWS: &str = r#"[{"from":"2026-11-09T02:00:00.25Z","to":"2026-11-09T03:00:00.75Z"},
        {"from":"2026-11-09T04:00:00Z","to":"2026-11-09T05:00:00.000001Z"}]"#;

    fn reach(typed: &str) -> Result<String, String> {
        reachable(typed, Some(WINDOWS), "2026-11-09T06:00:00Z".parse().expect("a moment"))
    }

    #[test]
    fn a_moment_within_a_window_is_taken_as_it_is_meant_now() {
        for (typed, is) in [
            ("2026-11-09 02:30", "2026-11-09T02:30:00Z"),
            ("2026-11-09T05:00:00.000001Z", "2026-11-09T05:00:00.000001Z"),
            ("90m", "2026-11-09T04:30:00Z"),
        ] {
            assert_eq!(reach(typed).as_deref(), Ok(is));
        }
    }

    #[test]
    fn what_is_out_of_reach_is_refused_with_the_windows_and_the_nearest() {
        for (typed, nearest) in [
            ("2026-11-09", "02:00:01Z"),
            ("2026-11-09 03:20", "03:00:00Z"),
            ("2026-11-09 03:50", "04:00:00Z"),
            ("1s", "05:00:00Z"),
        ] {
            let why = reach(typed).expect_err("out of reach");
            assert!(why.contains(&format!("the nearest moment is 2026-11-09 {nearest};")), "{why}");
            assert!(why.ends_with("from 2026-11-09 02:00:01Z to 2026-11-09 03:00:00Z, or from 2026-11-09 04:00:00Z to 2026-11-09 05:00:00Z"), "{why}");
        }
    }

    #[test]
    fn what_is_no_moment_is_refused_and_what_is_not_known_is_not_judged() {
        let why = reach("yesterday noon").expect_err("no moment");
        assert!(why.starts_with("no moment") && why.contains("02:00:01Z"), "{why}");
        let now = "2026-11-09T06:00:00Z".parse().expect("a moment");
        assert!(reachable("yesterday", None, now).is_err());
        assert!(reachable("2020-01-01", None, now).is_ok());
    }

    #[test]
    fn a_window_of_less_than_a_second_is_told_to_its_last_digit() {
        let windows = r#"[{"from":"2026-11-09T02:00:00.25Z","to":"2026-11-09T02:00:00.75Z"}]"#;
        let why =
            reachable("2026-11-08", Some(windows), Timestamp::UNIX_EPOCH).expect_err("outside");
        assert!(why.contains("the nearest moment is 2026-11-09 02:00:00.25Z;"), "{why}");
    }
}
