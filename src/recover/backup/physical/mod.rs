//! Physical backups: `pg_basebackup`, as tar, with the WAL that makes it consistent.
//!
//! | file | its duty |
//! |---|---|
//! | `streamed` | straight into the repository: one archive, which we compress |
//! | `spooled` | by way of a folder: an archive for each tablespace, or archives that the server has compressed |
//! | `growing` | files that are read while `pg_basebackup` still writes them |
//! | `shown` | how far it is |
//!
//! `pg_basebackup` puts its manifest into what it prints, which it cannot do when that comes compressed: then,
//! as with tablespaces, it writes files, and each byte of them is taken as soon as it is there.

mod growing;
mod shown;
mod spooled;
mod streamed;

use std::{io::Write as _, path::Path};

use serde_json::json;

use self::spooled::Spool;
use super::{
    Compressor,
    inventory::{self, Members as Extensions},
    run::Run,
    tools::Program,
};
use crate::{
    base::{exec::Tool, progress::Cleanup, text::Text},
    recover::{
        Fault, Kind, Result,
        base_backup::{BaseManifest, Members, compare},
        libpq::connecting,
        repository::{
            manifest::{File, Inventory, Role, WalSpan},
            sealed::Compression,
        },
        session::Session,
    },
};

/// How it is to be taken.
pub(super) struct Wish<'a> {
    /// Let the checkpoint at the beginning take its time.
    pub spread: bool,
    /// Where archives stand on their way, when they cannot be streamed.
    pub spool: Option<&'a Path>,
    /// Who compresses, when both can.
    pub compressor: Compressor,
    /// The size of the cluster in bytes.
    pub size: u64,
    /// About what the backup will take in the repository, in bytes.
    pub packed: u64,
}

/// What was taken.
pub(super) struct Taken {
    pub files: Vec<File>,
    pub wal: WalSpan,
    pub inventory: Inventory,
    pub tool: String,
}

/// Takes the cluster. `session` stays open: it holds the WAL in place.
pub(super) fn take(run: &Run<'_>, session: &Session, wish: &Wish<'_>) -> Result<Taken> {
    let program = Program::find("pg_basebackup", session.version)?;
    program.fits(session.version)?;
    let segment: i64 = session
        .one("SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size'", &[])?
        .get(0);
    let segment = segment.unsigned_abs();
    hold_wal(run, session)?;
    let tool = connecting(program.tool(), &run.settings, session.host(), None)
        .args(["-Ft", "-X", "fetch", "--manifest-checksums=SHA256", "--no-password", "-P", "-v"])
        .arg(format!("--checkpoint={}", if wish.spread { "spread" } else { "fast" }))
        .arg(format!("--label={}", label(run)));
    let (mut files, members) = archives(run, session, wish, &program, &tool)?;
    let manifest = members.manifest.as_deref().ok_or_else(|| {
        Fault::new(
            Kind::Damaged,
            "pg_basebackup said that all is well, but left no backup_manifest",
        )
    })?;
    let wal = checked(run, manifest, &members, segment)?;
    let key = run.repository.backup_key(&run.id)?.join("backup_manifest")?;
    let stored =
        run.step("backup_manifest", "keep backup_manifest", &run.files_cleanup(), || {
            let mut sealing = run.repository.seal_as(&key, Compression::None, 0)?;
            sealing.write_all(manifest).map_err(Fault::io(format!("cannot write '{key}'")))?;
            Ok((sealing.finish()?, json!({})))
        })?;
    files.push(File { role: Role::BackupManifest, stored });
    let inventory = inventory(run, session)?;
    Ok(Taken { files, wal, inventory, tool: program.says })
}

