-- Health checks, as data. Each is one query that returns (subject text, value numeric, detail text):
--   no row      nothing to say: OK
--   value NULL  our role cannot see it: BLIND, never green
-- Annotations, in the comment lines above the query:
--   @check ID          variants of one check for other versions share the ID
--   @class WORD        the kind of trouble
--   @scope any|primary|standby   where it makes sense
--   @role WORD         least privilege that answers truthfully
--   @min N @max N      range of server_version_num
--   @every DURATION    how often it runs; one tenth of that while something looks wrong, one second at the least
--   @warn OP N @crit OP N   what is compared with the value; OP is one of > >= < <= =
--   @unit WORDS        unit of the value
--   @remedy WORDS      what to do, to the end of the line

-- @check crash_restarted
-- @class availability @scope any @role pg_monitor @min 130000 @every 10s
-- @warn < 86400 @crit < 900 @unit s since crash recovery @remedy a backend died (OOM killer, segfault) and all sessions were dropped: pg_postmaster_start_time() does NOT change then (measured), the checkpointer's start does; find "was terminated by signal" in the log
SELECT 'crash recovery'::text AS subject, extract(epoch FROM clock_timestamp() - c.backend_start)::numeric(20,1) AS value,
       'children restarted ' || c.backend_start || ', postmaster up since ' || pg_postmaster_start_time() AS detail
FROM pg_stat_activity c WHERE c.backend_type = 'checkpointer' AND c.backend_start > pg_postmaster_start_time() + interval '30 s';

-- @check default_read_only
-- @class availability @scope primary @role public @min 130000 @every 60s
-- @crit > 0 @unit flag @remedy ALTER SYSTEM RESET default_transaction_read_only / ALTER DATABASE .. RESET; often left over by a maintenance or a full disk guard
SELECT coalesce(d.datname, 'cluster') AS subject, 1::numeric AS value, cfg AS detail
FROM pg_db_role_setting s LEFT JOIN pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) cfg
WHERE cfg IN ('default_transaction_read_only=on', 'default_transaction_read_only=true', 'default_transaction_read_only=1')
UNION ALL
SELECT 'cluster', 1, 'default_transaction_read_only=on from ' || source FROM pg_settings
WHERE name = 'default_transaction_read_only' AND reset_val = 'on' AND source NOT IN ('database', 'user', 'database user', 'session', 'client');

-- @check pending_restart
-- @class availability @scope any @role public @min 130000 @every 60s
-- @warn > 0 @unit settings @remedy plan a restart; until then the running value and the file disagree and a crash will silently apply the new one
SELECT 'settings'::text AS subject, count(*)::numeric AS value, string_agg(name || '=' || setting, ', ') AS detail
FROM pg_settings WHERE pending_restart HAVING count(*) > 0;

-- @check config_file_errors
-- @class availability @scope any @role superuser @min 130000 @every 60s
-- @crit > 0 @unit errors @remedy correct the file now: the server will not start again with this error
SELECT coalesce(sourcefile, '?') || ':' || coalesce(sourceline::text, '?') AS subject, 1::numeric AS value, coalesce(name, '') || ': ' || error AS detail
FROM pg_file_settings WHERE error IS NOT NULL AND NOT (error = 'setting could not be applied' AND name IN (SELECT name FROM pg_settings WHERE context = 'postmaster'));

-- @check unsafe_durability
-- @class availability @scope any @role public @min 130000 @every 60s
-- @crit > 0 @unit flag @remedy fsync/full_page_writes off = silent corruption after a crash; zero_damaged_pages/ignore_* left on after a rescue hides damage
-- (current_setting() and not pg_settings, which lists all settings each time: 0.5 ms)
SELECT name AS subject, 1::numeric AS value, name || '=' || current_setting(name, true) AS detail
FROM (VALUES ('fsync', 'off'), ('full_page_writes', 'off'), ('zero_damaged_pages', 'on'), ('ignore_checksum_failure', 'on'),
             ('ignore_system_indexes', 'on'), ('ignore_invalid_pages', 'on'), ('allow_system_table_mods', 'on')) s(name, unsafe)
WHERE current_setting(name, true) = unsafe;

-- @check data_checksums_off
-- @class corruption @scope any @role public @min 130000 @every 300s
-- @warn > 0 @unit flag @remedy enable offline with pg_checksums -e (initdb default is on only from PG 18)
SELECT 'data_checksums'::text AS subject, 1::numeric AS value, 'off: bit rot cannot be noticed'::text AS detail
WHERE current_setting('data_checksums') = 'off';

