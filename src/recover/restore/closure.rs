//! The entries of a dump that belong to a table.
//!
//! Two rules, until nothing is added any more: what an entry *needs* comes with it (types, functions,
//! sequences, schemas, extensions, and tables as structure without rows), and what *belongs* to a table that
//! is wanted comes with it (rows, indexes, constraints, triggers, policies, statistics, privileges, comments,
//! partitions). Source of the first: the dependencies in the table of contents. Of the second: the table that
//! the entry's own statement names.
//!
//! What the body of a function written as text refers to is known to nobody: PostgreSQL does not record it.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;

use super::sql::{self, Word};
use crate::recover::{
    Fault, Kind, Result,
    dump::{Entry, Toc},
};

/// A relation by schema and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize)]
pub struct Name {
    /// Its schema.
    pub schema: String,
    /// Its own name.
    pub name: String,
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// The entries that belong to some tables, and what stands around them.
#[derive(Clone, Debug, Default)]
pub struct Closure {
    /// The entries that come.
    pub ids: BTreeSet<i32>,
    /// The tables that come whole, partitions included.
    pub tables: BTreeSet<i32>,
    /// Tables that come without rows: others are made of them.
    pub structure: BTreeSet<i32>,
    /// What refers to them, or what they refer to, and does not come.
    pub outside: Vec<Outside>,
}

/// What stands outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outside {
    /// The entry.
    pub id: i32,
    /// What it is to the tables.
    pub is: Tie,
    /// Its kind and name.
    pub what: String,
}

/// How something outside is tied to the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tie {
    /// A foreign key of one of them to a table that does not come.
    ForeignKeyOut,
    /// A foreign key of another table to one of them.
    ForeignKeyIn,
    /// A view or materialized view over one of them.
    View,
    /// A publication that sends one of them.
    Publication,
    /// Something else that needs one of them.
    Other,
}

/// Reads `schema.table` as SQL would: unquoted names are folded to lower case.
pub fn parse_name(text: &str) -> Result<Name> {
    let words = sql::words(text);
    match words.as_slice() {
        [schema, Word::Sign('.'), name] => {
            if let (Some(schema), Some(name)) = (schema.name(), name.name()) {
                return Ok(Name { schema: schema.to_owned(), name: name.to_owned() });
            }
        }
        [name] => {
            if let Some(name) = name.name() {
                return Ok(Name { schema: "public".to_owned(), name: name.to_owned() });
            }
        }
        _ => {}
    }
    Err(Fault::new(Kind::Usage, format!("'{text}' is not the name of a table"))
        .remedy("write schema.table, with double quotes where SQL needs them"))
}

/// Everything that belongs to these tables.
///
/// # Errors
/// [`Kind::Usage`] for a table that is not in the dump.
pub fn closure(toc: &Toc, wanted: &[Name]) -> Result<Closure> {
    let mut work = Work::new(toc);
    for name in wanted {
        let found = work.relations.get(&(name.schema.as_str(), name.name.as_str())).copied();
        match found.and_then(|id| toc.get(id)) {
            Some(entry) if entry.desc == "TABLE" => work.whole(entry.id),
            Some(entry) => {
                let what = format!("'{name}' is a {}, not a table", entry.desc.to_lowercase());
                return Err(Fault::new(Kind::Usage, what));
            }
            None => return Err(unknown(toc, name)),
        }
    }
    work.grow();
    Ok(work.finish())
}

fn unknown(toc: &Toc, name: &Name) -> Fault {
    let tables = toc.entries.iter().filter(|entry| entry.desc == "TABLE");
    let names: Vec<String> = tables.map(Entry::name).collect();
    let fault = Fault::new(Kind::Usage, format!("the dump holds no table '{name}'"));
    match crate::base::text::nearest(&name.to_string(), names.iter().map(String::as_str)) {
        Some(near) => fault.remedy(format!("did you mean '{near}'?")),
        None => fault,
    }
}