/// Takes the archives the way that is wished, where that way is open.
fn archives(
    run: &Run<'_>,
    session: &Session,
    wish: &Wish<'_>,
    program: &Program,
    tool: &Tool,
) -> Result<(Vec<File>, Members)> {
    let several = !inventory::cluster(session)?.tablespaces.is_empty();
    let packed =
        wish.compressor == Compressor::Server && program.major >= 15 && compresses(session)?;
    if several {
        let needed = if packed { wish.packed } else { wish.size };
        return spooled::take(run, tool, &Spool::of(run, wish.spool, needed)?, packed);
    }
    if packed {
        match Spool::of(run, wish.spool, wish.packed) {
            Ok(spool) => return spooled::take(run, tool, &spool, packed),
            Err(fault) if wish.spool.is_some() => return Err(fault),
            // There is another way, which needs no room.
            Err(fault) => {
                let what = format!("the server does not compress, so this side does: {fault}");
                run.observer.note(&what.into());
            }
        }
    }
    streamed::take(run, tool)
}

/// True for a server that compresses a base backup by zstd: from 15 on, where it was built with that. Of those
/// that were, `wal_compression` knows the word, too.
fn compresses(session: &Session) -> Result<bool> {
    let sql = "SELECT coalesce(bool_or('zstd' = ANY (enumvals)), false) FROM pg_settings \
               WHERE name = 'wal_compression'";
    Ok(session.version >= 150_000 && session.one(sql, &[])?.get(0))
}

fn label(run: &Run<'_>) -> String {
    format!("howdah {}", run.id)
}

/// Keeps the server from recycling WAL that the backup needs: by a slot that ends with our session.
fn hold_wal(run: &Run<'_>, session: &Session) -> Result<()> {
    if session.version >= 140_000 {
        session.run("SET idle_session_timeout = 0")?;
    }
    let slot = format!("howdah_{}", run.id.as_str().to_lowercase().replace('-', "_"));
    let made =
        session.query("SELECT pg_create_physical_replication_slot($1, true, true)", &[&slot]);
    if let Err(fault) = made {
        let what =
            format!("no slot holds the WAL of this backup, so wal_keep_size must suffice: {fault}");
        run.observer.note(&what.into());
    }
    Ok(())
}

/// What a killed run leaves behind here: more than files.
fn cleanup(run: &Run<'_>, spool: Option<&Path>) -> Cleanup {
    let mut what = run.files_cleanup().what.as_str().to_owned();
    if let Some(spool) = spool {
        what += &format!("; the folder '{}', too", spool.display());
    }
    Cleanup::words(what)
}

/// Compares what was streamed with what PostgreSQL says that it read, and reads off the WAL that is needed.
fn checked(run: &Run<'_>, manifest: &[u8], members: &Members, segment: u64) -> Result<WalSpan> {
    let manifest = BaseManifest::parse(manifest)?;
    let wrong = compare(&manifest, members, segment);
    if let Some(first) = wrong.first() {
        let what = format!("the base backup is not whole, {} findings: {first}", wrong.len());
        return Err(Fault::new(Kind::Damaged, what));
    }
    let told = members.label()?;
    if told.label != label(run) {
        let what =
            format!("backup_label belongs to another backup: '{}'", Text::foreign(&told.label));
        return Err(Fault::new(Kind::Damaged, what));
    }
    let stop = manifest.wal.last().map_or(told.start, |range| range.end);
    Ok(WalSpan { timeline: told.timeline, start: told.start, stop, segment_size: segment })
}

/// What is in every database that lets us in. Rows are not counted: a physical backup has no snapshot.
fn inventory(run: &Run<'_>, session: &Session) -> Result<Inventory> {
    let mut inventory = inventory::cluster(session)?;
    let open =
        session.query("SELECT datname FROM pg_database WHERE datallowconn ORDER BY 1", &[])?;
    for row in open {
        run.go_on()?;
        let name: String = row.get(0);
        let found = Session::open_database(&run.settings, &name)
            .and_then(|session| inventory::database(&session, Extensions::Included));
        match found {
            Ok(found) => inventory.databases.push(found.database),
            Err(fault) => {
                let what = format!("the inventory is without {}: {fault}", Text::foreign(&name));
                run.observer.note(&what.into());
            }
        }
    }
    Ok(inventory)
}
