//! Tables come back whole beside the live ones, are compared, copied back, and that is undone.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "tests")]

mod support;

use std::{collections::BTreeSet, time::Duration};

use howdah::{
    base::progress::Silent,
    cluster::{Cluster, Via},
    recover::{
        Fault, Kind, Repository,
        restore::{
            Source, Target, Which,
            closure::{Name, Tie, parse_name},
            copy_back::{self, Mode, Script},
            diff::{Difference, diff},
            record::{Record, What},
            side::Side,
            tables::{self, Place, Plan, Wish},
        },
    },
};
use support::{
    backups::{back_up, on, repository, shop, try_on},
    cluster,
    database::target as settings,
};

const SIDE: &str = "howdah_restore_test";

struct Stage {
    server: Cluster,
    repository: Repository,
    home: tempfile::TempDir,
}

impl Stage {
    /// A shop that was backed up.
    fn new() -> Self {
        let server = cluster();
        shop(&server);
        let home = tempfile::tempdir().expect("a folder");
        let repository = repository(&home.path().join("repo"));
        back_up(&server, "app", &repository);
        Self { server, repository, home }
    }

    fn on(&self, sql: &str) -> String {
        on(&self.server, "app", sql)
    }

    fn target(&self) -> Target {
        Target::open(&settings(&self.server, Via::Unix)).expect("a server")
    }

    fn source(&self) -> Source {
        Source::find(&self.repository, &Which::Newest, "app").expect("a backup")
    }

    fn plan(&self, wish: &Wish) -> Plan {
        tables::plan(&self.repository, &self.source(), &self.target(), wish).expect("a plan")
    }

    fn restore(&self, wish: &Wish) -> Result<Record, Fault> {
        let (source, target) = (self.source(), self.target());
        tables::restore(
            &self.repository,
            &source,
            &target,
            wish,
            self.home.path(),
            &Silent::default(),
        )
    }

    fn side(&self, tables: &[&str]) -> Record {
        let record = self.restore(&wish(tables)).expect("restored");
        assert_eq!(record.findings, Vec::<String>::new());
        record
    }

    fn diff(&self) -> Vec<Difference> {
        let session = self.target().database("app").expect("a session");
        diff(&session, &Side::read(&session, SIDE).expect("a side schema")).expect("compared")
    }

    fn script(&self, table: &str, mode: Mode) -> Result<Script, Fault> {
        let session = self.target().database("app").expect("a session");
        let side = Side::read(&session, SIDE).expect("a side schema");
        copy_back::plan(&session, &side, &name(table), mode)
    }

    fn run(&self, script: &Script) -> Result<Record, Fault> {
        copy_back::run(&self.repository, &self.target(), "app", script, &Silent::default())
    }

    fn copy(&self, table: &str, mode: Mode) -> Record {
        self.run(&self.script(table, mode).expect("a script")).expect("copied")
    }

    fn undo(&self, record: &Record) -> Record {
        let session = self.target().database("app").expect("a session");
        self.run(&copy_back::undo(&session, record).expect("a script")).expect("undone")
    }

    /// Number of rows and a hash of them, as text.
    fn rows(&self, table: &str) -> String {
        self.on(&format!(
            "SELECT count(*), md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM {table} t"
        ))
    }
}

fn name(words: &str) -> Name {
    parse_name(words).expect("a name")
}

fn wish(tables: &[&str]) -> Wish {
    Wish {
        tables: tables.iter().map(|table| name(table)).collect(),
        into: "app".to_owned(),
        place: Place::Side(SIDE.to_owned()),
        with_roles: false,
        jobs: 2,
    }
}

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
        ("COMMENT", "shop.TABLE orders"),
        ("COMMENT", "shop.COLUMN orders.st"),
        ("ACL", "shop.TABLE orders"),
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

/// Deletes, changes and adds rows in the live table.
fn accident(stage: &Stage) {
    stage.on(
        "DELETE FROM shop.order_line WHERE order_id <= 20; DELETE FROM shop.orders WHERE id <= 20; \
         ALTER TABLE shop.orders DISABLE TRIGGER USER; UPDATE shop.orders SET total = 0 WHERE id BETWEEN 21 AND 30; \
         ALTER TABLE shop.orders ENABLE TRIGGER USER; \
         INSERT INTO shop.orders (customer_id, note) SELECT 1, 'since then' FROM generate_series(1, 7)",
    );
}

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

/// A call of the program with a home of its own: exit code, standard output, standard error.
fn call(stage: &Stage, words: &[&str]) -> (i32, String, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_howdah"))
        .args(words)
        .args(["--target", &stage.server.conninfo(Via::Unix), "--name", "app", "--repository"])
        .arg(stage.home.path().join("repo"))
        .env("HOME", stage.home.path())
        .env("PGPASSWORD", stage.server.password().expose())
        .stdin(std::process::Stdio::null())
        .output()
        .expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("a code"), text(output.stdout), text(output.stderr))
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

fn call_bare(stage: &Stage, words: &[&str]) -> (i32, String, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_howdah"))
        .args(words)
        .env("HOME", stage.home.path())
        .output()
        .expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("a code"), text(output.stdout), text(output.stderr))
}