-- @check connections_used_pct
-- @class connections @scope any @role public @min 130000 @every 5s
-- @warn > 75 @crit > 90 @unit % @remedy see connections_by_client; end idle sessions of the top client, then the pool size (never raise max_connections first)
SELECT 'connections'::text AS subject,
       round(100.0 * n / greatest(1, current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
                        - coalesce(current_setting('reserved_connections', true), '0')::int), 1) AS value,
       n || ' of ' || current_setting('max_connections') || ' (' || current_setting('superuser_reserved_connections') || ' kept for superusers)' AS detail
FROM (SELECT CASE WHEN pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') THEN (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')
                  ELSE (SELECT sum(numbackends) FROM pg_stat_database) END AS n) x;

-- @check role_or_db_connection_limit
-- @class connections @scope any @role public @min 130000 @every 30s
-- @warn > 80 @crit > 95 @unit % @remedy the client sees "too many connections for role/database" though the server has room
-- (a weak role is not shown the type of a backend: what hides it is counted, rather than nothing)
SELECT 'role ' || rolname AS subject, round(100.0 * n / rolconnlimit, 1) AS value, n || ' of ' || rolconnlimit AS detail
FROM pg_roles JOIN (SELECT usename, count(*) n FROM pg_stat_activity WHERE coalesce(backend_type, 'client backend') IN ('client backend', 'walsender') GROUP BY 1) a ON a.usename = rolname WHERE rolconnlimit > 0
UNION ALL
SELECT 'database ' || d.datname, round(100.0 * n / datconnlimit, 1), n || ' of ' || datconnlimit
FROM pg_database d JOIN (SELECT datname, count(*) n FROM pg_stat_activity WHERE coalesce(backend_type, 'client backend') IN ('client backend', 'walsender') GROUP BY 1) a USING (datname) WHERE datconnlimit > 0;

-- @check idle_in_transaction
-- @class connections @scope any @role pg_monitor @min 130000 @every 10s
-- @warn > 300 @crit > 900 @unit s @remedy pg_terminate_backend(pid) after reading its last query; set idle_in_transaction_session_timeout
SELECT 'pid ' || pid AS subject, extract(epoch FROM clock_timestamp() - state_change)::numeric(20,1) AS value,
       coalesce(usename, '?') || '@' || coalesce(datname, '?') || ' ' || state || ' last: ' || left(coalesce(query, ''), 120) AS detail
FROM pg_stat_activity WHERE state IN ('idle in transaction', 'idle in transaction (aborted)') ORDER BY 2 DESC LIMIT 10;

-- @check long_transaction
-- @class connections @scope any @role pg_monitor @min 130000 @every 10s
-- @warn > 600 @crit > 3600 @unit s @remedy who, since when, what it blocks; cancel (pg_cancel_backend) before terminate; excludes autovacuum, walsender and base backups
SELECT 'pid ' || pid AS subject, extract(epoch FROM clock_timestamp() - xact_start)::numeric(20,1) AS value,
       coalesce(usename, '?') || '@' || coalesce(datname, '?') || ' ' || coalesce(state, '') || ' ' || left(coalesce(query, ''), 120) AS detail
FROM pg_stat_activity WHERE xact_start IS NOT NULL AND backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY 2 DESC LIMIT 10;

-- @check long_query
-- @class connections @scope any @role pg_monitor @min 130000 @every 10s
-- @warn > 300 @crit > 3600 @unit s @remedy cancel, or note as expected (batch window)
SELECT 'pid ' || pid AS subject, extract(epoch FROM clock_timestamp() - query_start)::numeric(20,1) AS value,
       coalesce(usename, '?') || ' wait=' || coalesce(wait_event_type || ':' || wait_event, 'CPU') || ' ' || left(coalesce(query, ''), 120) AS detail
FROM pg_stat_activity WHERE state = 'active' AND backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY 2 DESC LIMIT 10;

-- @check blocked_sessions
-- @class locks @scope any @role pg_monitor @min 130000 @every 5s
-- @warn > 5 @crit > 20 @unit sessions @remedy root_blockers names the session to end
SELECT 'blocked'::text AS subject, count(*)::numeric AS value,
       'longest wait ' || coalesce(max(extract(epoch FROM clock_timestamp() - query_start))::int, 0) || ' s' AS detail
FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND cardinality(pg_blocking_pids(pid)) > 0 HAVING count(*) > 0;

