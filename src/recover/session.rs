//! A blocking session with the server, for work that runs in its own process.

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Row, error::SqlState, types::ToSql};

use super::{Fault, Kind, Result, repository::claim::Cluster};
use crate::{
    base::clock::Timestamp,
    resilience::{
        connect::{Connection, connect},
        conninfo::{Host, Settings},
    },
};

/// How long connecting may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// A session whose calls block. Its connection is driven only while a call runs: between calls nothing is
/// sent or received.
#[derive(Debug)]
pub struct Session {
    runtime: Runtime,
    connection: Connection,
    /// The server's version as `server_version_num` says it: 150018 is 15.18.
    pub version: u32,
}

impl Session {
    /// Connects. The session calls itself `howdah` where the settings do not say otherwise.
    pub fn open(settings: &Settings) -> Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Fault::io("no runtime for the session"))?;
        let settings = settings.clone().calling_itself("howdah");
        let connection = runtime.block_on(connect(&settings, CONNECT_LIMIT))?;
        let mut session = Self { runtime, connection, version: 0 };
        let version: i32 =
            session.one("SELECT current_setting('server_version_num')::int", &[])?.get(0);
        session.version = version.unsigned_abs();
        Ok(session)
    }

    /// The same settings with another database.
    pub fn open_database(settings: &Settings, database: &str) -> Result<Self> {
        let mut settings = settings.clone();
        database.clone_into(&mut settings.dbname);
        Self::open(&settings)
    }

    /// Which cluster the server serves.
    pub fn cluster(&self) -> Result<Cluster> {
        let row = self.one(
            "SELECT system_identifier, bytes_per_wal_segment \
             FROM pg_control_system(), pg_control_init()",
            &[],
        )?;
        Ok(Cluster {
            // The server shows it as a signed number.
            system_identifier: row.get::<_, i64>(0).cast_unsigned(),
            version: self.version,
            segment_size: u64::try_from(row.get::<_, i32>(1)).ok(),
        })
    }

    /// The server's clock.
    pub fn clock(&self) -> Result<Timestamp> {
        let epoch: f64 =
            self.one("SELECT extract(epoch FROM clock_timestamp())::float8", &[])?.get(0);
        Timestamp::from_microsecond((epoch * 1e6) as i64)
            .map_err(|error| Fault::new(Kind::Failed, format!("the server's clock: {error}")))
    }

    /// Which of the hosts answered.
    pub fn host(&self) -> &Host {
        &self.connection.host
    }

    /// What makes `pg_dump` speak UTF-8 as this session does, so that these names are in a dump what the session
    /// hears. Nothing when all of them are ASCII: the database's own encoding takes every byte that it holds, of
    /// which some have no equivalent. Nothing for a database in `SQL_ASCII`, whose bytes may be of any encoding and
    /// are not converted (PostgreSQL docs, "Automatic Character Set Conversion Between Server and Client").
    pub fn dump_encoding<'n>(
        &self,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Result<Option<&'static str>> {
        if names.into_iter().all(str::is_ascii) {
            return Ok(None);
        }
        let encoding: String = self.one("SHOW server_encoding", &[])?.get(0);
        Ok((encoding != "SQL_ASCII").then_some("--encoding=UTF8"))
    }

    /// All rows of a query.
    pub fn query(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        self.runtime
            .block_on(self.connection.client.query(sql, parameters))
            .map_err(|error| failed(sql, &error))
    }

    /// The one row of a query.
    pub fn one(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Row> {
        self.runtime
            .block_on(self.connection.client.query_one(sql, parameters))
            .map_err(|error| failed(sql, &error))
    }

    /// Runs statements that return nothing, as one string.
    pub fn run(&self, sql: &str) -> Result<()> {
        self.runtime
            .block_on(self.connection.client.batch_execute(sql))
            .map_err(|error| failed(sql, &error))
    }
}

/// What to do about bytes that cannot be told in UTF-8.
const NOT_UTF8: &str = "a name in this database is not valid in UTF-8: rename it, or take a physical backup, which takes \
                        bytes as they are";

/// A failed statement with the server's own words, and the beginning of the statement.
fn failed(sql: &str, error: &tokio_postgres::Error) -> Fault {
    let mut begin: String = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    if begin.chars().count() > 60 {
        begin = begin.chars().take(60).chain(['…']).collect();
    }
    let Some(said) = error.as_db_error() else {
        return Fault::new(
            Kind::Unavailable,
            format!("the session broke during '{begin}': {error}"),
        );
    };
    let hint = said.hint().map(str::to_owned).or_else(|| {
        (*said.code() == SqlState::CHARACTER_NOT_IN_REPERTOIRE).then(|| NOT_UTF8.to_owned())
    });
    let denied = *said.code() == SqlState::INSUFFICIENT_PRIVILEGE;
    let kind = if denied { Kind::Refused } else { Kind::Failed };
    let fault = Fault::new(kind, format!("'{begin}': {} ({})", said.message(), said.code().code()));
    match hint {
        Some(hint) => fault.remedy(hint),
        None => fault,
    }
}

/// A name as SQL wants it written: in double quotes.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL wants it written, whatever `standard_conforming_strings` says.
pub fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        format!("E'{}'", quoted.replace('\\', r"\\"))
    } else {
        format!("'{quoted}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_stay_inside_their_quotes() {
        assert_eq!(identifier("a\"; drop table x; --"), "\"a\"\"; drop table x; --\"");
        assert_eq!(literal(r"it's \ here"), r"E'it''s \\ here'");
    }
}
