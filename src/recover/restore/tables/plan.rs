//! What bringing tables back will do, and what stands in the way.

use std::collections::{BTreeMap, BTreeSet};

use super::{Place, Plan, Wish};
use crate::recover::{
    Repository, Result,
    dump::{Entry, Toc},
    restore::{
        Source, Target,
        closure::{Closure, Name, closure, object_columns},
        leftover::{self, Found},
        plan::{roles_named_by, unknown_roles},
        side::quoted,
    },
    session::{Session, identifier},
};

/// Looks at the dump and at the server. Changes nothing.
pub fn plan(
    repository: &Repository,
    source: &Source,
    target: &Target,
    wish: &Wish,
) -> Result<Plan> {
    let toc = source.contents(repository)?;
    let closure = closure(&toc, &wish.tables)?;
    let session = target.database(&wish.into)?;
    session.run("SET search_path = ''")?;
    let mut plan = Plan {
        backup: source.manifest.id.clone(),
        as_of: source.manifest.began,
        from: source.database.clone(),
        server: target.describe(),
        into: wish.into.clone(),
        schema: None,
        contents: Vec::new(),
        outside: closure.outside.clone(),
        notes: notes(&toc, &closure),
        roles_made: Vec::new(),
        removes: Vec::new(),
        obstacles: Vec::new(),
        leftovers: Vec::new(),
        bytes: source.stored.content_size,
        ids: Vec::new(),
        tables: closure.tables.iter().filter_map(|id| toc.get(*id)).map(name_of).collect(),
    };
    let taken = match &wish.place {
        Place::Side(schema) => {
            plan.schema = Some(schema.clone());
            name_obstacles(&mut plan, &session, schema, wish.without_leftovers)?;
            side_obstacles(&mut plan, &toc, &closure, &session)?;
            closure.ids.iter().copied().collect()
        }
        Place::Original => missing_of(&mut plan, &toc, &closure, &session)?,
    };
    scratches(&mut plan, target, wish.without_leftovers)?;
    // In the order of the table of contents, which is the order of restoring.
    let taken: BTreeSet<i32> = taken;
    for entry in toc.entries.iter().filter(|entry| taken.contains(&entry.id)) {
        plan.ids.push(entry.id);
        plan.contents.push((entry.desc.clone(), entry.name()));
    }
    let named = roles_named_by(toc.entries.iter().filter(|entry| taken.contains(&entry.id)));
    let unknown = unknown_roles(target, &named)?;
    if wish.with_roles {
        plan.roles_made = unknown;
    } else if !unknown.is_empty() {
        plan.obstacles.push(format!(
            "the server lacks the roles {}: add --with-roles to make them (NOLOGIN, without passwords), or make them yourself",
            unknown.join(", ")
        ));
    }
    Ok(plan)
}

fn name_of(entry: &Entry) -> Name {
    Name { schema: entry.namespace.clone(), name: entry.tag.clone() }
}

fn notes(toc: &Toc, closure: &Closure) -> Vec<String> {
    let mut notes = Vec::new();
    for entry in closure.structure.iter().filter_map(|id| toc.get(*id)) {
        notes.push(format!("'{}' comes without rows: others are made of it", entry.name()));
    }
    if toc.entries.iter().any(|entry| entry.desc == "BLOBS") {
        for entry in closure.tables.iter().filter_map(|id| toc.get(*id)) {
            for column in object_columns(entry) {
                notes.push(format!(
                    "'{}.{column}' may hold numbers of large objects: they come as numbers, without the objects",
                    entry.name()
                ));
            }
        }
    }
    let function = |entry: &Entry| matches!(entry.desc.as_str(), "FUNCTION" | "PROCEDURE");
    if closure.ids.iter().filter_map(|id| toc.get(*id)).any(function) {
        notes.push("what function bodies refer to is not recorded by PostgreSQL: it is not looked for, and its names stay as they are".into());
    }
    notes
}

/// What is said of something that is left.
const REMOVE: &str = "add --remove-leftovers to remove it";

/// Scratch databases take room, and stand in nobody's way.
fn scratches(plan: &mut Plan, target: &Target, remove: bool) -> Result<()> {
    for left in leftover::scratches(target)? {
        if remove {
            plan.removes.push(left.to_string());
            plan.leftovers.push(left);
        } else {
            plan.notes.push(format!("{left}; {REMOVE}"));
        }
    }
    Ok(())
}