struct Work<'a> {
    toc: &'a Toc,
    relations: HashMap<(&'a str, &'a str), i32>,
    /// The table that each entry belongs to.
    owners: HashMap<i32, i32>,
    /// Partitions: child and parent.
    partitions: Vec<(i32, i32)>,
    whole: BTreeSet<i32>,
    taken: BTreeSet<i32>,
    queue: Vec<i32>,
}

impl<'a> Work<'a> {
    fn new(toc: &'a Toc) -> Self {
        let relation = |entry: &&Entry| {
            matches!(
                entry.desc.as_str(),
                "TABLE" | "FOREIGN TABLE" | "VIEW" | "MATERIALIZED VIEW" | "SEQUENCE"
            )
        };
        let relations: HashMap<_, _> = toc
            .entries
            .iter()
            .filter(relation)
            .map(|entry| ((entry.namespace.as_str(), entry.tag.as_str()), entry.id))
            .collect();
        let owners = toc.entries.iter().filter_map(|entry| {
            let name = table_named(entry)?;
            let owner = relations.get(&(name.schema.as_str(), name.name.as_str()))?;
            Some((entry.id, *owner))
        });
        let owners = owners.collect();
        let attach = toc.entries.iter().filter(|entry| entry.desc == "TABLE ATTACH");
        let partitions = attach.filter_map(|entry| match entry.needs.as_slice() {
            [child, parent, ..] => Some((*child, *parent)),
            _ => None,
        });
        let partitions = partitions.collect();
        Self {
            toc,
            relations,
            owners,
            partitions,
            whole: BTreeSet::new(),
            taken: BTreeSet::new(),
            queue: Vec::new(),
        }
    }

    fn take(&mut self, id: i32) {
        if self.toc.get(id).is_some() && self.taken.insert(id) {
            self.queue.push(id);
        }
    }

    fn whole(&mut self, table: i32) {
        self.whole.insert(table);
        self.take(table);
    }

    fn grow(&mut self) {
        loop {
            while let Some(id) = self.queue.pop() {
                let Some(entry) = self.toc.get(id) else { continue };
                for need in &entry.needs {
                    self.take(*need);
                }
                self.take_schema(&entry.namespace);
            }
            for (child, parent) in self.partitions.clone() {
                if self.whole.contains(&parent) {
                    self.whole(child);
                }
            }
            for entry in &self.toc.entries {
                if !self.taken.contains(&entry.id) && self.belongs(entry) {
                    self.take(entry.id);
                }
            }
            if self.queue.is_empty() {
                return;
            }
        }
    }

    fn take_schema(&mut self, name: &str) {
        let schema = self.toc.entries.iter().find(|e| e.desc == "SCHEMA" && e.tag == name);
        if let Some(schema) = schema {
            self.take(schema.id);
        }
    }

    /// True for what comes because of what it belongs to.
    fn belongs(&self, entry: &Entry) -> bool {
        let first = entry.needs.first();
        let first_taken = first.is_some_and(|id| self.taken.contains(id));
        let owned = self.owners.get(&entry.id).is_some_and(|id| self.whole.contains(id));
        match entry.desc.as_str() {
            "TABLE DATA" => first.is_some_and(|id| self.whole.contains(id)),
            "DEFAULT" | "CONSTRAINT" | "CHECK CONSTRAINT" | "INDEX" | "TRIGGER" | "RULE"
            | "POLICY" | "ROW SECURITY" | "STATISTICS" => owned,
            "FK CONSTRAINT" => owned && self.tables_of(entry).all(|id| self.whole.contains(&id)),
            // Only a sequence that belongs to a column needs a table.
            "SEQUENCE" => entry.needs.iter().any(|id| self.whole.contains(id)),
            "SEQUENCE SET" | "SEQUENCE OWNED BY" | "COMMENT" | "ACL" | "SECURITY LABEL"
            | "STATISTICS DATA" => first_taken,
            "TABLE ATTACH" | "INDEX ATTACH" => {
                !entry.needs.is_empty() && entry.needs.iter().all(|id| self.taken.contains(id))
            }
            _ => false,
        }
    }

