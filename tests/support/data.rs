//! A cluster full of what backups stumble over, and a way to see whether it came back as it was.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{DirBuilderExt, MetadataExt, chown},
};

use howdah::{
    cluster::Server,
    recover::session::{Session, identifier, literal},
    resilience::conninfo::Settings,
};

use super::database::target;
use howdah::cluster::Via;

/// A database with a name that quoting, shells and connection strings stumble over.
pub const HOSTILE: &str = "we\"ird = db's 100% $x";
/// The database that most of it is in.
pub const SHOP: &str = "shop";
/// A database without anything in it.
pub const EMPTY: &str = "nothing";
/// A table whose name does the same.
pub const HOSTILE_TABLE: (&str, &str) = ("odd \"schema\"", "ta;ble 'x' \\ \"y\"");

/// Fills a cluster: the databases [`SHOP`], [`HOSTILE`] and [`EMPTY`], roles and, with `tablespace`, a
/// tablespace beside the data folder.
pub fn fill(server: &Server, tablespace: bool) {
    for role in ["clerk", "odd \"role\""] {
        sql(server, "postgres", &format!("CREATE ROLE {} LOGIN PASSWORD 'pw'", identifier(role)));
    }
    for name in [SHOP, HOSTILE, EMPTY] {
        sql(server, "postgres", &format!("CREATE DATABASE {}", identifier(name)));
    }
    sql(server, SHOP, SHOP_SQL);
    if tablespace {
        self::tablespace(server);
    }
    let (schema, table) = HOSTILE_TABLE;
    let table = format!("{}.{}", identifier(schema), identifier(table));
    sql(
        server,
        HOSTILE,
        &format!(
            "CREATE SCHEMA {}; CREATE TABLE {table} (\"the \"\"key\"\"\" uuid PRIMARY KEY, \"a\nb\" text); \
         INSERT INTO {table} SELECT gen_random_uuid(), E'line\\nbreak\\t\\\\N \\\\. ' || n \
         FROM generate_series(1, 321) n",
            identifier(schema),
        ),
    );
}

/// Makes a tablespace beside the data folder, and a table of the shop's in it.
pub fn tablespace(server: &Server) {
    let place = server.folder().join("table space");
    let owner = fs::metadata(server.data_dir()).expect("a data folder");
    fs::DirBuilder::new().mode(0o700).create(&place).expect("made");
    chown(&place, Some(owner.uid()), Some(owner.gid())).expect("given away");
    let location = literal(&place.to_string_lossy());
    sql(server, "postgres", &format!("CREATE TABLESPACE \"slow disk\" LOCATION {location}"));
    sql(
        server,
        SHOP,
        "CREATE TABLE shop.archive TABLESPACE \"slow disk\" AS \
         SELECT n AS id, repeat('old', 100) AS t FROM generate_series(1, 500) n",
    );
}

/// Runs statements in a database, as superuser.
pub fn sql(server: &Server, database: &str, statements: &str) {
    let session = Session::open_database(&target(server, Via::Unix), database).expect("connected");
    session.run(statements).expect(statements);
}