fn name_obstacles(plan: &mut Plan, session: &Session, schema: &str, remove: bool) -> Result<()> {
    if schema.is_empty() || schema.len() > 63 || schema.starts_with("pg_") {
        plan.obstacles.push(format!("'{schema}' cannot be a schema's name"));
        return Ok(());
    }
    match leftover::side(session, schema)? {
        Found::Nothing => {}
        Found::Left(left) if remove => {
            plan.removes.push(left.to_string());
            plan.leftovers.push(left);
        }
        Found::Left(left) => plan
            .obstacles
            .push(format!("{left}; {REMOVE}, or choose another name for --into-schema")),
        Found::Taken(why) => plan.obstacles.push(format!(
            "the schema '{schema}' exists ({why}): choose another name for --into-schema"
        )),
    }
    Ok(())
}

fn side_obstacles(plan: &mut Plan, toc: &Toc, closure: &Closure, session: &Session) -> Result<()> {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for entry in closure.ids.iter().filter_map(|id| toc.get(*id)) {
        match entry.desc.as_str() {
            "TABLE" | "SEQUENCE" | "TYPE" | "DOMAIN" => {
                if let Some(other) = seen.insert(&entry.tag, &entry.namespace)
                    && other != entry.namespace
                {
                    plan.obstacles.push(format!(
                        "'{}' is needed from the schemas {other} and {}: one side schema cannot hold both, restore the tables one by one",
                        entry.tag, entry.namespace
                    ));
                }
            }
            "EXTENSION" => {
                let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = $1)";
                let there: bool = session.one(sql, &[&entry.tag])?.get(0);
                if !there {
                    plan.obstacles.push(format!(
                        "the database '{}' lacks the extension '{}': CREATE EXTENSION there first",
                        plan.into, entry.tag
                    ));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Of the closure, what the database does not have; tables that it has stand in the way.
fn missing_of(
    plan: &mut Plan,
    toc: &Toc,
    closure: &Closure,
    session: &Session,
) -> Result<BTreeSet<i32>> {
    let mut taken = closure.ids.clone();
    let mut kept = Vec::new();
    for entry in closure.ids.iter().filter_map(|id| toc.get(*id)) {
        if !exists(session, entry)? {
            continue;
        }
        if closure.tables.contains(&entry.id) {
            plan.obstacles.push(format!(
                "the table '{}' exists: restore it into a side schema, compare, and copy back",
                entry.name()
            ));
        }
        taken.remove(&entry.id);
        kept.push(entry.id);
        if !matches!(entry.desc.as_str(), "SCHEMA" | "EXTENSION") {
            plan.notes.push(format!("{} '{}' exists and stays as it is", entry.desc, entry.name()));
        }
    }
    // What belongs to something that stays, stays too: its comment, its privileges, its position.
    let about = |entry: &Entry| {
        matches!(entry.desc.as_str(), "COMMENT" | "ACL" | "SECURITY LABEL" | "SEQUENCE SET")
            && entry.needs.first().is_some_and(|id| kept.contains(id))
    };
    taken.retain(|id| toc.get(*id).is_some_and(|entry| !about(entry)));
    Ok(taken)
}

/// True for an object that is there already, as far as the kind can be there before its table.
fn exists(session: &Session, entry: &Entry) -> Result<bool> {
    let quoted_name = quoted(&name_of(entry));
    let (sql, name) = match entry.desc.as_str() {
        "SCHEMA" => {
            ("EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)", entry.tag.clone())
        }
        "EXTENSION" => {
            ("EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = $1)", entry.tag.clone())
        }
        "TABLE" | "SEQUENCE" | "VIEW" => ("pg_catalog.to_regclass($1) IS NOT NULL", quoted_name),
        "TYPE" | "DOMAIN" => ("pg_catalog.to_regtype($1) IS NOT NULL", quoted_name),
        "FUNCTION" | "PROCEDURE" | "AGGREGATE" => {
            let (name, arguments) = entry.tag.split_once('(').unwrap_or((&entry.tag, ")"));
            let call = format!("{}.{}({arguments}", identifier(&entry.namespace), identifier(name));
            ("pg_catalog.to_regprocedure($1) IS NOT NULL", call)
        }
        _ => return Ok(false),
    };
    Ok(session.one(&format!("SELECT {sql}"), &[&name])?.get(0))
}
