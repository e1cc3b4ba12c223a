//! Tables beside the live ones are compared with them and copied back, and that is undone; what became of a copy is
//! known, whoever was killed on the way.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "tests")]

use crate::support;
use std::time::Duration;

use crate::support::{
    backups::try_on,
    tables::{SIDE, Stage, accident, call, command},
};
use howdah::recover::{
    Kind,
    restore::{
        copy_back::{self, Mode, Script},
        record::What,
    },
};

#[test]
fn a_diff_tells_missing_changed_and_extra_rows() {
    let stage = Stage::new();
    stage.side(&["shop.orders", "shop.log"]);
    let same = stage.diff();
    assert!(same.iter().all(|d| d.missing.count == 0 && d.extra.count == 0), "{same:?}");
    accident(&stage);
    stage.on("DELETE FROM shop.log WHERE ctid IN (SELECT min(ctid) FROM shop.log GROUP BY at LIMIT 3); INSERT INTO shop.log VALUES (now(), 'x')");
    let found = stage.diff();
    let orders = found.iter().find(|d| d.table.name == "orders").expect("there");
    assert_eq!(orders.key, ["id"]);
    assert_eq!(orders.missing.count, 20);
    assert_eq!(orders.missing.samples, ["1", "2", "3", "4", "5"]);
    assert_eq!(orders.changed.as_ref().map(|rows| rows.count), Some(10));
    assert_eq!((orders.extra.count, orders.extra.samples[0].as_str()), (7, "501"));
    let sequence = orders.sequences.iter().find(|s| s.column == "id").expect("there");
    assert_eq!((sequence.live, sequence.highest), (507, Some(500)));
    assert!(orders.orphans.iter().all(|orphans| orphans.rows == 0), "{:?}", orders.orphans);
    let log = found.iter().find(|d| d.table.name == "log").expect("there");
    assert_eq!((log.missing.count, &log.changed, log.extra.count), (3, &None, 1));

    stage.on("ALTER TABLE shop.order_line DISABLE TRIGGER ALL; INSERT INTO shop.order_line VALUES (501, 1, 'for a new order'); \
              ALTER TABLE shop.order_line ENABLE TRIGGER ALL; DELETE FROM shop.orders WHERE customer_id = 9; DELETE FROM shop.customer WHERE id = 9"
        .replace("DELETE FROM shop.orders WHERE customer_id = 9;", "DELETE FROM shop.order_line USING shop.orders o WHERE o.id = order_id AND customer_id = 9; DELETE FROM shop.orders WHERE customer_id = 9;").as_str());
    let found = stage.diff();
    let orders = found.iter().find(|d| d.table.name == "orders").expect("there");
    let orphans: Vec<(bool, u64)> = orders.orphans.iter().map(|o| (o.incoming, o.rows)).collect();
    assert_eq!(
        orphans,
        [(true, 1), (false, 10)],
        "a line of a new order; orders of a customer who is gone"
    );
}

#[test]
fn missing_rows_come_back_and_nothing_else_changes() {
    let stage = Stage::new();
    stage.side(&["shop.orders"]);
    accident(&stage);
    let before = stage.rows("shop.orders");
    let script = stage.script("shop.orders", Mode::InsertMissing).expect("a script");
    assert!(script.notes.iter().any(|note| note.contains("orders_touch")));
    assert_eq!(stage.rows("shop.orders"), before, "a script changes nothing by itself");
    let record = stage.run(&script).expect("copied");
    assert_eq!(stage.on("SELECT count(*), count(*) FILTER (WHERE total = 0), count(touched) FROM shop.orders WHERE note <> 'none'"), "507|17|5");
    let [found] = &stage.diff()[..] else { panic!("one table") };
    assert_eq!(
        (found.missing.count, found.changed.as_ref().unwrap().count, found.extra.count),
        (0, 10, 7)
    );
    assert_eq!(stage.on("SELECT tgenabled FROM pg_trigger WHERE tgname = 'orders_touch' AND tgrelid = 'shop.orders'::regclass"), "O");
    let undone = stage.undo(&record);
    assert_eq!(stage.rows("shop.orders"), before);
    let session = stage.target().database("app").expect("a session");
    let fault = copy_back::undo(&session, &undone).expect_err("it kept those rows alone");
    assert_eq!(fault.kind, Kind::Refused, "{fault}");
}

#[test]
fn an_upsert_makes_rows_as_they_were_and_keeps_new_ones() {
    let stage = Stage::new();
    let original = stage.rows("(SELECT * FROM shop.orders WHERE id <= 500)");
    stage.side(&["shop.orders"]);
    accident(&stage);
    let before = stage.rows("shop.orders");
    let record = stage.copy("shop.orders", Mode::Upsert);
    assert_eq!(stage.rows("(SELECT * FROM shop.orders WHERE id <= 500)"), original);
    assert_eq!(stage.on("SELECT count(*) FROM shop.orders"), "507");
    assert_eq!(
        stage.on("SELECT gross FROM shop.orders WHERE id = 25"),
        stage.on("SELECT 25 * 1.25 * 1.2")
    );
    stage.undo(&record);
    assert_eq!(stage.rows("shop.orders"), before);
    assert_eq!(stage.on("INSERT INTO shop.orders (customer_id) VALUES (1) RETURNING id"), "508");
}

