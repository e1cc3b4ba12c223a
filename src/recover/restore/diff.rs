//! Side against live: rows missing, changed, extra; sequences; orphans.
//!
//! Values are compared as text, since a side schema has types of its own.

use serde::Serialize;

use super::{
    closure::Name,
    side::{Side, Table, common, quoted},
};
use crate::recover::{
    Result,
    session::{Session, identifier},
};

/// Rows of each kind that are shown.
const SAMPLES: i64 = 5;

/// What differs between a table as it was and as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The live table.
    pub table: Name,
    /// There is no live table.
    pub gone: bool,
    /// What rows are told apart by; empty: by all of their values.
    pub key: Vec<String>,
    /// Rows that the backup has and the live table has not.
    pub missing: Rows,
    /// Rows of the same key with other values; none without a key, where a changed row is a missing and an
    /// extra one.
    pub changed: Option<Rows>,
    /// Rows that the live table has and the backup has not.
    pub extra: Rows,
    /// Columns that only one of them has.
    pub columns: Vec<String>,
    /// Positions of sequences.
    pub sequences: Vec<Sequence>,
    /// Rows that would break a foreign key if the live table held the backup's rows alone.
    pub orphans: Vec<Orphans>,
}

/// A number of rows, and some of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rows {
    /// How many.
    pub count: u64,
    /// Keys of the first few; without a key, their values.
    pub samples: Vec<String>,
}

/// A sequence that feeds a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sequence {
    /// The live one, as SQL writes it.
    pub name: String,
    /// The column that it feeds.
    pub column: String,
    /// Its position now.
    pub live: i64,
    /// The largest value of that column in the backup.
    pub highest: Option<i64>,
}

/// Rows without the row that they refer to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Orphans {
    /// The foreign key.
    pub constraint: String,
    /// The table that it belongs to.
    pub of: String,
    /// It is a key of another table to this one.
    pub incoming: bool,
    /// How many rows.
    pub rows: u64,
}

/// Compares all tables of a side schema with the live ones. The session keeps an empty search path.
pub fn diff(session: &Session, side: &Side) -> Result<Vec<Difference>> {
    session.run("SET search_path = ''; SET row_security = off")?;
    side.tables.iter().map(|live| one(session, side, live)).collect()
}

/// Compares one table.
pub fn one(session: &Session, side: &Side, live: &Name) -> Result<Difference> {
    let side = Table::read(session, &side.of(live)?)?;
    let there = Table::read(session, live)?;
    let (Some(side), Some(there)) = (&side, &there) else {
        let missing = match &side {
            Some(side) => count(session, side)?,
            None => 0,
        };
        return Ok(Difference {
            table: live.clone(),
            gone: there.is_none(),
            key: Vec::new(),
            missing: Rows { count: missing, samples: Vec::new() },
            changed: None,
            extra: Rows::default(),
            columns: Vec::new(),
            sequences: Vec::new(),
            orphans: Vec::new(),
        });
    };
    let keyed = !there.key.is_empty() && there.key.iter().all(|key| side.column(key).is_some());
    compare(session, side, there, keyed)?;
    Ok(Difference {
        table: live.clone(),
        gone: false,
        key: if keyed { there.key.clone() } else { Vec::new() },
        missing: rows(session, "missing")?,
        changed: if keyed { Some(rows(session, "changed")?) } else { None },
        extra: rows(session, "extra")?,
        columns: one_sided(side, there),
        sequences: sequences(session, side, there)?,
        orphans: orphans(session, side, there)?,
    })
}

fn count(session: &Session, table: &Table) -> Result<u64> {
    let sql = format!("SELECT count(*) FROM {}", quoted(&table.name));
    Ok(session.one(&sql, &[])?.get::<_, i64>(0).unsigned_abs())
}

fn one_sided(side: &Table, live: &Table) -> Vec<String> {
    let only = |a: &Table, b: &Table, of: &str| -> Vec<String> {
        let missing = a.columns.iter().filter(|column| b.column(&column.name).is_none());
        missing.map(|column| format!("{} ({of} only)", column.name)).collect()
    };
    [only(side, live, "backup"), only(live, side, "live")].concat()
}

