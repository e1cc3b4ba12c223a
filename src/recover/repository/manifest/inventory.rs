//! What is in a cluster besides rows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What was in the cluster besides rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Inventory {
    /// Roles by name.
    pub roles: Vec<String>,
    /// Tablespaces: name to place.
    pub tablespaces: BTreeMap<String, String>,
    /// The databases.
    pub databases: Vec<Database>,
}

/// One database of an inventory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// Its number: the name of its folder.
    pub oid: u32,
    /// Its size in bytes, by `pg_database_size`.
    pub size: u64,
    /// Encoding, `LC_COLLATE`, and the version of the collation library that sorted its indexes.
    pub encoding: String,
    /// `LC_COLLATE`.
    pub collate: String,
    /// `LC_CTYPE`.
    pub ctype: String,
    /// The collation library's version; none where the server does not tell.
    pub collation_version: Option<String>,
    /// Extensions: name to version.
    pub extensions: BTreeMap<String, String>,
    /// Large objects.
    pub large_objects: u64,
    /// Its tables, sequences and materialized views.
    pub relations: Vec<Relation>,
}

/// One relation of an inventory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Relation {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `pg_class.relkind`: `r` table, `p` partitioned table, `S` sequence, `m` materialized view.
    pub kind: char,
    /// `pg_class.oid`.
    pub oid: u32,
    /// `pg_class.relfilenode`, with the tablespace it stands in (0: the database's own): from WAL back to a
    /// name. 0 for what has no file.
    pub filenode: u32,
    /// `pg_class.reltablespace`.
    pub tablespace: u32,
    /// Unlogged: a physical restore brings it back empty.
    pub unlogged: bool,
    /// Its size in bytes.
    pub size: u64,
    /// Its rows, exactly, where they are known: a table's as they stood in the dump, a materialized view's as the
    /// server counted them in the dump's snapshot.
    pub rows: Option<u64>,
    /// The largest value of a single-column primary key, as text, or a sequence's last value.
    pub last: Option<String>,
    /// Seconds that its rows took in the backup: weights of the next one's progress.
    pub seconds: Option<f64>,
}
