//! Tables out of a cluster that waits at its target: a logical backup of one database, kept beside it, from
//! which tables are restored as from any other.

use std::path::Path;

use super::{
    record::{Record, State},
    restored::attach,
};
use crate::{
    base::{progress::Observer, text::Text},
    recover::{
        Fault, Kind, Repository, Result,
        backup::{self, Kinds, Request, Wish},
        repository::{self, manifest::Role},
    },
};

/// The repository's name, in the restored folder: it goes when that is discarded.
const FOLDER: &str = "salvage";
/// What the target is called in it.
const NAME: &str = "restored";

/// The repository beside a restored cluster with a logical backup of a database as it stands there. It is
/// taken at the first call: nobody writes to a cluster that waits, so a second one would be the same.
///
/// # Errors
/// [`Kind::Refused`] for a cluster that does not wait at its target; what taking a backup fails with.
pub fn salvage(folder: &Path, database: &str, observer: &dyn Observer) -> Result<Repository> {
    let record = Record::read(folder)?;
    if record.state != State::Inspecting {
        let what = format!("'{}' does not wait at its target", folder.display());
        return Err(Fault::new(Kind::Refused, what).remedy("restore it with --inspect"));
    }
    let place = folder.join(FOLDER);
    let repository = repository::make(&place.to_string_lossy(), NAME)?;
    let holds = |role: &Role| matches!(role, Role::Dump { database: known } if known == database);
    let known = repository.backups()?.iter().any(|entry| {
        entry.manifest().is_some_and(|manifest| manifest.files.iter().any(|f| holds(&f.role)))
    });
    if !known {
        let server = attach(&record)?;
        let (session, mut settings) = server.launch().superuser()?;
        if !server.locked(&session)?.is_empty() {
            // The transaction that recovery stopped in is rolled back, and its tables are as they were. Nobody
            // else can connect, as before.
            observer.note(&Text::ours(
                "ending recovery: it stopped inside a transaction that locks tables",
            ));
            server.promote(&session)?;
        }
        drop(session);
        database.clone_into(&mut settings.dbname);
        let wish = Wish::Database(Some(database.to_owned()));
        let kind = Kinds::Logical { wish, counts: true };
        backup::take(&Request { kind, break_lock: false }, &settings, &repository, observer)?;
    }
    Ok(repository)
}
