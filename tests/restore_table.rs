//! Tables come back whole, beside the live ones or where they were.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "tests")]

use crate::support;
use std::{collections::BTreeSet, time::Duration};

use crate::support::tables::{SIDE, Stage, call, call_bare, command, wish};
use howdah::recover::{
    Kind,
    restore::{
        closure::Tie,
        copy_back::Mode,
        side::Side,
        tables::{self, Place, Wish},
    },
};

#[test]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
fn all_of_a_table_comes_and_what_stands_outside_is_named() {
    let stage = Stage::new();
    let plan = stage.plan(&wish(&["shop.orders"]));
    assert_eq!(plan.obstacles, Vec::<String>::new());
    let got: BTreeSet<(&str, &str)> =
        plan.contents.iter().map(|(desc, name)| (desc.as_str(), name.as_str())).collect();
    // The 23 entries that stand behind this table; `pg_restore --table` takes 5 of them.
    let expected = BTreeSet::from([
        ("SCHEMA", "shop"),
        ("ACL", "SCHEMA shop"),
        ("TYPE", "shop.status"),
        ("FUNCTION", "shop.norm(text)"),
        ("FUNCTION", "shop.touch()"),
        ("SEQUENCE", "shop.order_no"),
        ("TABLE", "shop.orders"),
        ("COMMENT", "TABLE shop.orders"),
        ("COMMENT", "COLUMN shop.orders.st"),
        ("ACL", "TABLE shop.orders"),
        ("SEQUENCE", "shop.orders_id_seq"),
        ("SEQUENCE OWNED BY", "shop.orders_id_seq"),
        ("DEFAULT", "shop.orders id"),
        ("TABLE DATA", "shop.orders"),
        ("SEQUENCE SET", "shop.order_no"),
        ("SEQUENCE SET", "shop.orders_id_seq"),
        ("CONSTRAINT", "shop.orders orders_pkey"),
        ("INDEX", "shop.orders_no"),
        ("INDEX", "shop.orders_placed"),
        ("STATISTICS", "shop.s1"),
        ("TRIGGER", "shop.orders orders_touch"),
        ("ROW SECURITY", "shop.orders"),
        ("POLICY", "shop.orders p_ro"),
    ]);
    assert_eq!(got, expected);
    assert_eq!(plan.contents.len(), 23);
    let outside: Vec<(Tie, &str)> =
        plan.outside.iter().map(|outside| (outside.is, outside.what.as_str())).collect();
    assert_eq!(
        outside,
        [
            (Tie::ForeignKeyOut, "FK CONSTRAINT shop.orders orders_customer_id_fkey"),
            (Tie::ForeignKeyIn, "FK CONSTRAINT shop.order_line order_line_order_id_fkey"),
            (Tie::View, "MATERIALIZED VIEW shop.mv"),
            (Tie::View, "VIEW shop.v"),
            (Tie::Publication, "PUBLICATION TABLE shop.pub1 orders"),
        ]
    );
    assert!(plan.notes.iter().any(|note| note.contains("orders.doc")), "{:?}", plan.notes);

    stage.side(&["shop.orders"]);
    assert_eq!(stage.rows(&format!("{SIDE}.orders")), stage.rows("shop.orders"));
    let count = |sql: &str| stage.on(&sql.replace("SIDE", SIDE));
    let table = "'SIDE.orders'::regclass";
    for (what, sql, expected) in [
        (
            "indexes",
            format!("SELECT count(*) FROM pg_index WHERE indrelid = {table} AND indisvalid"),
            "3",
        ),
        ("defaults", format!("SELECT count(*) FROM pg_attrdef WHERE adrelid = {table}"), "7"),
        (
            "triggers",
            format!(
                "SELECT count(*) FROM pg_trigger WHERE tgrelid = {table} AND NOT tgisinternal AND tgfoid = 'SIDE.touch()'::regprocedure"
            ),
            "1",
        ),
        (
            "policies",
            format!(
                "SELECT count(*) FROM pg_policy p JOIN pg_class c ON c.oid = polrelid WHERE polrelid = {table} AND relrowsecurity"
            ),
            "1",
        ),
        (
            "statistics",
            format!(
                "SELECT count(*) FROM pg_statistic_ext WHERE stxrelid = {table} AND stxnamespace = 'SIDE'::regnamespace"
            ),
            "1",
        ),
        ("comments", format!("SELECT count(*) FROM pg_description WHERE objoid = {table}"), "2"),
        ("privileges", format!("SELECT has_table_privilege('app_ro', {table}, 'SELECT')"), "t"),
        (
            "owner",
            format!("SELECT relowner::regrole FROM pg_class WHERE oid = {table}"),
            "app_owner",
        ),
        (
            "type",
            format!(
                "SELECT atttypid::regtype FROM pg_attribute WHERE attrelid = {table} AND attname = 'st'"
            ),
            "howdah_restore_test.status",
        ),
        ("owned sequence", "SELECT last_value FROM SIDE.orders_id_seq".to_owned(), "500"),
        ("used sequence", "SELECT last_value FROM SIDE.order_no".to_owned(), "1499"),
        (
            "foreign keys",
            format!(
                "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND {table} IN (conrelid, confrelid)"
            ),
            "0",
        ),
    ] {
        assert_eq!(count(&sql), expected, "{what}");
    }
    // It works, on its own sequences.
    stage.on(&format!("INSERT INTO {SIDE}.orders (customer_id) VALUES (1)"));
    assert_eq!(
        count(
            "SELECT id || ' ' || no || ' ' || st || ' ' || note FROM SIDE.orders ORDER BY id DESC LIMIT 1"
        ),
        "501 1500 new none"
    );
    assert_eq!(stage.on("SELECT last_value FROM shop.orders_id_seq"), "500");
    let left = stage.server.psql("SELECT datname FROM pg_database WHERE datname LIKE 'howdah%'");
    assert_eq!(left.expect("asked"), "", "the scratch database is gone");
}

