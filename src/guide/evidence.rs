//! What is kept of a command that was run for a step: enough to judge it later, and to compare it with what others
//! kept.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::{
    clock::Timestamp,
    digest::sha256,
    exec::quoted,
    secret::mask,
    text::{Text, fit},
};

/// Lines that are kept from the beginning of what a command printed, and from its end.
const KEPT: usize = 3;
/// Cells that are kept of each.
const WIDE: usize = 160;
/// Where commands give the server's clock in the JSON that they print.
const SERVER_CLOCK: [&str; 2] = ["/server_clock", "/server/now"];

/// What is kept of a command. Secrets are masked, and what it printed is told by its first and last lines and its
/// fingerprint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The command, as a person would type it.
    pub command: Text,
    /// When it began, by this machine's clock.
    pub began: Timestamp,
    /// How long it took, in milliseconds; none of one that still runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// The server's clock, where the command asked one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Timestamp>,
    /// Its exit code; none when it was killed, or still runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<i32>,
    /// What it printed; none of one that still runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub printed: Option<Printed>,
}

/// What a command printed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Printed {
    /// Its size in bytes.
    pub bytes: u64,
    /// Its lines.
    pub lines: usize,
    /// The first of them.
    pub first: Vec<Text>,
    /// The last of them, where there are more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last: Vec<Text>,
    /// The SHA-256 of all of it.
    pub sha256: String,
}

impl Evidence {
    /// Of a command that begins now.
    pub fn begun<'a>(words: impl IntoIterator<Item = &'a str>, began: Timestamp) -> Self {
        let typed: Vec<String> = std::iter::once("howdah")
            .chain(words)
            .map(|word| quoted(mask(word).as_ref().as_ref()))
            .collect();
        Self { command: Text::one_line(&mask(&typed.join(" "))), began, ..Self::default() }
    }

    /// With how it ended.
    #[must_use]
    pub fn ended(self, took: Duration, exit: Option<i32>, printed: &[u8]) -> Self {
        let json: Value = serde_json::from_slice(printed).unwrap_or_default();
        Self {
            took_ms: Some(took.as_millis() as u64),
            exit,
            server: SERVER_CLOCK.iter().find_map(|at| json.pointer(at)?.as_str()?.parse().ok()),
            printed: Some(Printed::of(printed)),
            ..self
        }
    }
}

impl Printed {
    fn of(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let lines: Vec<&str> = text.lines().collect();
        let keep = |lines: &[&str]| -> Vec<Text> {
            lines.iter().map(|line| fit(&mask(line), WIDE, "…").into_owned().into()).collect()
        };
        let first = KEPT.min(lines.len());
        let last = lines.len().saturating_sub(KEPT).max(first);
        Self {
            bytes: bytes.len() as u64,
            lines: lines.len(),
            first: keep(&lines[..first]),
            last: keep(&lines[last..]),
            sha256: sha256(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_hides_secrets_and_tells_the_rest() {
        let began: Timestamp = "2026-11-23T09:12:44Z".parse().expect("a moment");
        let words = ["status", "postgresql://me:hunter2@db/app", "a b", "--json"];
        let printed = b"{\n\"server_clock\": \"2026-11-23T09:12:45Z\",\n\"url\": \"postgresql://me:hunter2@db\",\n\"x\": \"\x1b[2J\",\n\"n\": 1\n}\n";
        let printed = printed.iter().copied().filter(|byte| *byte != 0x1b).collect::<Vec<u8>>();
        let kept =
            Evidence::begun(words, began).ended(Duration::from_millis(20), Some(2), &printed);
        assert_eq!(
            kept.command.as_str(),
            "howdah status 'postgresql://me:********@db/app' 'a b' --json"
        );
        assert_eq!((kept.exit, kept.took_ms), (Some(2), Some(20)));
        assert_eq!(kept.server, "2026-11-23T09:12:45Z".parse().ok());
        let told = kept.printed.expect("told");
        assert_eq!((told.lines, told.first.len(), told.last.len()), (6, 3, 3));
        assert_eq!(told.sha256, sha256(&printed));
        assert!(!format!("{told:?}").contains("hunter2"), "{told:?}");
        let short = Printed::of(b"a\nb\n");
        assert_eq!((short.first.len(), short.last.len()), (2, 0));
        let long = Printed::of("x".repeat(9_000).as_bytes());
        assert!(long.first[0].len() < 200, "{}", long.first[0].len());
        let many = Printed::of(b"1\n2\n3\n4\n5\n");
        assert_eq!(many.last, ["4".into(), "5".into()], "no line twice");
        assert_eq!(Printed::of(b"\x1b[2J").first[0].as_str(), "^[[2J");
    }
}