#[test]
fn a_swap_puts_the_old_rows_in_place_and_everything_around_stays() {
    let stage = Stage::new();
    let original = stage.rows("shop.orders");
    let shape = |stage: &Stage| {
        stage.on("SELECT string_agg(x, E'\n' ORDER BY x) FROM (
            SELECT pg_get_indexdef(indexrelid) x FROM pg_index WHERE indrelid = 'shop.orders'::regclass
            UNION ALL SELECT conname || ' ' || convalidated || pg_get_constraintdef(oid) FROM pg_constraint WHERE 'shop.orders'::regclass IN (conrelid, confrelid)
            UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'shop.orders'::regclass AND NOT tgisinternal
            UNION ALL SELECT polname || pg_get_expr(polqual, polrelid) || polroles::regrole[]::text FROM pg_policy WHERE polrelid = 'shop.orders'::regclass
            UNION ALL SELECT pg_get_statisticsobjdef(oid) FROM pg_statistic_ext WHERE stxrelid = 'shop.orders'::regclass
            UNION ALL SELECT attname || format_type(atttypid, atttypmod) || attnotnull || attgenerated::text || coalesce(pg_get_expr(adbin, adrelid), '') FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE attrelid = 'shop.orders'::regclass AND attnum > 0
            UNION ALL SELECT relowner::regrole || coalesce(relacl::text, '') || relrowsecurity FROM pg_class WHERE oid = 'shop.orders'::regclass
            UNION ALL SELECT description FROM pg_description WHERE objoid = 'shop.orders'::regclass
            UNION ALL SELECT pg_get_serial_sequence('shop.orders', 'id')
            UNION ALL SELECT pg_get_viewdef('shop.v'::regclass)
            UNION ALL SELECT prrelid::regclass::text FROM pg_publication_rel) s")
    };
    let around = shape(&stage);
    stage.side(&["shop.orders"]);
    accident(&stage);
    // The lines of the first orders were deleted, too: there are no orphans.
    let damaged = stage.rows("shop.orders");
    let script = stage.script("shop.orders", Mode::Swap).expect("a script");
    let told = script.notes.join("\n");
    assert!(told.contains("materialized view shop.mv"), "{told}");
    let record = stage.run(&script).expect("swapped");
    assert_eq!(stage.rows("shop.orders"), original);
    assert_eq!(shape(&stage), around);
    let What::CopyBack { kept, .. } = &record.what else { panic!("a copy") };
    assert_eq!(stage.rows(&kept.to_string()), damaged, "the old table is kept whole");
    assert_eq!(stage.on("SELECT count(*) FROM shop.v"), "500", "the view reads the new one");
    assert_eq!(stage.on("INSERT INTO shop.orders (customer_id) VALUES (1) RETURNING id"), "508");
    let fault = try_on(&stage.server, "app", "INSERT INTO shop.order_line VALUES (9999, 1, '')");
    assert!(fault.expect_err("no such order").contains("order_line_order_id_fkey"));
    stage.on("DELETE FROM shop.orders WHERE id = 508");

    stage.undo(&record);
    assert_eq!(stage.rows("shop.orders"), damaged);
    assert_eq!(shape(&stage), around);
}

#[test]
fn orphans_leave_a_foreign_key_not_valid_and_are_told() {
    let stage = Stage::new();
    stage.side(&["shop.orders"]);
    stage.on("INSERT INTO shop.orders (customer_id) VALUES (1); INSERT INTO shop.order_line VALUES (501, 1, 'new')");
    let script = stage.script("shop.orders", Mode::Swap).expect("a script");
    assert!(
        script.notes.iter().any(
            |n| n.contains("ATTENTION: 1 rows break") && n.contains("order_line_order_id_fkey")
        ),
        "{:?}",
        script.notes
    );
    stage.run(&script).expect("swapped");
    assert_eq!(
        stage.on(
            "SELECT convalidated FROM pg_constraint WHERE conname = 'order_line_order_id_fkey'"
        ),
        "f"
    );
}