#[test]
fn partitions_come_with_their_parent_and_parents_as_structure() {
    let stage = Stage::new();
    stage.side(&["shop.event"]);
    assert_eq!(stage.rows(&format!("{SIDE}.event")), stage.rows("shop.event"));
    assert_eq!(
        stage.on(&format!(
            "SELECT count(*) FROM pg_inherits WHERE inhparent = '{SIDE}.event'::regclass"
        )),
        "2"
    );
    stage.on(&format!("DROP SCHEMA {SIDE} CASCADE"));

    let plan = stage.plan(&wish(&["shop.event_26"]));
    assert!(plan.notes.iter().any(|note| note.contains("'shop.event' comes without rows")));
    stage.side(&["shop.event_26"]);
    assert_eq!(stage.rows(&format!("{SIDE}.event_26")), stage.rows("shop.event_26"));
}

#[test]
fn hostile_names_and_types_come_through() {
    let stage = Stage::new();
    let table = "\"Mixed \"\"case\"\"\".\"a b\"";
    let before = stage.rows(table);
    let plan = stage.plan(&wish(&[table]));
    let triggers: Vec<_> = plan.contents.iter().filter(|(desc, _)| desc == "TRIGGER").collect();
    assert_eq!(triggers.len(), 1, "the trigger of the table \"a\" has the same tag: {triggers:?}");
    stage.side(&[table]);
    assert_eq!(stage.rows(&format!("{SIDE}.\"a b\"")), before);
    stage.on(&format!("DELETE FROM {table} WHERE \"sel ect\" < 5; UPDATE {table} SET \"ü\" = NULL WHERE \"sel ect\" = 7"));
    let [found] = &stage.diff()[..] else { panic!("one table") };
    assert_eq!(
        (found.missing.count, found.changed.as_ref().unwrap().count, found.extra.count),
        (4, 1, 0)
    );
    let record = stage.copy(table, Mode::Upsert);
    assert_eq!(stage.rows(table), before);
    stage.undo(&record);
    assert_eq!(stage.on(&format!("SELECT count(*), count(\"ü\") FROM {table}")), "26|25");
    let record = stage.copy(table, Mode::Swap);
    assert_eq!(stage.rows(table), before);
    stage.undo(&record);
    assert_eq!(stage.on(&format!("SELECT count(*), count(\"ü\") FROM {table}")), "26|25");
}