/// Holds a table against everybody, until it is dropped.
pub fn locked(server: &Server, database: &str, table: &str) -> Session {
    let session = Session::open_database(&target(server, Via::Unix), database).expect("connected");
    session.run(&format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")).expect("locked");
    session
}

/// What is in a database, for comparison: rows and a hash over all of them for each table, values of
/// sequences, large objects, and the definitions of what is not a table.
pub fn fingerprint(server: &Server, database: &str) -> BTreeMap<String, String> {
    fingerprint_at(&target(server, Via::Unix), database)
}

/// The same for a server that was restored.
pub fn fingerprint_at(settings: &Settings, database: &str) -> BTreeMap<String, String> {
    let session = Session::open_database(settings, database).expect("connected");
    let all = |query: &str| session.query(query, &[]).expect(query);
    let mut found = BTreeMap::new();
    for row in all("SELECT n.nspname, c.relname, c.relkind::text FROM pg_class c \
         JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'm', 'S') AND n.nspname !~ '^pg_' \
           AND n.nspname <> 'information_schema'")
    {
        let (schema, name, kind): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        let table = format!("{}.{}", identifier(&schema), identifier(&name));
        let value = if kind == "S" {
            format!("SELECT concat(last_value, ' ', is_called) FROM {table}")
        } else {
            format!(
                "SELECT concat(count(*), ' ', md5(coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), ''))) \
                 FROM ONLY {table} t"
            )
        };
        found.insert(format!("{kind} {table}"), all(&value)[0].get(0));
    }
    for (what, query) in OBJECTS {
        for row in all(query) {
            found.insert(format!("{what} {}", row.get::<_, String>(0)), row.get(1));
        }
    }
    found
}

/// What there is beside rows: a kind of thing, and a query of names and what each is.
const OBJECTS: &[(&str, &str)] = &[
    ("large object", "SELECT oid::text, md5(lo_get(oid)) FROM pg_largeobject_metadata"),
    (
        "index",
        "SELECT concat(schemaname, '.', indexname), indexdef FROM pg_indexes \
         WHERE schemaname NOT IN ('pg_catalog', 'pg_toast')",
    ),
    (
        "constraint",
        "SELECT concat(conrelid::regclass, ' ', conname), pg_get_constraintdef(oid) \
         FROM pg_constraint WHERE conrelid <> 0",
    ),
    (
        "column",
        "SELECT concat(attrelid::regclass, '.', attname), concat_ws(' ', \
         format_type(atttypid, atttypmod), attidentity, attgenerated, attcollation::regcollation) \
         FROM pg_attribute JOIN pg_class c ON c.oid = attrelid \
         JOIN pg_namespace n ON n.oid = relnamespace \
         WHERE attnum > 0 AND NOT attisdropped AND relkind IN ('r', 'p', 'v', 'm') \
           AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'",
    ),
    (
        "privileges",
        // The built-in ones are the same whether they are written down or not.
        "SELECT oid::regclass::text, coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\", relowner))::text \
         FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'S') AND relnamespace <> 'pg_catalog'::regnamespace \
         AND relnamespace <> 'information_schema'::regnamespace",
    ),
    (
        "default privileges",
        "SELECT concat(defaclrole::regrole, defaclobjtype), defaclacl::text FROM pg_default_acl",
    ),
    (
        "comment",
        "SELECT concat(objoid::regclass, objsubid), description FROM pg_description \
         WHERE classoid = 'pg_class'::regclass AND objoid >= 16384",
    ),
    ("publication", "SELECT pubname::text, concat(puballtables, pubinsert) FROM pg_publication"),
    ("extension", "SELECT extname::text, extversion FROM pg_extension"),
    (
        "function",
        "SELECT oid::regprocedure::text, md5(prosrc) FROM pg_proc \
         WHERE pronamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'shop')",
    ),
    (
        "policy",
        "SELECT concat(tablename, policyname), concat(permissive, roles, cmd, qual, with_check) \
         FROM pg_policies",
    ),
    (
        "view",
        "SELECT oid::regclass::text, pg_get_viewdef(oid) FROM pg_class \
         WHERE relkind IN ('v', 'm') AND oid >= 16384",
    ),
    (
        "relation",
        "SELECT oid::regclass::text, concat_ws(' ', relowner::regrole, relpersistence, relrowsecurity, \
         relforcerowsecurity, reloptions, pg_get_partkeydef(oid), pg_get_expr(relpartbound, oid)) \
         FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'S') AND oid >= 16384",
    ),
    (
        "default",
        "SELECT concat(adrelid::regclass, '.', adnum), pg_get_expr(adbin, adrelid) FROM pg_attrdef",
    ),
    (
        "column privileges",
        "SELECT concat(attrelid::regclass, '.', attname), attacl::text FROM pg_attribute \
         WHERE attacl IS NOT NULL AND attrelid >= 16384",
    ),
    (
        "schema",
        "SELECT nspname::text, concat(nspowner::regrole, nspacl) FROM pg_namespace \
         WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'",
    ),
    (
        "sequence",
        "SELECT seqrelid::regclass::text, concat_ws(' ', seqtypid::regtype, seqstart, seqincrement, \
         seqmin, seqmax, seqcache, seqcycle) FROM pg_sequence",
    ),
    (
        "value of a type",
        "SELECT concat(enumtypid::regtype, ' ', enumlabel), \
         rank() OVER (PARTITION BY enumtypid ORDER BY enumsortorder)::text FROM pg_enum",
    ),
    (
        "domain",
        "SELECT concat(contypid::regtype, ' ', conname), pg_get_constraintdef(oid) \
         FROM pg_constraint WHERE contypid >= 16384",
    ),
    (
        "collation",
        "SELECT oid::regcollation::text, concat_ws(' ', collprovider, collisdeterministic, collcollate) \
         FROM pg_collation WHERE oid >= 16384",
    ),
    ("statistics", "SELECT stxname::text, pg_get_statisticsobjdef(oid) FROM pg_statistic_ext"),
    (
        "large object privileges",
        "SELECT oid::text, concat(lomowner::regrole, lomacl) FROM pg_largeobject_metadata",
    ),
    (
        "published",
        "SELECT concat(pubname, ' ', schemaname, '.', tablename), '' FROM pg_publication_tables",
    ),
    (
        "trigger",
        "SELECT concat(tgrelid::regclass, tgname), pg_get_triggerdef(oid) FROM pg_trigger \
         WHERE NOT tgisinternal",
    ),
];

const SHOP_SQL: &str = r"
CREATE EXTENSION pg_trgm;
CREATE EXTENSION hstore;
CREATE SCHEMA shop;
CREATE TYPE shop.state AS ENUM ('new', 'paid', 'sent');
CREATE DOMAIN shop.amount AS numeric(12, 2) CHECK (VALUE >= 0);
CREATE COLLATION shop.backwards (provider = libc, locale = 'C');
CREATE TABLE shop.customer (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE shop.backwards NOT NULL,
    upper_name text GENERATED ALWAYS AS (upper(name)) STORED,
    tags hstore
);
CREATE INDEX customer_trgm ON shop.customer USING gin (name gin_trgm_ops);
CREATE TABLE shop.orders (
    id serial PRIMARY KEY,
    customer integer NOT NULL REFERENCES shop.customer,
    state shop.state NOT NULL DEFAULT 'new',
    total shop.amount NOT NULL,
    document oid,
    at timestamptz NOT NULL DEFAULT '2026-01-01 00:00:00+00'
);
CREATE STATISTICS shop.order_stats ON customer, state FROM shop.orders;
CREATE TABLE shop.order_line (
    order_id integer NOT NULL REFERENCES shop.orders ON DELETE CASCADE,
    line integer NOT NULL,
    what text,
    PRIMARY KEY (order_id, line)
);
CREATE TABLE shop.event (at date NOT NULL, what text) PARTITION BY RANGE (at);
CREATE TABLE shop.event_2025 PARTITION OF shop.event FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE shop.event_2026 PARTITION OF shop.event FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE UNLOGGED TABLE shop.cache (key text PRIMARY KEY, value bytea);
CREATE TABLE shop.no_rows (id bigint PRIMARY KEY);
CREATE TABLE shop.no_columns ();
CREATE SEQUENCE shop.never_used;
CREATE SEQUENCE shop.ticket INCREMENT 7 START 100;
CREATE FUNCTION shop.touch() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN NEW.at := coalesce(NEW.at, now()); RETURN NEW; END $$;
CREATE TRIGGER touch BEFORE INSERT ON shop.orders FOR EACH ROW EXECUTE FUNCTION shop.touch();

INSERT INTO shop.customer (name, tags)
    SELECT 'customer ' || n, hstore('n', n::text) FROM generate_series(1, 1000) n;
INSERT INTO shop.orders (customer, state, total)
    SELECT 1 + n % 1000, (ARRAY['new', 'paid', 'sent'])[1 + n % 3]::shop.state, n % 977
    FROM generate_series(1, 5000) n;
INSERT INTO shop.order_line SELECT id, l, repeat('x', 40 + l) FROM shop.orders, generate_series(1, 3) l;
INSERT INTO shop.event SELECT date '2025-06-01' + n % 400, 'event ' || n FROM generate_series(1, 2000) n;
INSERT INTO shop.cache SELECT 'k' || n, decode(md5(n::text), 'hex') FROM generate_series(1, 200) n;
INSERT INTO shop.no_columns SELECT FROM generate_series(1, 7);
SELECT nextval('shop.ticket') FROM generate_series(1, 3);
UPDATE shop.orders SET document = lo_from_bytea(0, decode(repeat(md5(id::text), 100), 'hex'))
    WHERE id % 100 = 0;
CREATE VIEW shop.open_order AS SELECT * FROM shop.orders WHERE state <> 'sent';
CREATE MATERIALIZED VIEW shop.turnover AS SELECT customer, sum(total) AS total FROM shop.orders GROUP BY 1;
ALTER TABLE shop.customer ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON shop.customer FOR SELECT TO clerk USING (name <> 'customer 1');
GRANT USAGE ON SCHEMA shop TO clerk;
GRANT SELECT, INSERT ON shop.orders TO clerk WITH GRANT OPTION;
GRANT UPDATE (total) ON shop.orders TO clerk;
ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO clerk;
COMMENT ON TABLE shop.orders IS E'orders; with ''quotes'' and a\nline break';
COMMENT ON COLUMN shop.orders.total IS 'in euro';
CREATE PUBLICATION everything FOR ALL TABLES;
";