    fn tables_of<'b>(&'b self, entry: &'b Entry) -> impl Iterator<Item = i32> + 'b {
        let table = |id: &&i32| self.toc.get(**id).is_some_and(|entry| entry.desc == "TABLE");
        entry.needs.iter().filter(table).copied()
    }

    fn finish(self) -> Closure {
        let mut outside: Vec<Outside> = Vec::new();
        let mut views = self.whole.clone();
        for entry in &self.toc.entries {
            if self.taken.contains(&entry.id) {
                continue;
            }
            let touches = entry.needs.iter().any(|id| self.whole.contains(id));
            let owned = self.owners.get(&entry.id).is_some_and(|id| self.whole.contains(id));
            let is = match entry.desc.as_str() {
                "FK CONSTRAINT" if owned => Tie::ForeignKeyOut,
                "FK CONSTRAINT" if touches => Tie::ForeignKeyIn,
                // Views over views, too: a view stands behind those it needs.
                "VIEW" | "MATERIALIZED VIEW" if entry.needs.iter().any(|id| views.contains(id)) => {
                    views.insert(entry.id);
                    Tie::View
                }
                "PUBLICATION TABLE" if touches => Tie::Publication,
                _ if touches => Tie::Other,
                _ => continue,
            };
            outside.push(Outside {
                id: entry.id,
                is,
                what: format!("{} {}", entry.desc, entry.name()),
            });
        }
        outside.sort_by_key(|outside| outside.is);
        let table = |id: &&i32| self.toc.get(**id).is_some_and(|entry| entry.desc == "TABLE");
        let structure = self.taken.iter().filter(table).filter(|id| !self.whole.contains(id));
        let structure = structure.copied().collect();
        Closure { ids: self.taken, tables: self.whole, structure, outside }
    }
}

/// The table that an entry's own statement names, as `pg_dump` writes each kind.
fn table_named(entry: &Entry) -> Option<Name> {
    let words = sql::words(&entry.definition);
    let behind = |key: &str| words.iter().position(|word| word.is(key)).map(|at| at + 1);
    let mut at = match entry.desc.as_str() {
        "DEFAULT" | "CONSTRAINT" | "CHECK CONSTRAINT" | "FK CONSTRAINT" | "ROW SECURITY" => {
            behind("table")?
        }
        "INDEX" | "TRIGGER" | "POLICY" => behind("on")?,
        "RULE" => behind("to")?,
        // The expressions in front may hold a FROM of their own.
        "STATISTICS" => words.iter().rposition(|word| word.is("from"))? + 1,
        _ => return None,
    };
    if words.get(at)?.is("only") {
        at += 1;
    }
    let schema = words.get(at)?.name()?;
    if words.get(at + 1)? != &Word::Sign('.') {
        return None;
    }
    let name = words.get(at + 2)?.name()?;
    Some(Name { schema: schema.to_owned(), name: name.to_owned() })
}

/// Columns of a table that hold numbers of objects, perhaps of large ones: they come as numbers, without
/// what they point to.
pub fn object_columns(entry: &Entry) -> Vec<String> {
    let words = sql::words(&entry.definition);
    let pairs = words.windows(2).filter(|pair| pair[1].is("oid") || pair[1].is("lo"));
    pairs.filter_map(|pair| pair[0].name().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_sql_reads_them() {
        let name = |schema: &str, name: &str| Name { schema: schema.into(), name: name.into() };
        assert_eq!(parse_name("Shop.Orders").ok(), Some(name("shop", "orders")));
        assert_eq!(parse_name("\"A \"\"b\".\"c.d\"").ok(), Some(name("A \"b", "c.d")));
        assert_eq!(parse_name("orders").ok(), Some(name("public", "orders")));
        for wrong in ["", "a.b.c", "a.", "1", "a; drop", "'x'.y"] {
            assert!(parse_name(wrong).is_err(), "{wrong}");
        }
    }
}