#[test]
fn a_table_that_is_gone_comes_back_to_its_place() {
    let stage = Stage::new();
    let original = stage.rows("shop.orders");
    let place = Wish { place: Place::Original, ..wish(&["shop.orders"]) };
    let fault = stage.restore(&place).expect_err("it is there");
    assert_eq!(fault.kind, Kind::Refused, "{fault}");
    stage.on("DROP TABLE shop.orders CASCADE");
    let record = stage.restore(&place).expect("restored");
    assert_eq!(record.findings, Vec::<String>::new());
    assert_eq!(stage.rows("shop.orders"), original);
    let keys = "SELECT string_agg(conname || convalidated, ',' ORDER BY conname = 'order_line_order_id_fkey') FROM pg_constraint WHERE contype = 'f' AND 'shop.orders'::regclass IN (conrelid, confrelid)";
    assert_eq!(stage.on(keys), "orders_customer_id_fkeytrue,order_line_order_id_fkeytrue");
    assert_eq!(stage.on("SELECT atttypid::regtype FROM pg_attribute WHERE attrelid = 'shop.orders'::regclass AND attname = 'st'"), "shop.status");
    assert_eq!(
        stage.on("INSERT INTO shop.orders (customer_id) VALUES (1) RETURNING id, no"),
        "501|1500"
    );
}

#[test]
fn what_cannot_be_done_is_refused_with_its_remedy() {
    let stage = Stage::new();
    let target = stage.target();
    let plan = |wish: &Wish| tables::plan(&stage.repository, &stage.source(), &target, wish);
    let fault = plan(&wish(&["shop.order"])).expect_err("no such table");
    assert!(fault.to_string().contains("did you mean 'shop.orders'"), "{fault}");
    let fault = plan(&wish(&["shop.v"])).expect_err("a view");
    assert!(fault.to_string().contains("not a table"), "{fault}");
    stage.side(&["shop.orders", "shop.log", "shop.event"]);
    let fault = stage.restore(&wish(&["shop.log"])).expect_err("the schema exists");
    assert!(fault.to_string().contains("--into-schema"), "{fault}");
    for (table, mode, remedy) in
        [("shop.log", Mode::InsertMissing, "--swap"), ("shop.event", Mode::Swap, "--upsert")]
    {
        let script = stage.script(table, mode).expect("a script");
        let fault = stage.run(&script).expect_err("refused");
        assert_eq!(fault.kind, Kind::Refused);
        assert!(fault.to_string().contains(remedy), "{fault}");
    }
    stage.on("DROP TABLE shop.log");
    let fault = stage.script("shop.log", Mode::Swap).expect_err("gone");
    assert!(fault.to_string().contains("--in-place"), "{fault}");
    let session = target.database("app").expect("a session");
    let fault = Side::read(&session, "shop").expect_err("not ours");
    assert!(fault.to_string().contains("was not made by"), "{fault}");
}