-- @check lock_wait_longest
-- @class locks @scope any @role pg_monitor @min 140000 @every 5s
-- @warn > 30 @crit > 120 @unit s @remedy (pg_locks.waitstart, PG 14+: true wait, not query age)
SELECT 'pid ' || l.pid AS subject, extract(epoch FROM clock_timestamp() - l.waitstart)::numeric(20,1) AS value,
       l.locktype || ' ' || l.mode || ' ' || coalesce(l.relation::regclass::text, '') || ' blocked by ' || pg_blocking_pids(l.pid)::text || ': ' || left(coalesce(a.query, ''), 80) AS detail
FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND l.waitstart IS NOT NULL
  AND EXISTS (SELECT FROM pg_stat_activity w WHERE w.wait_event_type = 'Lock') -- the lock table is read only when somebody waits
ORDER BY 2 DESC LIMIT 10;

-- @check root_blockers
-- @class locks @scope any @role pg_monitor @min 130000 @every 5s
-- @warn > 3 @crit > 20 @unit sessions @remedy pg_cancel_backend / pg_terminate_backend of the root, not of the victims
WITH RECURSIVE edge AS (SELECT a.pid AS victim, b.pid AS blocker FROM pg_stat_activity a CROSS JOIN LATERAL unnest(pg_blocking_pids(a.pid)) b(pid) WHERE a.wait_event_type = 'Lock'),
tree AS (SELECT blocker AS root, victim FROM edge WHERE blocker NOT IN (SELECT victim FROM edge)
         UNION SELECT t.root, e.victim FROM tree t JOIN edge e ON e.blocker = t.victim)
SELECT 'pid ' || t.root AS subject, count(DISTINCT t.victim)::numeric AS value,
       coalesce(a.usename, '?') || ' ' || coalesce(a.state, CASE WHEN t.root = 0 THEN 'prepared transaction' ELSE '?' END) || ' for '
         || coalesce(extract(epoch FROM clock_timestamp() - a.xact_start)::int::text, '?') || ' s: ' || left(coalesce(a.query, ''), 100) AS detail
FROM tree t LEFT JOIN pg_stat_activity a ON a.pid = t.root GROUP BY t.root, a.usename, a.state, a.xact_start, a.query ORDER BY 2 DESC LIMIT 10;

-- @check prepared_transactions
-- @class locks @scope primary @role public @min 130000 @every 60s
-- @warn > 300 @crit > 3600 @unit s @remedy ask the transaction manager, then COMMIT PREPARED / ROLLBACK PREPARED 'gid' in that database; holds locks and xmin over restarts
SELECT gid AS subject, extract(epoch FROM clock_timestamp() - prepared)::numeric(20,1) AS value, owner || '@' || database || ' xid age ' || age(transaction) AS detail FROM pg_prepared_xacts;

-- @check xid_wraparound_pct
-- @class vacuum @scope any @role public @min 130000 @every 300s
-- @warn > 20 @crit > 50 @unit % of the stop limit @remedy xmin_horizon_holders first, then VACUUM (FREEZE) of the oldest tables (table_xid_age); never single-user mode unless already stopped
-- (stop limit: 2^31 - 3,000,000 from PG 14, 2^31 - 1,000,000 in PG 13; warnings in the log start 40 M / 11 M before; 20% ~ 430 M = twice autovacuum_freeze_max_age)
SELECT datname AS subject, round(100.0 * age(datfrozenxid) / (2147483648 - 3000000), 2) AS value,
       'age ' || age(datfrozenxid) || ', ' || (2147483648 - 3000000 - age(datfrozenxid)::bigint) || ' left, autovacuum_freeze_max_age ' || current_setting('autovacuum_freeze_max_age') AS detail
FROM pg_database ORDER BY 2 DESC;

-- @check archive_not_configured
-- @class wal @scope primary @role public @min 130000 @every 30s
-- @warn > 0 @unit flag @remedy archive_mode needs a restart; without it no PITR (an empty command means WAL piles up and looks healthy)
SELECT 'archiving'::text AS subject, 1::numeric AS value,
       format('archive_mode=%L wal_level=%L archive_command=%L archive_library=%L', mode, level, command, library) AS detail
FROM (SELECT current_setting('archive_mode') AS mode, current_setting('wal_level') AS level, current_setting('archive_command') AS command,
             coalesce(current_setting('archive_library', true), '') AS library) s
WHERE mode = 'off' OR level = 'minimal' OR (command IN ('', '(disabled)') AND library = '');

