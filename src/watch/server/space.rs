//! Where a server's room goes: what it keeps, for whom, and the largest things in it. Asked on demand only:
//! counting sizes reads the folders.

use serde::Serialize;
use tokio_postgres::Row;

use crate::base::text::Text;

/// Longest wait for one of these questions, for `SET statement_timeout`.
pub const PATIENCE: &str = "SET statement_timeout = '30s'; SET lock_timeout = '1s'";

/// Databases, the largest first; those that our role may not measure have no size.
pub const DATABASES: &str = "
SELECT datname::text,
       CASE WHEN has_database_privilege(oid, 'CONNECT') OR pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
            THEN pg_database_size(oid) END
FROM pg_database ORDER BY 2 DESC NULLS LAST LIMIT 10";

/// The largest tables of the database that we are connected to, with what their dead rows hint at.
pub const TABLES: &str = "
SELECT format('%I.%I', n.nspname, c.relname), pg_total_relation_size(c.oid),
       coalesce(s.n_dead_tup, 0), coalesce(s.n_live_tup, 0), s.last_autovacuum::text
FROM (SELECT oid, relname, relnamespace FROM pg_class WHERE relkind IN ('r', 'm') ORDER BY relpages DESC LIMIT 40) c
JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
ORDER BY 2 DESC LIMIT 10";

/// The WAL folder: bytes and files, and how much it is meant to be. Needs `pg_monitor`.
pub const WAL: &str = "
SELECT sum(size)::bigint, count(*), pg_size_bytes(current_setting('max_wal_size')),
       pg_size_bytes(coalesce(current_setting('wal_keep_size', true), '0'))
FROM pg_ls_waldir()";

/// What waits for the archiver: files, and since how many seconds it fails. Needs `pg_monitor`.
pub const ARCHIVER: &str = "
SELECT (SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'),
       (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size'),
       last_failed_time > coalesce(last_archived_time, '-infinity'), last_failed_wal
FROM pg_stat_archiver";

/// Slots, those that keep most first.
pub const SLOTS: &str = "
SELECT slot_name::text, slot_type, database::text, active, active_pid, wal_status, safe_wal_size,
       pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, restart_lsn)::bigint,
       temporary, (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint, restart_lsn::text
FROM pg_replication_slots ORDER BY 8 DESC NULLS LAST, 1";

/// Temporary files of queries, over all tablespaces. Needs `pg_monitor`.
pub const TEMPORARY: &str = "
SELECT coalesce(sum(size), 0)::bigint, count(*)
FROM pg_tablespace t CROSS JOIN LATERAL pg_ls_tmpdir(t.oid) WHERE t.spcname <> 'pg_global'";

/// The log folder: bytes, files, and those that nobody has written to for a week. Needs `pg_monitor`.
pub const LOGS: &str = "
SELECT coalesce(sum(size), 0)::bigint, count(*),
       coalesce(sum(size) FILTER (WHERE modification < now() - interval '7 days'), 0)::bigint
FROM pg_ls_logdir()";

/// Folders, for who runs on the same machine. Needs `pg_read_all_settings`.
pub const FOLDERS: &str = "
SELECT current_setting('data_directory'), current_setting('log_directory')
UNION ALL SELECT pg_tablespace_location(oid), NULL FROM pg_tablespace WHERE pg_tablespace_location(oid) <> ''";

/// A replication slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Slot {
    /// Its name.
    pub name: Text,
    /// `physical` or `logical`.
    pub kind: Text,
    /// The database of a logical one.
    pub database: Option<Text>,
    /// Somebody reads from it now.
    pub active: bool,
    /// The server's process that serves them.
    pub active_pid: Option<i32>,
    /// `reserved`, `extended`, `unreserved`, `lost`.
    pub wal_status: Option<Text>,
    /// Bytes that may still be written before it is lost; none without a limit.
    pub safe_wal_size: Option<i64>,
    /// Bytes of WAL that it keeps.
    pub keeps: Option<i64>,
    /// It ends with its session.
    pub temporary: bool,
    /// Where it keeps WAL from.
    pub restart_lsn: Option<Text>,
}

impl Slot {
    /// What a row of [`SLOTS`] tells.
    ///
    /// # Errors
    /// When the row is of another statement.
    pub fn of(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let perhaps = |at: usize| Ok(row.try_get::<_, Option<&str>>(at)?.map(Text::one_line));
        Ok(Self {
            name: Text::one_line(row.try_get::<_, &str>(0)?),
            kind: Text::one_line(row.try_get::<_, &str>(1)?),
            database: perhaps(2)?,
            active: row.try_get(3)?,
            active_pid: row.try_get(4)?,
            wal_status: perhaps(5)?,
            safe_wal_size: row.try_get(6)?,
            keeps: row.try_get(7)?,
            temporary: row.try_get(8)?,
            restart_lsn: perhaps(10)?,
        })
    }
}