#[test]
fn the_command_line_plans_first_and_acts_only_with_the_name() {
    let stage = Stage::new();
    let database = ["restore", "database", "--database", "app", "--into", "again"];
    let (code, plan, _) = call(&stage, &database);
    assert_eq!(code, 0, "{plan}");
    assert!(plan.contains("Nothing was touched") && plan.contains("8 tables"), "{plan}");
    let (code, _, told) = call(&stage, &[&database[..], &["--apply"]].concat());
    assert_eq!(code, 64, "{told}");
    let (code, _, told) = call(&stage, &[&database[..], &["--apply", "--confirm", "app"]].concat());
    assert_eq!(code, 77, "{told}");
    assert_eq!(
        stage
            .server
            .psql("SELECT count(*) FROM pg_database WHERE datname = 'again'")
            .expect("asked"),
        "0"
    );
    let apply = ["--apply", "--confirm", "again", "--reason", "a drill"];
    let (code, said, told) = call(&stage, &[&database[..], &apply].concat());
    assert_eq!(code, 0, "{said}{told}");
    assert!(said.contains("every check that was made found what was backed up"), "{said}");

    stage.on("DROP TABLE shop.order_line; DELETE FROM shop.orders WHERE id < 4");
    let (code, plan, told) = call(
        &stage,
        &[
            "restore",
            "table",
            "--database",
            "app",
            "--table",
            "shop.orders",
            "--into-schema",
            SIDE,
            "--apply",
            "--confirm",
            "app",
        ],
    );
    assert_eq!(code, 0, "{plan}{told}");
    assert!(plan.contains("comes      23 entries"), "{plan}");
    let on = ["--database", "app", "--schema", SIDE];
    let (code, told, _) = call(&stage, &[&["restore", "diff"][..], &on].concat());
    assert!(code == 0 && told.contains("missing    3: 1 | 2 | 3"), "{told}");
    let copy =
        [&["restore", "copy-back", "--insert-missing", "--table", "shop.orders"][..], &on].concat();
    let (code, script, _) = call(&stage, &copy);
    assert!(
        code == 0 && script.starts_with("BEGIN;\n") && script.contains("ON CONFLICT DO NOTHING"),
        "{script}"
    );
    assert_eq!(stage.on("SELECT count(*) FROM shop.orders"), "497");
    let (code, said, told) =
        call(&stage, &[&copy[..], &["--apply", "--confirm", "shop.orders"]].concat());
    assert_eq!(code, 0, "{said}{told}");
    assert_eq!(stage.on("SELECT count(*) FROM shop.orders"), "500");
    let id = said.lines().last().and_then(|line| line.split(' ').nth(5)).expect("a name");
    let (code, said, told) =
        call(&stage, &["restore", "undo", id, "--apply", "--confirm", "shop.orders"]);
    assert_eq!(code, 0, "{said}{told}");
    assert_eq!(stage.on("SELECT count(*) FROM shop.orders"), "497");

    let (code, ledger, told) = call_bare(&stage, &["ledger", "show"]);
    assert_eq!(code, 0, "{told}");
    for action in ["restore.database", "restore.table", "restore.copy-back"] {
        assert!(ledger.contains(action), "{action}: {ledger}");
    }
}