-- @check archiver_failing
-- @class wal @scope any @role public @min 130000 @every 5s
-- @crit > 0 @unit s failing @remedy run the archive_command by hand as the postgres user for last_failed_wal; usual causes: full target, credentials, permissions, wrong path
-- (fires only while the newest event is a failure, so it clears by itself once one segment goes through; pgMonitor's and awesome's variants do not)
SELECT 'archiver'::text AS subject, extract(epoch FROM clock_timestamp() - coalesce(last_archived_time, stats_reset))::numeric(20,1) AS value,
       'stuck at ' || last_failed_wal || ', ' || failed_count || ' failures, last good ' || coalesce(last_archived_wal, 'never') || ' at ' || coalesce(last_archived_time::text, '-') AS detail
FROM pg_stat_archiver WHERE last_failed_time > coalesce(last_archived_time, '-infinity');

-- @check archive_backlog
-- @class wal @scope any @role pg_monitor @min 130000 @every 10s
-- @warn > 10 @crit > 100 @unit segments waiting @remedy archiver too slow or failing; each waiting segment is unprotected data: RPO is the age of the oldest
SELECT 'archive_status'::text AS subject, count(*)::numeric AS value, 'oldest ' || min(name) || ' waiting ' || coalesce(extract(epoch FROM clock_timestamp() - min(modification))::int, 0) || ' s' AS detail
FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready' HAVING count(*) > 0;

-- @check wal_directory_size
-- @class wal @scope any @role pg_monitor @min 130000 @every 30s
-- @warn > 2 @crit > 5 @unit x max_wal_size @remedy find the holder: archive_backlog, replication_slot_retention, wal_keep_size; never delete files in pg_wal by hand
SELECT 'pg_wal'::text AS subject, round(sum(size) / pg_size_bytes(current_setting('max_wal_size')), 2) AS value,
       count(*) || ' files, ' || pg_size_pretty(sum(size)) AS detail FROM pg_ls_waldir();

-- @check replica_lag_bytes
-- @class replication @scope primary @role pg_monitor @min 130000 @every 5s
-- @warn > 52428800 @crit > 1073741824 @unit bytes @remedy sent<<current: network or walsender; flush<<sent: standby disk; replay<<flush: conflict or slow replay
SELECT coalesce(nullif(application_name, ''), '?') || '@' || coalesce(client_addr::text, 'local') AS subject, pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) AS value,
       state || ' ' || sync_state || ' write_lag=' || coalesce(write_lag::text, '-') || ' flush_lag=' || coalesce(flush_lag::text, '-') || ' replay_lag=' || coalesce(replay_lag::text, '-') AS detail
FROM pg_stat_replication WHERE NOT pg_is_in_recovery();

-- @check replica_not_streaming
-- @class replication @scope primary @role pg_monitor @min 130000 @every 10s
-- @crit > 0 @unit replicas @remedy state catchup/startup/backup for long; look at the standby's log
SELECT coalesce(nullif(application_name, ''), '?') AS subject, 1::numeric AS value, state || ' since ' || backend_start AS detail FROM pg_stat_replication WHERE state NOT IN ('streaming', 'backup');

