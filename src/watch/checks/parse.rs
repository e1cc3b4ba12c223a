//! Reads annotated SQL into check specifications.

use std::time::Duration;

use super::{Privilege, Rule, Spec, Threshold};
use crate::{base::units, watch::snapshot::Role};

/// A check that is not written as the head of the file says.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("check '{id}': {what}")]
pub struct ParseError {
    /// The check.
    pub id: String,
    /// What is wrong with it.
    pub what: String,
}

/// Reads every `-- @check` of a file; each has a query.
pub fn queries(source: &str) -> Result<Vec<Spec>, ParseError> {
    let specs = derived(source)?;
    match specs.iter().find(|spec| spec.sql.is_empty()) {
        Some(spec) => {
            Err(ParseError { id: spec.id.clone(), what: "the query is missing".to_owned() })
        }
        None => Ok(specs),
    }
}

/// Reads every `-- @check` of a file of checks that need no query.
pub fn derived(source: &str) -> Result<Vec<Spec>, ParseError> {
    let mut blocks: Vec<Vec<&str>> = Vec::new();
    for line in source.lines() {
        if line.starts_with("-- @check ") {
            blocks.push(vec![line]);
        } else if let Some(block) = blocks.last_mut() {
            block.push(line);
        }
    }
    blocks.iter().map(|block| spec(block)).collect()
}

fn spec(block: &[&str]) -> Result<Spec, ParseError> {
    let (comments, query): (Vec<&str>, Vec<&str>) =
        block.iter().partition(|line| line.starts_with("--"));
    let annotations = Annotations::read(&comments);
    let id = annotations.get("check").unwrap_or_default().to_owned();
    let error = |what: String| ParseError { id: id.clone(), what };
    let needed = |name: &str| {
        annotations.get(name).ok_or_else(|| error(format!("the annotation '@{name}' is missing")))
    };
    let number = |name: &str, default: u32| match annotations.get(name) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| error(format!("'@{name} {text}' is not a number"))),
    };
    let threshold = |name: &str| match annotations.get(name) {
        None => Ok(None),
        Some(text) => Threshold::parse(text)
            .map(Some)
            .ok_or_else(|| error(format!("'@{name} {text}' is not a comparison such as '> 75'"))),
    };
    let sql = query.join("\n").trim().trim_end_matches(';').to_owned();
    Ok(Spec {
        class: needed("class")?.to_owned(),
        scope: match needed("scope")? {
            "any" => None,
            "primary" => Some(Role::Primary),
            "standby" => Some(Role::Standby),
            other => return Err(error(format!("'@scope {other}' is not any, primary or standby"))),
        },
        privilege: match needed("role")? {
            "public" => Privilege::Public,
            "pg_monitor" => Privilege::Monitor,
            "superuser" => Privilege::Superuser,
            other => {
                return Err(error(format!("'@role {other}' is not public, pg_monitor, superuser")));
            }
        },
        min: number("min", 0)?,
        max: number("max", u32::MAX)?,
        every: every(needed("every")?)
            .ok_or_else(|| error("'@every' is not a duration such as '10s'".to_owned()))?,
        warn: threshold("warn")?,
        crit: threshold("crit")?,
        unit: needed("unit")?.to_owned(),
        remedy: needed("remedy")?.to_owned(),
        rule: match annotations.get("rule") {
            None => Rule::AT_ONCE,
            Some(text) => rule(text).ok_or_else(|| {
                error(format!("'@rule {text}' is not three counts such as 3/5/5"))
            })?,
        },
        sql,
        id,
    })
}

fn every(text: &str) -> Option<Duration> {
    units::parse_span(text).filter(|span| *span >= Duration::from_secs(1))
}

fn rule(text: &str) -> Option<Rule> {
    let counts: Vec<u8> = text.split('/').map(|n| n.trim().parse().ok()).collect::<Option<_>>()?;
    match counts.as_slice() {
        [bad, of, good] if *bad > 0 && bad <= of && *good > 0 => {
            Some(Rule { bad: *bad, of: *of, good: *good })
        }
        _ => None,
    }
}

/// The `@name words` pairs of a block; words end at the next `@name` or at the end of the line.
struct Annotations<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Annotations<'a> {
    const NAMES: [&'static str; 12] = [
        "check", "class", "scope", "role", "min", "max", "every", "warn", "crit", "unit", "remedy",
        "rule",
    ];

    fn read(comments: &[&'a str]) -> Self {
        let mut pairs = Vec::new();
        for line in comments.iter().filter_map(|line| line.strip_prefix("-- @")) {
            let mut rest = line;
            loop {
                // A remedy may hold an '@' of its own, so only known names end the words before.
                let next = rest.match_indices(" @").find(|(at, _)| {
                    let name = rest.get(at + 2..).and_then(|tail| tail.split(' ').next());
                    name.is_some_and(|name| Self::NAMES.contains(&name))
                });
                let (this, tail) = match next {
                    Some((at, _)) => (rest.get(..at), rest.get(at + 2..)),
                    None => (Some(rest), None),
                };
                if let Some((name, words)) = this.and_then(|this| this.split_once(' ')) {
                    pairs.push((name, words.trim()));
                }
                match tail {
                    Some(tail) => rest = tail,
                    None => break,
                }
            }
        }
        Self(pairs)
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(n, _)| *n == name).map(|(_, words)| *words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "-- heading\n\n-- @check a_check\n-- @class wal @scope primary @role pg_monitor @min 130000 @every 10s @rule 2/3/4\n\
        -- @warn > 1 @crit > 2 @unit per 5 min @remedy ask somebody@example, then act\n-- a remark\nSELECT 1\nFROM t;\n";

    #[test]
    fn a_block_becomes_a_spec() {
        let specs = queries(GOOD).expect("a good block");
        let [spec] = specs.as_slice() else { panic!("one spec, not {}", specs.len()) };
        assert_eq!((spec.id.as_str(), spec.class.as_str()), ("a_check", "wal"));
        assert_eq!((spec.scope, spec.privilege), (Some(Role::Primary), Privilege::Monitor));
        assert_eq!((spec.min, spec.max), (130_000, u32::MAX));
        assert_eq!(spec.every, Duration::from_secs(10));
        assert_eq!(spec.rule, Rule { bad: 2, of: 3, good: 4 });
        assert_eq!(spec.unit, "per 5 min");
        assert_eq!(spec.remedy, "ask somebody@example, then act");
        assert_eq!(spec.sql, "SELECT 1\nFROM t");
    }

    #[test]
    fn each_mistake_is_named() {
        for (from, to, word) in [
            ("@scope primary", "@scope both", "@scope both"),
            ("@role pg_monitor", "@role root", "@role root"),
            ("@every 10s", "@every often", "@every"),
            ("@warn > 1", "@warn some", "@warn some"),
            ("@min 130000", "@min new", "@min new"),
            ("@rule 2/3/4", "@rule 4/3/2", "@rule 4/3/2"),
            ("@unit per 5 min", "", "@unit"),
            ("SELECT 1\nFROM t;", "", "query"),
        ] {
            let error = queries(&GOOD.replace(from, to)).expect_err(to);
            assert_eq!(error.id, "a_check");
            assert!(error.what.contains(word), "{error}");
        }
    }
}