/// Puts what differs into a temporary table: what it is, how often, and a key.
fn compare(session: &Session, side: &Table, live: &Table, keyed: bool) -> Result<()> {
    let pairs = common(side, live);
    let text = |alias: &str, names: &[&str]| -> String {
        let texts = names.iter().map(|name| format!("{alias}.{}::text", identifier(name)));
        texts.collect::<Vec<_>>().join(", ")
    };
    let all: Vec<&str> = pairs.iter().map(|(_, column)| column.name.as_str()).collect();
    let sql = if keyed {
        let key: Vec<&str> = live.key.iter().map(String::as_str).collect();
        let of = |table: &Table| {
            format!(
                "SELECT ARRAY[{}] AS k, md5(ROW({})::text) AS v FROM {} t",
                text("t", &key),
                text("t", &all),
                quoted(&table.name)
            )
        };
        format!(
            "SELECT * FROM (SELECT CASE WHEN l.k IS NULL THEN 'missing' WHEN s.k IS NULL THEN 'extra' \
             WHEN s.v <> l.v THEN 'changed' END AS what, 1::bigint AS n, \
             array_to_string(coalesce(s.k, l.k), ', ') AS k \
             FROM ({}) s FULL JOIN ({}) l ON s.k = l.k) d WHERE what IS NOT NULL",
            of(side),
            of(live)
        )
    } else {
        let of = |table: &Table| {
            format!(
                "SELECT ROW({})::text AS k, count(*) AS n FROM {} t GROUP BY 1",
                text("t", &all),
                quoted(&table.name)
            )
        };
        format!(
            "SELECT CASE WHEN coalesce(s.n, 0) > coalesce(l.n, 0) THEN 'missing' ELSE 'extra' END AS what, \
             abs(coalesce(s.n, 0) - coalesce(l.n, 0)) AS n, coalesce(s.k, l.k) AS k \
             FROM ({}) s FULL JOIN ({}) l ON s.k = l.k WHERE coalesce(s.n, 0) <> coalesce(l.n, 0)",
            of(side),
            of(live)
        )
    };
    session.run("DROP TABLE IF EXISTS pg_temp.howdah_diff")?;
    session.run(&format!("CREATE TEMP TABLE howdah_diff AS {sql}"))
}

fn rows(session: &Session, what: &str) -> Result<Rows> {
    let sql = "SELECT coalesce(sum(n), 0)::bigint FROM pg_temp.howdah_diff WHERE what = $1";
    let count: i64 = session.one(sql, &[&what])?.get(0);
    // Short keys first: numbers come in their order.
    let sql = "SELECT left(k, 200) FROM pg_temp.howdah_diff WHERE what = $1 ORDER BY length(k), k LIMIT $2";
    let samples = session.query(sql, &[&what, &SAMPLES])?;
    let samples = samples.iter().map(|row| row.get(0)).collect();
    Ok(Rows { count: count.unsigned_abs(), samples })
}

/// The sequences that belong to a column of a table or feed it by default: as SQL writes them, with the
/// column. Descending ones are left out.
pub fn feeding(session: &Session, table: &Table) -> Result<Vec<(String, String)>> {
    let sql = "SELECT DISTINCT s.oid::regclass::text, a.attname::text FROM ( \
          SELECT objid AS seq, refobjsubid AS col FROM pg_depend \
          WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND refobjid = $1 \
            AND deptype IN ('a', 'i') \
          UNION SELECT d.refobjid, ad.adnum FROM pg_attrdef ad JOIN pg_depend d \
            ON d.classid = 'pg_attrdef'::regclass AND d.objid = ad.oid AND d.refclassid = 'pg_class'::regclass \
          WHERE ad.adrelid = $1) f \
        JOIN pg_class s ON s.oid = f.seq AND s.relkind = 'S' \
        JOIN pg_sequence q ON q.seqrelid = s.oid AND q.seqincrement > 0 \
        JOIN pg_attribute a ON a.attrelid = $1 AND a.attnum = f.col AND a.atttypid IN (20, 21, 23) ORDER BY 1";
    Ok(session.query(sql, &[&table.oid])?.iter().map(|row| (row.get(0), row.get(1))).collect())
}

