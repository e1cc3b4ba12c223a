//! What a statement leaves behind in its session.
//!
//! The driver drops the status byte with which the server says whether a transaction is open, and
//! the server says nothing of settings, temporary tables or advisory locks. So the words are read, once
//! for each distinct statement. When in doubt it leaves something: a wrong yes costs one
//! round trip when the lease ends, a wrong no hands somebody's lock to the next user. What a function
//! does inside the server cannot be seen: whoever calls one that changes the session says so with
//! [`Lease::mark_dirty`](super::Lease::mark_dirty).

/// True unless the statement is known to leave its session as it was.
pub fn leaves_something(sql: &str) -> bool {
    let mut words = words(sql);
    let harmless = words.next().is_some_and(|first| {
        ["select", "insert", "update", "delete", "merge", "values", "table", "with", "show"]
            .iter()
            .any(|word| first.eq_ignore_ascii_case(word))
    });
    !harmless || sql.contains("/*") || words.any(touches_session)
}

/// The words of a statement: what stands between other characters than letters, digits and `_`.
fn words(sql: &str) -> impl Iterator<Item = &str> {
    sql.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// Words of what a harmless-looking statement can do to its session: `SELECT ... INTO TEMP`,
/// `SELECT set_config(...)`, `SELECT pg_advisory_lock(...)`, and large objects, which need a transaction.
fn touches_session(word: &str) -> bool {
    let starts = |start: &str| {
        word.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start))
    };
    let is = |other: &str| word.eq_ignore_ascii_case(other);
    is("temp")
        || is("temporary")
        || starts("pg_temp")
        || is("set_config")
        || starts("dblink")
        || is("setseed")
        || is("pg_export_snapshot")
        || starts("pg_replication_origin_session")
        || (advisory(word) && !starts("pg_advisory_xact") && !starts("pg_try_advisory_xact"))
}

fn advisory(word: &str) -> bool {
    ["pg_advisory", "pg_try_advisory"]
        .iter()
        .any(|start| word.get(..start.len()).is_some_and(|w| w.eq_ignore_ascii_case(start)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_statements_leave_nothing() {
        for sql in [
            "SELECT 1",
            "  select * from accounts where temperature > 3",
            "(SELECT 1) UNION (SELECT 2)",
            "INSERT INTO t VALUES ($1) RETURNING id",
            "WITH moved AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM moved",
            "update t set temperature = 1",
            "SELECT pg_advisory_xact_lock(1)",
            "SELECT pg_try_advisory_xact_lock_shared(1)",
            "SHOW work_mem",
        ] {
            assert!(!leaves_something(sql), "{sql}");
        }
    }

    #[test]
    fn what_may_leave_something_is_seen() {
        for sql in [
            "BEGIN",
            "SET work_mem = '1MB'",
            "LISTEN jobs",
            "CREATE TEMP TABLE t (i int)",
            "SELECT 1 INTO TEMP t",
            "select 1 into temporary table t",
            "CREATE TABLE pg_temp.t (i int)",
            "SELECT pg_advisory_lock(1)",
            "SELECT 1, PG_TRY_ADVISORY_LOCK_SHARED($1)",
            "SELECT set_config('work_mem', '1MB', false)",
            "PREPARE p AS SELECT 1",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
            "/* hint */ SELECT 1",
            "-- a remark\nSET x.y = 1",
            "CALL p()",
            "DO $$ BEGIN END $$",
            "",
        ] {
            assert!(leaves_something(sql), "{sql}");
        }
    }
}
