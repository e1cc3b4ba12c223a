//! What is asked, as text. One statement answers one tick: several scalar JSON columns, so that a
//! refresh is one round trip whatever it asks.

use super::facts::Standing;
use crate::watch::checks::{Spec, run};

/// Settings of our session: no statement of ours may burden or block a server in trouble.
const SESSION: &str = "SET statement_timeout = '4s'; SET lock_timeout = '500ms'; \
     SET idle_in_transaction_session_timeout = '10s'; SET client_encoding = 'UTF8'; \
     SET search_path = pg_catalog; SET DateStyle = ISO; SET jit = off; \
     SET max_parallel_workers_per_gather = 0";

/// Tames the session and asks who answers, in one round trip: what it says is the first thing on screen.
///
/// Whether sessions are read-only is read before we say so of ours. Behind a pooler that may be what an
/// earlier session of ours has left; the first tick asks for the value that new sessions get.
pub fn first() -> String {
    format!(
        "{SESSION}; SELECT {IDENTITY}::text, pg_is_in_recovery() \
         OR current_setting('default_transaction_read_only') = 'on'; \
         SET default_transaction_read_only = on"
    )
}

/// Who answers, and what our role may see. Runs on every connection and then every few seconds,
/// because a standby may be promoted under an open connection.
///
/// The timeline of a primary is read from the WAL file name: `pg_control_checkpoint()` shows the
/// old one right after a promotion.
///
/// Nothing here lists `pg_settings`: each time that makes all settings, which costs half a millisecond.
const IDENTITY: &str = "json_build_object(
 'user', current_user, 'database', current_database(),
 'version', current_setting('server_version'), 'version_num', current_setting('server_version_num')::int,
 'recovery', pg_is_in_recovery(),
 'timeline', CASE WHEN pg_is_in_recovery() THEN (SELECT timeline_id FROM pg_control_checkpoint())
   ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END,
 'system_identifier', (SELECT system_identifier::text FROM pg_control_system()),
 'started', extract(epoch FROM pg_postmaster_start_time())::float8,
 'max_connections', current_setting('max_connections')::int,
 'reserved', current_setting('superuser_reserved_connections')::int
   + coalesce(current_setting('reserved_connections', true), '0')::int,
 'data', CASE WHEN pg_has_role(current_user, 'pg_read_all_settings', 'USAGE')
   THEN current_setting('data_directory') END,
 'segment', pg_size_bytes(current_setting('wal_segment_size')),
 'archive_mode', current_setting('archive_mode'),
 'archive_set', coalesce(nullif(current_setting('archive_library', true), ''),
   nullif(nullif(current_setting('archive_command'), ''), '(disabled)')) IS NOT NULL,
 'monitor', pg_has_role(current_user, 'pg_monitor', 'USAGE'),
 'stats', pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'),
 'archive_status', has_function_privilege('pg_ls_archive_statusdir()', 'EXECUTE'))";

/// What sessions get without our own [`first`] words, which is why only the reset value tells it.
const READ_ONLY: &str = "pg_is_in_recovery() OR (SELECT reset_val = 'on' FROM pg_settings \
     WHERE name = 'default_transaction_read_only')";