fn sequences(session: &Session, side: &Table, live: &Table) -> Result<Vec<Sequence>> {
    let mut found = Vec::new();
    for (name, column) in feeding(session, live)? {
        let live: i64 = session.one(&format!("SELECT last_value FROM {name}"), &[])?.get(0);
        let highest = match side.column(&column) {
            Some(_) => {
                let sql = format!(
                    "SELECT max({})::bigint FROM {}",
                    identifier(&column),
                    quoted(&side.name)
                );
                session.one(&sql, &[])?.get(0)
            }
            None => None,
        };
        found.push(Sequence { name, column, live, highest });
    }
    Ok(found)
}

/// One foreign key of a table, either way.
pub struct ForeignKey {
    /// Its name.
    pub name: String,
    /// The table that it belongs to, as SQL writes it.
    pub of: String,
    /// The table that it refers to, as SQL writes it.
    pub to: String,
    /// Columns of both, one beside the other.
    pub columns: Vec<(String, String)>,
    /// Its definition as `ADD CONSTRAINT` takes it.
    pub definition: String,
    /// It belongs to another table.
    pub incoming: bool,
    /// It refers to its own table.
    pub own: bool,
}

/// The foreign keys from and to a table. The session's search path must be empty.
pub fn foreign_keys(session: &Session, table: &Table) -> Result<Vec<ForeignKey>> {
    let sql = "SELECT conname::text, conrelid::regclass::text, confrelid::regclass::text, \
          pg_get_constraintdef(c.oid), conrelid <> $1, conrelid = confrelid, \
          ARRAY(SELECT attname::text FROM unnest(conkey) WITH ORDINALITY k(n, at) JOIN pg_attribute ON attrelid = conrelid AND attnum = n ORDER BY at), \
          ARRAY(SELECT attname::text FROM unnest(confkey) WITH ORDINALITY k(n, at) JOIN pg_attribute ON attrelid = confrelid AND attnum = n ORDER BY at) \
        FROM pg_constraint c WHERE contype = 'f' AND $1 IN (conrelid, confrelid) AND conparentid = 0 ORDER BY 1, 2";
    let rows = session.query(sql, &[&table.oid])?;
    let keys = rows.iter().map(|row| {
        let (from, to): (Vec<String>, Vec<String>) = (row.get(6), row.get(7));
        ForeignKey {
            name: row.get(0),
            of: row.get(1),
            to: row.get(2),
            columns: from.into_iter().zip(to).collect(),
            definition: row.get(3),
            incoming: row.get(4),
            own: row.get(5),
        }
    });
    Ok(keys.collect())
}

/// Rows without the row that they refer to, for each foreign key from and to a table, if it held the rows of
/// the side table.
pub fn orphans(session: &Session, side: &Table, live: &Table) -> Result<Vec<Orphans>> {
    let mut found = Vec::new();
    for key in foreign_keys(session, live)? {
        let side_name = quoted(&side.name);
        let (from, to) = match (key.own, key.incoming) {
            (true, _) => (side_name.as_str(), side_name.as_str()),
            (false, false) => (side_name.as_str(), key.to.as_str()),
            (false, true) => (key.of.as_str(), side_name.as_str()),
        };
        let here = if key.incoming { None } else { Some(side) };
        if here.is_some_and(|side| key.columns.iter().any(|(c, _)| side.column(c).is_none())) {
            continue;
        }
        let match_up = key
            .columns
            .iter()
            .map(|(from, to)| format!("f.{}::text = t.{}::text", identifier(from), identifier(to)));
        let match_up = match_up.collect::<Vec<_>>().join(" AND ");
        let set = key.columns.iter().map(|(from, _)| format!("f.{} IS NOT NULL", identifier(from)));
        let set = set.collect::<Vec<_>>().join(" AND ");
        let sql = format!(
            "SELECT count(*) FROM {from} f WHERE {set} AND NOT EXISTS (SELECT FROM {to} t WHERE {match_up})"
        );
        let rows: i64 = session.one(&sql, &[])?.get(0);
        found.push(Orphans {
            constraint: key.name,
            of: key.of,
            incoming: key.incoming,
            rows: rows.unsigned_abs(),
        });
    }
    Ok(found)
}
