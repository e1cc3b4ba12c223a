//! What a side schema knows of itself, and the columns on both sides.

use serde::{Deserialize, Serialize};

use super::closure::Name;
use crate::recover::{
    Fault, Kind, Result,
    backup::lock::Owner,
    repository::manifest::BackupId,
    session::{Session, identifier},
};

/// What stands in the comment of a side schema: where its tables come from. It moves and goes with the
/// schema, so it is never wrong about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// The backup.
    pub howdah_backup: BackupId,
    /// Where each of its tables was. They have the same names here.
    pub tables: Vec<Name>,
    /// The restore that made it, and whose process that was; nothing in schemas of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Made>,
    /// The schema itself.
    #[serde(skip)]
    pub schema: String,
}

/// Who made something that a killed restore leaves behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// The name of the restore, which is that of its record.
    pub restore: String,
    /// Its process.
    pub by: Owner,
}

impl Side {
    /// Reads it.
    ///
    /// # Errors
    /// [`Kind::Usage`] for a schema that is not there, or is not ours.
    pub fn read(session: &Session, schema: &str) -> Result<Self> {
        match Self::look(session, schema)? {
            None => Err(Fault::new(Kind::Usage, format!("there is no schema '{schema}'"))),
            Some(None) => {
                let what = format!("the schema '{schema}' was not made by `howdah restore table`");
                Err(Fault::new(Kind::Usage, what))
            }
            Some(Some(side)) => Ok(side),
        }
    }

    /// What a schema is: nothing when it is not there, and nothing within when it is not ours.
    pub fn look(session: &Session, schema: &str) -> Result<Option<Option<Self>>> {
        let sql = "SELECT pg_catalog.obj_description(oid, 'pg_namespace') \
                   FROM pg_catalog.pg_namespace WHERE nspname = $1";
        let rows = session.query(sql, &[&schema])?;
        let side = |comment: Option<String>| {
            let side = serde_json::from_str::<Self>(&comment?).ok()?;
            Some(Self { schema: schema.to_owned(), ..side })
        };
        Ok(rows.first().map(|row| side(row.get(0))))
    }

    /// The side table of a live one.
    pub fn of(&self, live: &Name) -> Result<Name> {
        if self.tables.contains(live) {
            return Ok(Name { schema: self.schema.clone(), name: live.name.clone() });
        }
        let known = self.tables.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Err(Fault::new(Kind::Usage, format!("the schema '{}' holds no '{live}'", self.schema))
            .remedy(format!("it holds {known}")))
    }
}

/// A name as SQL writes it.
pub fn quoted(name: &Name) -> String {
    format!("{}.{}", identifier(&name.schema), identifier(&name.name))
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type as SQL writes it, schema included.
    pub kind: String,
    /// Its value is computed from others.
    pub generated: bool,
    /// `GENERATED ALWAYS AS IDENTITY`: cannot be updated.
    pub always_identity: bool,
}

/// A table as far as comparing and copying needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: Name,
    /// `pg_class.oid`.
    pub oid: u32,
    /// Its columns, in order.
    pub columns: Vec<Column>,
    /// The columns of its primary key; empty when it has none.
    pub key: Vec<String>,
    /// `pg_class.relkind`.
    pub kind: char,
    /// It is a partition, has partitions, or inherits.
    pub related: bool,
}

impl Table {
    /// Reads it; none when there is no such table. The session's search path must be empty.
    pub fn read(session: &Session, name: &Name) -> Result<Option<Self>> {
        let sql = "SELECT c.oid, c.relkind::text, \
            EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid OR inhparent = c.oid) \
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
            WHERE nspname = $1 AND relname = $2 AND relkind IN ('r', 'p')";
        let rows = session.query(sql, &[&name.schema, &name.name])?;
        let Some(row) = rows.first() else { return Ok(None) };
        let (oid, kind, related): (u32, String, bool) = (row.get(0), row.get(1), row.get(2));
        let sql = "SELECT attname::text, format_type(atttypid, atttypmod), attgenerated <> '', \
            attidentity = 'a' FROM pg_attribute \
            WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped ORDER BY attnum";
        let columns = session.query(sql, &[&oid])?;
        let columns = columns.iter().map(|row| Column {
            name: row.get(0),
            kind: row.get(1),
            generated: row.get(2),
            always_identity: row.get(3),
        });
        let columns = columns.collect();
        let sql = "SELECT attname::text FROM pg_index i CROSS JOIN LATERAL unnest(indkey[0:indnkeyatts - 1]) WITH ORDINALITY k(n, at) \
            JOIN pg_attribute a ON a.attrelid = indrelid AND a.attnum = k.n \
            WHERE indrelid = $1 AND indisprimary ORDER BY at";
        let key = session.query(sql, &[&oid])?.iter().map(|row| row.get(0)).collect();
        let kind = kind.chars().next().unwrap_or('r');
        Ok(Some(Self { name: name.clone(), oid, columns, key, kind, related }))
    }

    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// A value of a source's column, as the target's column takes it: through text where the types differ, as
/// those of a side schema do from the live ones of the same name.
pub fn converted(alias: &str, from: &Column, to: &Column) -> String {
    let value = format!("{alias}.{}", identifier(&from.name));
    if from.kind == to.kind { value } else { format!("{value}::text::{}", to.kind) }
}

/// The columns that both have and that can be written, in the target's order.
pub fn common<'a>(from: &'a Table, to: &'a Table) -> Vec<(&'a Column, &'a Column)> {
    let pair = |to: &'a Column| Some((from.column(&to.name)?, to));
    to.columns.iter().filter(|column| !column.generated).filter_map(pair).collect()
}
