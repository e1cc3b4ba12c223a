//! One line: what it says, and how it is sealed.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Who;
use crate::base::{
    clock::Timestamp,
    digest::sha256,
    secret::mask,
    text::{Text, clean},
};

/// The hash before the first line.
pub const ORIGIN: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// How far an act is, or how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is about to begin.
    Begun,
    /// It is done.
    Done,
    /// It failed.
    Failed,
    /// It was not allowed to begin, or to go on.
    Refused,
}

impl Outcome {
    /// The word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }
}

/// What is acted on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its name.
    pub name: Text,
    /// The cluster's system identifier, when it is known; text, since it is larger than the numbers that
    /// JSON readers keep exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_identifier: Option<Text>,
}

impl Target {
    /// A target, with its system identifier if that is known.
    pub fn new(name: impl Into<Text>, system_identifier: Option<u64>) -> Self {
        Self {
            name: name.into(),
            system_identifier: system_identifier.map(|id| id.to_string().into()),
        }
    }
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its number, from 1, without gaps.
    pub seq: u64,
    /// When, by this machine's clock.
    pub time: Timestamp,
    /// Who.
    pub who: Who,
    /// On which machine.
    pub host: Text,
    /// In which process.
    pub pid: u32,
    /// The job that this process is, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<Text>,
    /// What: a dotted word such as `backup.run`.
    pub action: Text,
    /// On what.
    #[serde(default)]
    pub target: Option<Target>,
    /// Why: the reason that was given, or why it failed or was refused.
    #[serde(default)]
    pub why: Option<Text>,
    /// How far it is, or how it ended.
    pub outcome: Outcome,
    /// The number of the line that began what this one ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun: Option<u64>,
    /// More about it.
    #[serde(default)]
    pub details: Map<String, Value>,
    /// The hash of the line before.
    pub prev: String,
}

/// A line as it stands in the file: the record's JSON object with its own hash as last member.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// What it says.
    pub record: Record,
    /// Its hash.
    pub hash: String,
}

const HASH_MEMBER: &str = ",\"hash\":\"";

/// The line of a record, its line feed included, and its hash: SHA-256 of the object without its last
/// member, that is of the line with `,"hash":"…"` cut out.
pub(super) fn seal(record: &Record) -> serde_json::Result<(String, String)> {
    let object = serde_json::to_string(record)?;
    let hash = sha256(object.as_bytes());
    let open = object.strip_suffix('}').unwrap_or(&object);
    Ok((format!("{open}{HASH_MEMBER}{hash}\"}}\n"), hash))
}

/// Reads a line, without its line feed. `None` when it is no record or when its hash is not its own.
pub(super) fn unseal(line: &[u8]) -> Option<Line> {
    let line = std::str::from_utf8(line).ok()?;
    let (open, rest) = line.rsplit_once(HASH_MEMBER)?;
    let hash = rest.strip_suffix("\"}")?;
    if sha256(format!("{open}}}").as_bytes()) != hash {
        return None;
    }
    let mut record: Record = serde_json::from_str(line).ok()?;
    record.details = tidy_map(record.details);
    Some(Line { record, hash: hash.to_owned() })
}

/// Details as an object that is safe to keep and to show: foreign text cleaned, passwords inside
/// connection strings masked. What is no object becomes the member `value`.
pub(super) fn tidy(details: Value) -> Map<String, Value> {
    match details {
        Value::Object(map) => tidy_map(map),
        Value::Null => Map::new(),
        other => Map::from_iter([("value".to_owned(), tidy_value(other))]),
    }
}

fn tidy_map(map: Map<String, Value>) -> Map<String, Value> {
    map.into_iter().map(|(key, value)| (clean(&key).into_owned(), tidy_value(value))).collect()
}

fn tidy_value(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(clean(&mask(&text)).into_owned()),
        Value::Array(items) => Value::Array(items.into_iter().map(tidy_value).collect()),
        Value::Object(map) => Value::Object(tidy_map(map)),
        other => other,
    }
}