#[test]
fn only_writers_wait_and_a_lock_that_is_not_had_changes_nothing() {
    let stage = Stage::new();
    stage.side(&["shop.orders"]);
    accident(&stage);
    let before = stage.rows("shop.orders");
    let script = stage.script("shop.orders", Mode::InsertMissing).expect("a script");
    // Another writer holds a row: the copy waits for its lock, gives up and leaves all as it was.
    let impatient = Script {
        statements: script.statements.iter().map(|s| s.replace("'10s'", "'300ms'")).collect(),
        ..script.clone()
    };
    assert_ne!(impatient.statements, script.statements);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            stage.on("BEGIN; UPDATE shop.orders SET note = note WHERE id = 100; SELECT pg_sleep(3); ROLLBACK")
        });
        let holds = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(3)%' AND wait_event = 'PgSleep'";
        support::eventually("the writer holds its row", Duration::from_secs(20), || {
            stage.on(holds) == "1"
        });
        let fault = stage.run(&impatient).expect_err("locked");
        assert_eq!(fault.kind, Kind::Refused, "{fault}");
        assert!(fault.to_string().contains("nothing has changed"), "{fault}");
        writer.join().expect("no panic");
    });
    assert_eq!(stage.rows("shop.orders"), before);

    // While the copy holds its lock, a reader reads and a writer waits.
    let mut slow = script.clone();
    slow.statements.push("SELECT pg_sleep(2)".to_owned());
    std::thread::scope(|scope| {
        let copy = scope.spawn(|| stage.run(&slow));
        let sleeps = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(2)'";
        support::eventually("the copy holds its lock", Duration::from_secs(20), || {
            stage.on(sleeps) == "1"
        });
        assert_eq!(stage.rows("shop.orders"), before, "a reader sees the old rows, at once");
        let refused = try_on(
            &stage.server,
            "app",
            "SET lock_timeout = '200ms'; UPDATE shop.orders SET note = note WHERE id = 100",
        );
        assert!(refused.expect_err("it waits").contains("lock timeout"));
        copy.join().expect("no panic").expect("copied");
    });
}

/// The names of copies whose end nobody was told.
fn untold(stage: &Stage) -> Vec<String> {
    let records = stage.repository.restores().expect("read").into_iter();
    let pending = records.filter(|r| matches!(&r.what, What::CopyBack { pending: Some(_), .. }));
    pending.map(|record| record.id).collect()
}

#[test]
fn a_copy_that_was_killed_at_its_commit_is_asked_of_the_server() {
    let stage = Stage::new();
    stage.side(&["shop.orders"]);
    let whole = stage.rows("shop.orders");
    accident(&stage);
    let before = stage.rows("shop.orders");
    let words = [
        "restore",
        "copy-back",
        "--upsert",
        "--database",
        "app",
        "--schema",
        SIDE,
        "--table",
        "shop.orders",
    ];
    // A commit waits for a standby that is not there: it counts, and nobody is told.
    stage.on("ALTER SYSTEM SET synchronous_commit = on;
         ALTER SYSTEM SET synchronous_standby_names = 'nobody'; SELECT pg_reload_conf()");
    let apply = ["--apply", "--confirm", "shop.orders"];
    let mut child = command(&stage, &[&words[..], &apply].concat()).spawn().expect("started");
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    support::eventually("the commit waits", Duration::from_secs(20), || stage.on(waits) == "1");
    child.kill().expect("killed");
    child.wait().expect("ended");
    let [id] = untold(&stage).try_into().expect("one copy nobody was told of");
    stage.on("ALTER SYSTEM RESET synchronous_standby_names; SELECT pg_reload_conf()");
    support::eventually("nothing waits", Duration::from_secs(20), || stage.on(waits) == "0");
    assert_ne!(stage.rows("shop.orders"), before, "it was committed");

    let (code, plan, told) = call(&stage, &words);
    assert_eq!(code, 0, "{told}");
    let said = format!("the copy {id}, which never told its end, was committed");
    assert!(plan.contains(&said), "{plan}");
    assert_eq!(untold(&stage), [""; 0], "now it is known");
    let undo = ["restore", "undo", &id];
    let (code, said, told) = call(&stage, &[&undo[..], &apply].concat());
    assert_eq!(code, 0, "{said}{told}");
    assert_eq!(stage.rows("shop.orders"), before, "and undone like any other");

    // The same of one that the server has undone.
    let copied = stage.copy("shop.orders", Mode::Upsert);
    let mut never = copied.clone();
    never.id = format!("{}0", copied.id);
    let xid = "BEGIN; SELECT pg_current_xact_id(); ROLLBACK";
    if let What::CopyBack { pending, .. } = &mut never.what {
        *pending = Some(stage.on(xid));
    }
    stage.repository.keep_restore(&never).expect("kept");
    let (code, _, told) = call(&stage, &["restore", "undo", &never.id]);
    assert_eq!(code, 64, "{told}");
    assert!(told.contains("was never committed"), "{told}");
    assert_eq!(untold(&stage), [""; 0], "what never was has no record");
    let (code, _, told) = call(&stage, &["restore", "undo", &copied.id]);
    assert_eq!(code, 0, "the other one has: {told}");
    assert_ne!(stage.rows("shop.orders"), whole, "rows that were new stay");
}