#[test]
fn what_a_killed_restore_has_left_is_named_and_removed_by_the_next() {
    let stage = Stage::new();
    let words =
        ["restore", "table", "--database", "app", "--table", "shop.orders", "--into-schema", SIDE];
    let apply = ["--apply", "--confirm", "app"];
    let remove = ["--remove-leftovers"];
    // Somebody makes that schema and has not committed: what would bring ours across waits.
    let other = stage.target().database("app").expect("a session");
    other.run(&format!("BEGIN; CREATE SCHEMA {SIDE}")).expect("begun");
    let mut child = command(&stage, &[&words[..], &apply].concat()).spawn().expect("started");
    // Its own workers wait for each other, too, in the scratch database.
    let waits =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = 'app'";
    support::eventually("it waits", Duration::from_secs(30), || stage.on(waits) == "1");
    child.kill().expect("killed");
    child.wait().expect("ended");
    let scratches = "SELECT count(*) FROM pg_database WHERE datname LIKE 'howdah_scratch_%'";
    assert_eq!(stage.on(scratches), "1");
    let (code, plan, told) = call(&stage, &words);
    assert_eq!(code, 0, "{told}");
    assert!(plan.contains("note       the scratch database 'howdah_scratch_"), "{plan}");
    // Its pg_restore was not killed with it.
    other.run("ROLLBACK").expect("ended");
    let there = format!("SELECT count(*) FROM pg_namespace WHERE nspname = '{SIDE}'");
    support::eventually("the schema", Duration::from_secs(30), || stage.on(&there) == "1");

    let (code, plan, told) = call(&stage, &[&words[..], &apply].concat());
    assert_eq!(code, 77, "{plan}{told}");
    let pid = child.id().to_string();
    for word in ["the schema", &pid, "is gone", "--remove-leftovers"] {
        assert!(told.contains(word), "{word}: {told}");
    }
    // What somebody has made of it would go with it.
    stage.on(&format!("CREATE VIEW public.mine AS SELECT * FROM {SIDE}.orders"));
    let (code, _, told) = call(&stage, &[&words[..], &remove].concat());
    assert!(code == 77 && told.contains("mine"), "{code} {told}");
    stage.on("DROP VIEW public.mine");

    // Killed between its making and its comment; of the other one nobody can know that yet.
    stage.on("CREATE DATABASE howdah_scratch_20261125_020000_123");
    let now = stage.on("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD_HH24MISS_MS')");
    stage.on(&format!("CREATE DATABASE howdah_scratch_{now}"));
    let (code, plan, told) = call(&stage, &[&words[..], &remove].concat());
    assert_eq!(code, 0, "{told}");
    assert_eq!(plan.matches("removes    ").count(), 3, "{plan}");
    assert!(plan.contains("howdah_scratch_20261125_020000_123', empty"), "{plan}");
    assert_eq!(stage.on(scratches), "3", "that was a plan");
    let (code, said, told) = call(&stage, &[&words[..], &remove, &apply].concat());
    assert_eq!(code, 0, "{said}{told}");
    assert_eq!(stage.on(scratches), "1");
    stage.on(&format!("DROP DATABASE howdah_scratch_{now}"));
    assert_eq!(stage.rows(&format!("{SIDE}.orders")), stage.rows("shop.orders"));
}

#[test]
fn nobody_sees_a_table_with_privileges_that_it_did_not_have() {
    let stage = Stage::new();
    stage.on("CREATE ROLE stranger;
         ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO stranger, PUBLIC;
         ALTER DEFAULT PRIVILEGES GRANT USAGE ON SEQUENCES TO stranger;
         ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO stranger;
         CREATE TABLE deeds (xid text, tag text);
         CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
           INSERT INTO public.deeds VALUES (pg_current_xact_id(), tg_tag); END $$;
         CREATE EVENT TRIGGER note ON ddl_command_end
           WHEN TAG IN ('CREATE SCHEMA', 'CREATE TABLE', 'CREATE SEQUENCE', 'GRANT', 'REVOKE')
           EXECUTE FUNCTION note()");
    let acl = "SELECT string_agg(a::text, ',' ORDER BY a::text) FROM pg_class c, unnest(relacl) a \
               WHERE c.oid = 'shop.orders'::regclass";
    let before = stage.on(acl);
    assert!(before.contains("app_ro=r"), "{before}");
    let may = |table: &str, sequence: &str| {
        stage.on(&format!(
            "SELECT has_table_privilege('stranger', '{table}', 'SELECT'), \
             has_sequence_privilege('stranger', '{sequence}', 'USAGE')"
        ))
    };
    let transactions = "SELECT count(DISTINCT xid) || ' ' || bool_or(tag = 'REVOKE') FROM deeds";
    stage.side(&["shop.orders"]);
    assert_eq!(may(&format!("{SIDE}.orders"), &format!("{SIDE}.order_no")), "f|f");
    let schema = format!("SELECT has_schema_privilege('stranger', '{SIDE}', 'USAGE')");
    assert_eq!(stage.on(&schema), "f");
    assert_eq!(stage.on(transactions), "1 true", "made and taken back in one transaction");

    stage.on("TRUNCATE deeds; DROP TABLE shop.orders CASCADE");
    let place = Wish { place: Place::Original, ..wish(&["shop.orders"]) };
    stage.restore(&place).expect("restored");
    assert_eq!(may("shop.orders", "shop.orders_id_seq"), "f|f");
    assert_eq!(stage.on(acl), before);
    assert_eq!(stage.on(transactions), "1 true", "made and taken back in one transaction");
}
