//! One connection, and what it has learned.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::timeout;
use tokio_postgres::{Row, SimpleQueryMessage, Statement};

use super::{
    facts::{BackupRow, Ready, Standing},
    statements,
    trouble::{Trouble, problem, words_of},
};
use crate::{
    base::clock::Stamp,
    resilience::{
        connect::{Connection, connect},
        conninfo::Settings,
    },
    watch::snapshot::Problem,
};

/// Limit for connecting, authentication included, and again for the first answer.
pub const CONNECT: Duration = Duration::from_secs(2);
/// Prepared statements kept per connection; there are about ten combinations of checks.
const MOST_PREPARED: usize = 40;

/// One connection, and what it has learned.
pub struct Session {
    /// The connection.
    pub connection: Connection,
    /// Who answers, as last told.
    pub standing: Standing,
    /// When identity, rights and queues were last asked.
    pub slow_at: Option<Stamp>,
    /// When it was last asked whether sessions are read-only.
    pub read_only_at: Option<Stamp>,
    /// The archiver's queue, as last told.
    pub ready: Option<Ready>,
    /// Base backups being taken, as last told.
    pub backups: Vec<BackupRow>,
    prepared: BTreeMap<String, Statement>,
}

impl Session {
    /// Connects within that limit, tames the session, and asks who answers.
    pub async fn open(settings: &Settings, within: Duration) -> Result<Self, Trouble> {
        let connection = connect(settings, within).await?;
        let sql = statements::first();
        let answer = match timeout(CONNECT, connection.client.simple_query(&sql)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(Trouble::at_first_question(&connection, &error)),
            Err(_) => return Err(Trouble::silent()),
        };
        let standing = standing(&answer).ok_or_else(Trouble::unreadable)?;
        Ok(Self {
            connection,
            standing,
            slow_at: None,
            read_only_at: None,
            ready: None,
            backups: Vec::new(),
            prepared: BTreeMap::new(),
        })
    }

    /// Asks one statement that answers with one row. `again` says that it will be asked again: the
    /// server then keeps its plan.
    pub async fn query(&mut self, sql: &str, again: bool) -> Result<Row, tokio_postgres::Error> {
        let known = self.prepared.get(sql).cloned();
        let statement = if let Some(statement) = known {
            statement
        } else {
            let statement = self.connection.client.prepare(sql).await?;
            if self.prepared.len() >= MOST_PREPARED {
                self.prepared.clear();
            }
            if again {
                self.prepared.insert(sql.to_owned(), statement.clone());
            }
            statement
        };
        self.connection.client.query_one(&statement, &[]).await
    }

    /// Why the connection is gone.
    pub fn cause(&self) -> Problem {
        match self.connection.fate.cause() {
            Some(cause) => problem(&cause.to_string(), "the server's log tells more"),
            None => problem("the connection was closed", "the server's log tells more"),
        }
    }

    /// A statement of ours failed although the connection lives.
    pub fn failure(error: &tokio_postgres::Error) -> Problem {
        let what = format!("our own query failed: {}", words_of(error));
        problem(&what, "the server's log tells more; what it cannot answer we cannot show")
    }
}

/// Who answered, from the answer to [`statements::first`].
fn standing(answer: &[SimpleQueryMessage]) -> Option<Standing> {
    let row = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    })?;
    let mut standing: Standing = parse(0, row.get(0)?)?;
    standing.read_only = row.get(1) == Some("t");
    Some(standing)
}

/// Reads a JSON column; what cannot be read is logged and treated as not told.
pub fn read<T: serde::de::DeserializeOwned>(row: &Row, column: usize) -> Option<T> {
    parse(column, row.try_get::<_, Option<&str>>(column).ok()??)
}

fn parse<T: serde::de::DeserializeOwned>(column: usize, text: &str) -> Option<T> {
    match serde_json::from_str(text) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::error!(column, %error, "an answer of the server could not be read");
            None
        }
    }
}