-- @check sync_standby_missing
-- @class replication @scope primary @role pg_monitor @min 130000 @every 10s
-- @crit > 0 @unit standbys short @remedy commits hang (wait_event SyncRep): bring the standby back, or with two people's consent ALTER SYSTEM SET synchronous_standby_names='' + reload (accepts data loss on failover)
SELECT 'synchronous_standby_names'::text AS subject, (need - have)::numeric AS value, names || ': ' || have || ' of ' || need || ' in sync, ' || hung || ' commits waiting' AS detail
FROM (SELECT current_setting('synchronous_standby_names') AS names,
             coalesce((regexp_match(current_setting('synchronous_standby_names'), '^\s*(?:first|any)?\s*([0-9]+)\s*\(', 'i'))[1]::int, 1) AS need,
             (SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum') AND state = 'streaming')::int AS have,
             (SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep')::int AS hung) s
WHERE names <> '' AND have < need;

-- @check commits_waiting_for_standby
-- @class replication @scope primary @role pg_monitor @min 130000 @every 5s
-- @warn > 5 @crit > 30 @unit s @remedy a hung (not dead) synchronous standby still shows "streaming, sync": this is the check that sees it; stop that standby's connection or drop it from synchronous_standby_names
SELECT 'SyncRep'::text AS subject, max(extract(epoch FROM clock_timestamp() - query_start))::numeric(20,1) AS value, count(*) || ' commits waiting' AS detail
FROM pg_stat_activity WHERE wait_event = 'SyncRep' HAVING count(*) > 0;

-- @check replica_silent
-- @class replication @scope primary @role pg_monitor @min 130000 @every 10s
-- @warn > 30 @crit > 60 @unit s since its last reply @remedy standbys reply every wal_receiver_status_interval (10 s): silence = hung host or network, long before wal_sender_timeout (60 s)
SELECT coalesce(nullif(application_name, ''), '?') || '@' || coalesce(client_addr::text, 'local') AS subject, extract(epoch FROM clock_timestamp() - reply_time)::numeric(20,1) AS value,
       state || ' ' || sync_state || ' last reply ' || reply_time AS detail FROM pg_stat_replication WHERE reply_time IS NOT NULL;

-- @check standby_replay_delay
-- @class replication @scope standby @role public @min 130000 @every 10s
-- @warn > 60 @crit > 300 @unit s @remedy read it only together with wal_receiver_down: measured 0.0 while the primary was dead (received = replayed), which is the usual formula of public rule sets
SELECT 'replay delay'::text AS subject, CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0 ELSE coalesce(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()), 0) END::numeric(20,1) AS value,
       'received ' || coalesce(pg_last_wal_receive_lsn()::text, '-') || ' replayed ' || coalesce(pg_last_wal_replay_lsn()::text, '-') || ' last commit ' || coalesce(pg_last_xact_replay_timestamp()::text, '-') AS detail WHERE pg_is_in_recovery();

-- @check wal_receiver_down
-- @class replication @scope standby @role pg_monitor @min 130000 @every 10s
-- @crit > 0 @unit flag @remedy standby's log: primary down, slot dropped ("requested WAL segment has already been removed" = rebuild), password, pg_hba
SELECT 'wal receiver'::text AS subject, 1::numeric AS value, coalesce((SELECT status || ' last message ' || coalesce(last_msg_receipt_time::text, '-') FROM pg_stat_wal_receiver), 'no process') AS detail
WHERE pg_is_in_recovery() AND NOT EXISTS (SELECT 1 FROM pg_stat_wal_receiver WHERE status = 'streaming' AND last_msg_receipt_time > now() - interval '60 s');

-- @check replay_paused
-- @class replication @scope standby @role public @min 130000 @every 30s
-- @warn > 0 @unit flag @remedy pg_wal_replay_resume(), unless it is a delayed replica held on purpose during a rescue
SELECT 'replay'::text AS subject, 1::numeric AS value, 'paused'::text AS detail WHERE CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END;

-- @check slot_wal_retained
-- @class replication @scope any @role public @min 130000 @every 30s
-- @warn > 5368709120 @crit > 21474836480 @unit bytes @remedy inactive: ask its owner, then pg_drop_replication_slot('x'); set max_slot_wal_keep_size
SELECT slot_name::text AS subject, pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, restart_lsn) AS value,
       slot_type || CASE WHEN active THEN ' active' ELSE ' INACTIVE' END || ' wal_status=' || coalesce(wal_status, '-') || ' safe_wal_size=' || coalesce(pg_size_pretty(safe_wal_size), 'unlimited') AS detail
FROM pg_replication_slots WHERE restart_lsn IS NOT NULL;

-- @check slot_lost_or_inactive
-- @class replication @scope any @role public @min 130000 @max 169999 @every 30s
-- @warn > 0 @crit = 2 @unit 1=inactive 2=lost @remedy lost: the consumer must be rebuilt
SELECT slot_name::text AS subject, CASE WHEN wal_status = 'lost' THEN 2 ELSE 1 END::numeric AS value, slot_type || ' wal_status=' || coalesce(wal_status, '-') AS detail FROM pg_replication_slots WHERE NOT active;

-- @check slot_lost_or_inactive
-- @class replication @scope any @role public @min 170000 @every 30s
-- @warn > 0 @crit = 2 @unit 1=inactive 2=lost @remedy PG 17+: inactive_since and invalidation_reason say when and why (a synced failover slot on a standby is normal)
SELECT slot_name::text AS subject, CASE WHEN wal_status = 'lost' OR invalidation_reason IS NOT NULL THEN 2 ELSE 1 END::numeric AS value,
       slot_type || ' inactive since ' || coalesce(inactive_since::text, '-') || ' reason ' || coalesce(invalidation_reason, '-') || ' failover=' || failover || ' synced=' || synced AS detail
FROM pg_replication_slots WHERE NOT active AND NOT synced;

-- @check checksum_failures
-- @class corruption @scope any @role public @min 130000 @every 60s
-- @crit > 0 @unit pages @remedy stop vacuum/backup expiry NOW (keep old backups), fail over or restore; find the page with pg_amcheck / the log ("page verification failed")
SELECT coalesce(datname, 'shared catalogs') AS subject, checksum_failures::numeric AS value, 'last ' || checksum_last_failure AS detail FROM pg_stat_database WHERE checksum_failures > 0;
