//! Timeline history files: where each timeline left its parent.
//!
//! One line for each ancestor, oldest first: its number, the position at which the next one began, and a
//! reason in words (PostgreSQL documentation, "Timelines"; `readTimeLineHistory` skips empty lines and
//! comments).

use crate::recover::{Fault, Kind, Result, repository::manifest::parse_lsn};

/// An ancestor, and where it was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// The ancestor.
    pub timeline: u32,
    /// The position at which the next timeline begins.
    pub at: u64,
}

/// Reads the history of a timeline: its ancestors, oldest first.
///
/// # Errors
/// [`Kind::Damaged`], with the line, when it cannot be one.
pub fn parse(timeline: u32, text: &[u8]) -> Result<Vec<Left>> {
    let wrong = |line: usize, why: &str| {
        let what = format!("{timeline:08X}.history cannot be understood: line {line} {why}");
        Fault::new(Kind::Damaged, what)
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return Err(wrong(1, "or a later one is no text"));
    };
    let mut ancestors: Vec<Left> = Vec::new();
    for (line, text) in text.lines().enumerate().map(|(line, text)| (line + 1, text.trim())) {
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let mut words = text.split_whitespace();
        let id = words.next().and_then(|word| word.parse::<u32>().ok());
        let at = words.next().and_then(parse_lsn);
        let (Some(id), Some(at)) = (id, at) else {
            return Err(wrong(line, "does not begin with a timeline and a position"));
        };
        if id == 0 || id >= timeline {
            return Err(wrong(line, "names a timeline that cannot be an ancestor"));
        }
        if ancestors.last().is_some_and(|before| before.timeline >= id || before.at > at) {
            return Err(wrong(line, "is out of order"));
        }
        ancestors.push(Left { timeline: id, at });
    }
    if ancestors.is_empty() {
        return Err(wrong(1, "names no ancestor"));
    }
    Ok(ancestors)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ancestors_come_in_order() {
        let text =
            b"1\t0/3000148\tno recovery target specified\n\n# x\n2\t0/40000A0\tbefore 2026\n";
        let ancestors = parse(3, text).expect("a history");
        let want = [Left { timeline: 1, at: 0x300_0148 }, Left { timeline: 2, at: 0x400_00A0 }];
        assert_eq!(ancestors, want);
    }

    #[test]
    fn what_is_no_history_says_which_line() {
        for (text, says) in [
            (&b""[..], "names no ancestor"),
            (b"1\t0/3000148\tx\n9\t0/1\ty\n", "line 2 names a timeline"),
            (b"2\t0/3000148\tx\n1\t0/4\ty\n", "line 2 is out of order"),
            (b"1 x\n", "line 1 does not begin"),
            (b"\xff\xfe", "is no text"),
            (&[0; 64], "line 1 does not begin"),
        ] {
            let fault = parse(3, text).expect_err("no history");
            assert_eq!(fault.kind, Kind::Damaged);
            assert!(fault.to_string().contains(says), "{fault}");
        }
    }

    proptest! {
        #[test]
        fn garbage_is_refused_or_in_order(text in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(ancestors) = parse(9, &text) {
                prop_assert!(ancestors.is_sorted_by_key(|left| left.timeline));
            }
        }
    }
}
