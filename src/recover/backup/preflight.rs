//! Before anything is begun: is there room, are the tools new enough, may we, is it the right cluster.

use std::time::Duration;

use super::Wish;
use crate::{
    base::{
        clock::{Timestamp, passed},
        text::Text,
        units,
    },
    recover::{
        Fault, Kind, Repository, Result,
        repository::manifest::{BackupId, Manifest, Origin},
        session::Session,
    },
    resilience::conninfo::Settings,
};

/// A backup may be this much larger than the last one, in percent of that.
const GROWTH: u64 = 125;
/// A first backup is expected to take this share of the databases' size, in percent: measured on a mix of
/// rows, indexes and random bytes, zstd leaves 20 to 24 %.
const FIRST_SHARE: u64 = 50;

/// Clocks of the machines that take backups of one target may differ by so much.
const SKEW: Duration = Duration::from_mins(1);

/// The cluster, as it names itself.
pub(super) fn origin(session: &Session) -> Result<Origin> {
    let row = session.one(
        "SELECT system_identifier::text, pg_is_in_recovery(), \
         (SELECT timeline_id FROM pg_control_checkpoint()), \
         CASE WHEN has_parameter THEN current_setting('data_directory') END \
         FROM pg_control_system(), \
         (SELECT pg_has_role(current_user, 'pg_read_all_settings', 'MEMBER') AS has_parameter) x",
        &[],
    )?;
    let identifier: String = row.get(0);
    let standby: bool = row.get(1);
    let checkpoint: i32 = row.get(2);
    let timeline = if standby {
        checkpoint.unsigned_abs()
    } else {
        // The control file learns of a new timeline with the next checkpoint only.
        let name: String = session.one("SELECT pg_walfile_name(pg_current_wal_lsn())", &[])?.get(0);
        name.get(..8)
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .ok_or_else(|| Fault::new(Kind::Failed, format!("'{name}' is no name of WAL")))?
    };
    Ok(Origin {
        // The server shows it as a signed number.
        system_identifier: identifier.parse::<i64>().map(i64::cast_unsigned).map_err(|_| {
            Fault::new(Kind::Failed, format!("the system identifier '{identifier}' is no number"))
        })?,
        version: session.version,
        timeline,
        host: session.host().name(),
        data_directory: row.get(3),
        standby,
    })
}

/// Refuses when a backup would be named before one that was there first: their names, which tell when they began,
/// tell which of them is the newest.
pub(super) fn clock(repository: &Repository, now: Timestamp) -> Result<()> {
    let names = repository.storage().children(Some(&repository.backups_key()?))?;
    let ids = names.iter().filter_map(|name| name.parse::<BackupId>().ok());
    let Some(newest) = ids.max().filter(|newest| passed(now, newest.began()) > SKEW) else {
        return Ok(());
    };
    let what = format!(
        "this machine's clock says {}, and the backup {newest} is there already: another one now would pass for an \
         older one",
        now.strftime("%Y-%m-%dT%H:%M:%SZ")
    );
    let remedy = "set the clock; if it is right, that backup was named by a wrong one: move its folder out of the \
                  repository";
    Err(Fault::new(Kind::Refused, what).remedy(remedy))
}

/// Refuses when there is certainly too little room. About what is needed, in bytes.
pub(super) fn room(repository: &Repository, previous: Option<&Manifest>, size: u64) -> Result<u64> {
    let (needed, by) = match previous {
        Some(previous) => {
            (previous.stored_size().saturating_mul(GROWTH) / 100, "by the last backup's size")
        }
        None => (size.saturating_mul(FIRST_SHARE) / 100, "by the databases' size"),
    };
    enough(
        &repository.storage().describe(),
        repository.storage().space()?.map(|s| s.free),
        needed,
        by,
    )?;
    Ok(needed)
}

/// Refuses when less than `needed` bytes are free in a place.
pub(super) fn enough(place: &Text, free: Option<u64>, needed: u64, by: &str) -> Result<()> {
    let Some(free) = free.filter(|&free| free < needed) else { return Ok(()) };
    let (free, needed) = (units::bytes(free), units::bytes(needed));
    Err(Fault::new(
        Kind::NoSpace,
        format!("'{place}' has {free} free, and the backup needs about {needed} ({by})"),
    )
    .remedy("free some space there, or choose another repository"))
}

/// The databases of a logical backup.
pub(super) fn databases(
    session: &Session,
    wish: &Wish,
    settings: &Settings,
) -> Result<Vec<String>> {
    let all: Vec<(String, bool)> = session
        .query(
            "SELECT datname, datallowconn FROM pg_database WHERE NOT datistemplate ORDER BY 1",
            &[],
        )?
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    let one = match wish {
        Wish::All => {
            return Ok(all.into_iter().filter(|(_, open)| *open).map(|(name, _)| name).collect());
        }
        Wish::Database(name) => name.as_deref().unwrap_or(&settings.dbname),
    };
    let exists = all.iter().any(|(name, _)| name == one)
        || !session.query("SELECT FROM pg_database WHERE datname = $1", &[&one])?.is_empty();
    if exists {
        return Ok(vec![one.to_owned()]);
    }
    Err(Fault::new(Kind::Usage, format!("there is no database '{one}'"))
        .remedy("name one with --database, or take --all"))
}

/// The sizes of databases together; of all of them when none is named.
pub(super) fn size(session: &Session, databases: &[String]) -> Result<u64> {
    let row = session.one(
        "SELECT coalesce(sum(pg_database_size(oid)), 0)::bigint FROM pg_database \
         WHERE cardinality($1::text[]) = 0 OR datname = ANY ($1)",
        &[&databases],
    )?;
    Ok(u64::try_from(row.get::<_, i64>(0)).unwrap_or(0))
}

/// What a physical backup asks of the server.
pub(super) fn replication(session: &Session) -> Result<()> {
    let row = session.one(
        "SELECT rolsuper OR rolreplication, current_setting('wal_level'), \
         current_setting('max_wal_senders')::bigint, \
         (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender'), \
         (SELECT min(pid) FROM pg_stat_progress_basebackup), current_user::text \
         FROM pg_roles WHERE rolname = current_user",
        &[],
    )?;
    let refuse = |what: String, remedy: &str| Err(Fault::new(Kind::Refused, what).remedy(remedy));
    let user: String = row.get(5);
    if !row.get::<_, bool>(0) {
        let what = format!(
            "the role {} may not replicate, which a physical backup does",
            Text::foreign(&user)
        );
        return refuse(what, "ALTER ROLE … REPLICATION, or take a logical backup");
    }
    let level: String = row.get(1);
    if level == "minimal" {
        let what = "the server writes too little WAL for a physical backup: wal_level is minimal";
        return refuse(what.into(), "set wal_level to replica and restart the server");
    }
    let (all, taken): (i64, i64) = (row.get(2), row.get(3));
    if taken >= all {
        let what = format!("all {all} walsenders of the server are taken (max_wal_senders)");
        return refuse(what, "raise max_wal_senders, or end one of them");
    }
    if let Some(pid) = row.get::<_, Option<i32>>(4) {
        let what = format!("another base backup is running on the server (process {pid} there)");
        return refuse(what, "wait for its end: pg_stat_progress_basebackup shows it");
    }
    Ok(())
}