/// What changes from second to second.
fn activity(standing: &Standing) -> String {
    // One pass over the sessions. A weak role is shown its own only; the number of all backends is
    // open to everybody.
    let sessions = if standing.stats {
        "(WITH a AS MATERIALIZED (SELECT coalesce(nullif(application_name, ''), '(no name)') AS name, count(*) AS all,
            count(*) FILTER (WHERE state IN ('active', 'fastpath function call')) AS active,
            count(*) FILTER (WHERE state = 'idle') AS idle,
            count(*) FILTER (WHERE state LIKE 'idle in transaction%') AS in_transaction,
            count(*) FILTER (WHERE wait_event_type = 'Lock') AS waiting
          FROM pg_stat_activity WHERE backend_type = 'client backend' GROUP BY 1)
          SELECT json_build_object('all', sum(a.all), 'active', sum(active), 'idle', sum(idle),
            'in_transaction', sum(in_transaction), 'waiting', sum(waiting), 'applications',
            (SELECT json_agg(t) FROM (SELECT name, a.all, active, idle, in_transaction FROM a ORDER BY 2 DESC LIMIT 12) t)) FROM a)"
    } else {
        "(SELECT json_build_object('all', sum(numbackends)) FROM pg_stat_database)"
    };
    format!(
        "json_build_object(
 'clock', extract(epoch FROM clock_timestamp())::float8,
 'lsn', CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0') END::bigint,
 'transactions', (SELECT sum(pg_stat_get_db_xact_commit(oid) + pg_stat_get_db_xact_rollback(oid)) FROM pg_database)::bigint,
 'recovery', pg_is_in_recovery(), 'sessions', {sessions},
 'archiver', (SELECT json_build_object('archived', archived_count, 'last_wal', last_archived_wal,
    'last_at', extract(epoch FROM last_archived_time)::float8, 'failed', failed_count, 'last_failed_wal', last_failed_wal,
    'last_failed_at', extract(epoch FROM last_failed_time)::float8,
    'failing', coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false)) FROM pg_stat_archiver),
 'standbys', (SELECT json_agg(json_build_object('name', application_name,
    'local', client_addr IS NULL OR client_addr << inet '127.0.0.0/8' OR client_addr = inet '::1'
             OR client_addr = inet_server_addr(),
    'flushed', pg_wal_lsn_diff(flush_lsn, '0/0')::bigint))
    FROM pg_stat_replication WHERE state IN ('streaming', 'catchup')))"
    )
}

/// Segments that wait to be archived, and when the last archived one was finished: its status file is
/// made then, and renaming it to `.done` keeps the time. Lists a folder, so it is not asked every second.
fn ready(standing: &Standing) -> &'static str {
    if standing.archive_status {
        "(SELECT json_build_object('count', count(*) FILTER (WHERE name LIKE '%.ready'),
            'oldest', extract(epoch FROM min(modification) FILTER (WHERE name LIKE '%.ready'))::float8,
            'last_wal', a.wal,
            'finished', extract(epoch FROM max(modification) FILTER (WHERE name = a.wal || '.done'))::float8)
          FROM (SELECT max(last_archived_wal) AS wal FROM pg_stat_archiver) a
          LEFT JOIN pg_ls_archive_statusdir() ON true GROUP BY a.wal)"
    } else {
        "NULL::json"
    }
}

/// Base backups that are being taken.
const RUNNING_BACKUPS: &str = "(SELECT json_agg(json_build_object('pid', pid, 'phase', phase, 'done', backup_streamed, \
     'total', backup_total)) FROM pg_stat_progress_basebackup)";

/// What a tick asks besides activity.
#[derive(Clone, Debug, Default)]
pub struct Tick {
    /// Identity, rights, the archiver's queue and base backups.
    pub slow: bool,
    /// Whether sessions are read-only.
    pub read_only: bool,
    /// Checks.
    pub checks: Vec<Spec>,
}

/// One tick: activity, identity, queue, base backups, read-only and checks, each in a column of its own;
/// what is not asked now is NULL.
pub fn tick(standing: &Standing, tick: &Tick) -> String {
    let activity = activity(standing);
    let (identity, ready, backups) =
        if tick.slow { (IDENTITY, ready(standing), RUNNING_BACKUPS) } else { (NULL, NULL, NULL) };
    let read_only = if tick.read_only { READ_ONLY } else { "NULL::boolean" };
    let checks = if tick.checks.is_empty() {
        "NULL".to_owned()
    } else {
        format!("({})", run::batch(&tick.checks))
    };
    format!(
        "SELECT {activity}::text, {identity}::text, {ready}::text, {backups}::text, {checks}::text, \
         {read_only}"
    )
}

const NULL: &str = "NULL::json";
