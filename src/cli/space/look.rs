//! What a server tells of its room. What our role may not see is told as such, never as nothing.

use serde::Serialize;
use tokio_postgres::Row;

use crate::{
    base::text::Text,
    recover::{Fault, Kind, Result, session::Session},
    watch::server::space::{
        ARCHIVER, DATABASES, FOLDERS, LOGS, PATIENCE, SLOTS, Slot, TABLES, TEMPORARY, WAL,
    },
};

/// Something that was seen, or why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen<T> {
    /// It is so.
    Is(T),
    /// It could not be seen.
    Blind(Text),
}

impl<T> Seen<T> {
    /// What was seen.
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Blind(_) => None,
        }
    }
}

/// Where the room goes.
#[derive(Clone, Debug, Serialize)]
pub struct Space {
    /// The WAL folder.
    pub wal: Seen<Wal>,
    /// What waits for the archiver.
    pub archiver: Seen<Archiver>,
    /// Temporary files of queries.
    pub temporary: Seen<Files>,
    /// The log folder.
    pub logs: Seen<Logs>,
    /// Replication slots, those that keep most first.
    pub slots: Vec<Slot>,
    /// The largest databases.
    pub databases: Vec<Database>,
    /// The largest tables of the database that we are connected to.
    pub tables: Vec<Table>,
    /// The data folder and those of tablespaces; the log folder.
    #[serde(skip)]
    pub folders: Seen<Folders>,
}

/// The WAL folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wal {
    /// Its size.
    pub bytes: u64,
    /// Its files.
    pub files: i64,
    /// `max_wal_size`.
    pub max: u64,
    /// `wal_keep_size`.
    pub keep: u64,
    /// In hundredths of `max_wal_size`.
    pub percent_of_max: u64,
}

/// What waits for the archiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Archiver {
    /// Segments.
    pub waiting: i64,
    /// Their size.
    pub bytes: u64,
    /// The newest event is a failure.
    pub failing: bool,
    /// Of this segment.
    pub failed: Option<Text>,
}

/// Files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Files {
    /// Their size.
    pub bytes: u64,
    /// Their number.
    pub files: i64,
}

/// The log folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Logs {
    /// Its size.
    pub bytes: u64,
    /// Its files.
    pub files: i64,
    /// The size of those that nobody has written to for a week.
    pub old: u64,
}

/// A database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Database {
    /// Its name.
    pub name: Text,
    /// Its size; none where our role may not measure it.
    pub bytes: Option<u64>,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Table {
    /// Its name with its schema.
    pub name: Text,
    /// Its size with indexes and TOAST.
    pub bytes: u64,
    /// How many of a hundred of its rows are dead.
    pub dead: Option<u64>,
    /// When it was vacuumed last by itself.
    pub vacuumed: Option<Text>,
}

/// Folders of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folders {
    /// The data folder first, then those of tablespaces.
    pub data: Vec<String>,
    /// The log folder, relative to the data folder or not.
    pub log: Option<String>,
}

/// Asks for all of it.
pub fn look(session: &Session) -> Result<Space> {
    session.run(PATIENCE)?;
    let slots = session.query(SLOTS, &[])?;
    let slots = slots.iter().map(Slot::of).collect::<std::result::Result<_, _>>();
    Ok(Space {
        wal: one(session, WAL, |row| {
            let (bytes, max) = (size(row, 0)?, size(row, 2)?);
            let percent_of_max = bytes.saturating_mul(100) / max.max(1);
            Ok(Wal { bytes, files: row.try_get(1)?, max, keep: size(row, 3)?, percent_of_max })
        }),
        archiver: one(session, ARCHIVER, |row| {
            let waiting: i64 = row.try_get(0)?;
            Ok(Archiver {
                waiting,
                bytes: waiting.unsigned_abs() * size(row, 1)?,
                failing: row.try_get::<_, Option<bool>>(2)?.unwrap_or(false),
                failed: row.try_get::<_, Option<&str>>(3)?.map(Text::one_line),
            })
        }),
        temporary: one(session, TEMPORARY, |row| {
            Ok(Files { bytes: size(row, 0)?, files: row.try_get(1)? })
        }),
        logs: one(session, LOGS, |row| {
            Ok(Logs { bytes: size(row, 0)?, files: row.try_get(1)?, old: size(row, 2)? })
        }),
        slots: slots.map_err(|error| Fault::new(Kind::Failed, error.to_string()))?,
        databases: rows(session, DATABASES, |row| {
            let bytes = row.try_get::<_, Option<i64>>(1)?.map(i64::unsigned_abs);
            Ok(Database { name: Text::one_line(row.try_get::<_, &str>(0)?), bytes })
        }),
        tables: rows(session, TABLES, table),
        folders: folders(session),
    })
}

fn size(row: &Row, at: usize) -> std::result::Result<u64, tokio_postgres::Error> {
    Ok(row.try_get::<_, Option<i64>>(at)?.unwrap_or(0).unsigned_abs())
}

fn table(row: &Row) -> std::result::Result<Table, tokio_postgres::Error> {
    let (dead, live): (i64, i64) = (row.try_get(2)?, row.try_get(3)?);
    let all = dead.saturating_add(live);
    Ok(Table {
        name: Text::one_line(row.try_get::<_, &str>(0)?),
        bytes: size(row, 1)?,
        dead: (all > 0).then(|| (dead.saturating_mul(100) / all).unsigned_abs()),
        vacuumed: row.try_get::<_, Option<&str>>(4)?.map(Text::one_line),
    })
}

type Read<T> = fn(&Row) -> std::result::Result<T, tokio_postgres::Error>;

/// The one row of a question that our role may not be allowed to ask.
fn one<T>(session: &Session, sql: &str, read: Read<T>) -> Seen<T> {
    let told = session.one(sql, &[]).map_err(|fault| fault.what().clone());
    match told.and_then(|row| read(&row).map_err(|error| error.to_string().into())) {
        Ok(value) => Seen::Is(value),
        Err(why) => Seen::Blind(why),
    }
}

/// All rows; none where they may not be asked for, or took too long to be counted.
fn rows<T>(session: &Session, sql: &str, read: Read<T>) -> Vec<T> {
    let rows = session.query(sql, &[]).unwrap_or_default();
    rows.iter().filter_map(|row| read(row).ok()).collect()
}

fn folders(session: &Session) -> Seen<Folders> {
    let told = match session.query(FOLDERS, &[]) {
        Ok(rows) => rows,
        Err(fault) => return Seen::Blind(fault.what().clone()),
    };
    let words = |row: &Row, at| row.try_get::<_, Option<String>>(at).ok().flatten();
    Seen::Is(Folders {
        data: told.iter().filter_map(|row| words(row, 0)).collect(),
        log: told.first().and_then(|row| words(row, 1)),
    })
}
