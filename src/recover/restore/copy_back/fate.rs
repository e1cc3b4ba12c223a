//! Whether a copy was committed, when nobody was told: its transaction's number stands in its record before the
//! commit, and the server keeps what became of that (`pg_xact_status`, PostgreSQL documentation, "Transaction ID and
//! Snapshot Information Functions").

use serde_json::json;

use super::Mode;
use crate::{
    base::progress::{Cleanup, Observer},
    recover::{
        Fault, Kind, Repository, Result,
        restore::{
            Target,
            record::{Record, What},
            side::Table,
        },
        session::Session,
    },
};

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It counts.
    Committed,
    /// Nothing of it was ever seen.
    Undone,
    /// It still runs.
    Running,
    /// The server does not know any more.
    Forgotten,
}

impl Fate {
    /// As the server knows it.
    fn of(session: &Session, transaction: &str) -> Result<Self> {
        let sql = "SELECT pg_catalog.pg_xact_status($1::text::pg_catalog.xid8)";
        let status: Option<String> = session.one(sql, &[&transaction])?.get(0);
        Ok(match status.as_deref() {
            Some("committed") => Self::Committed,
            Some("aborted") => Self::Undone,
            Some(_) => Self::Running,
            None => Self::Forgotten,
        })
    }
}

/// Commits the open transaction of a session, and returns when it is certain that it was. Whoever finds the record of
/// one that was killed on the way can ask.
pub(super) fn commit(
    repository: &Repository,
    target: &Target,
    session: &Session,
    record: &mut Record,
    observer: &dyn Observer,
) -> Result<()> {
    let transaction: String =
        session.one("SELECT pg_catalog.pg_current_xact_id()::text", &[])?.get(0);
    let id = &record.id;
    let ask = format!(
        "nothing; but whether transaction {transaction} was committed is not known: \
         `howdah restore undo {id}` asks the server, and shows how it is undone"
    );
    let what = format!("committing transaction {transaction}");
    let step = observer.step(what, &Cleanup::words(ask))?;
    pend(record, Some(transaction.clone()));
    let committed = repository.keep_restore(record).and_then(|()| session.run("COMMIT"));
    let Err(fault) = committed else {
        pend(record, None);
        return Ok(step.done(json!({ "transaction": transaction }))?);
    };
    // The server may have said no, or done it and not come to say so.
    let What::CopyBack { database, .. } = &record.what else { return Err(fault) };
    let _ = session.run("ROLLBACK");
    match Fate::of(&target.database(database)?, &transaction)? {
        Fate::Committed => {
            pend(record, None);
            step.done(json!({ "transaction": transaction }))?;
            Ok(())
        }
        Fate::Undone => {
            repository.forget_restore(&record.id)?;
            step.undone(fault.what().as_str())?;
            Err(fault)
        }
        Fate::Running | Fate::Forgotten => Err(fault),
    }
}

fn pend(record: &mut Record, transaction: Option<String>) {
    if let What::CopyBack { pending, .. } = &mut record.what {
        *pending = transaction;
    }
}

/// A record as it is true: of one whose end nobody was told the server is asked, and the answer is kept. None for a
/// copy that never was.
///
/// # Errors
/// [`Kind::Refused`] while it runs, and when the server does not know any more.
pub fn settled(
    repository: &Repository,
    session: &Session,
    record: &Record,
) -> Result<Option<Record>> {
    let What::CopyBack { pending: Some(transaction), mode, kept, .. } = &record.what else {
        return Ok(Some(record.clone()));
    };
    let fate = match Fate::of(session, transaction)? {
        // What keeps the undoing is made by the transaction itself; that of an undoing was there before.
        Fate::Forgotten if *mode != Mode::Undo => match Table::read(session, kept)? {
            Some(_) => Fate::Committed,
            None => Fate::Undone,
        },
        fate => fate,
    };
    let refused = |why: &str| {
        let what = format!("the copy {} (transaction {transaction}) {why}", record.id);
        Err(Fault::new(Kind::Refused, what))
    };
    match fate {
        Fate::Committed => {
            let mut record = record.clone();
            pend(&mut record, None);
            repository.settle_restore(&record)?;
            Ok(Some(record))
        }
        Fate::Undone => {
            repository.forget_restore(&record.id)?;
            Ok(None)
        }
        Fate::Running => refused("is still at work"),
        Fate::Forgotten => {
            refused("was long ago: the server does not know any more what became of it")
        }
    }
}
