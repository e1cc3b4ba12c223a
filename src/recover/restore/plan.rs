//! What restoring a database will do, and what stands in the way: computed before anything is touched.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::json;

use super::{Source, Target, sql, stamp, target::major};
use crate::{
    base::{
        clock::{Clock, Timestamp},
        digest::mark,
    },
    recover::{
        Fault, Kind, Repository, Result,
        dump::{Entry, Section, Toc},
        measured::Expected,
        repository::manifest::{BackupId, Method},
    },
};

/// What is wished for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The new database.
    pub into: String,
    /// A database of that name is moved aside by renaming it.
    pub replace: bool,
    /// Roles that are missing are made: NOLOGIN, without passwords.
    pub with_roles: bool,
    /// Workers of `pg_restore`.
    pub jobs: u32,
}

/// What will be done.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// From this backup…
    pub backup: BackupId,
    /// …which holds what had been committed at this moment…
    pub as_of: Timestamp,
    /// …of this database…
    pub database: String,
    /// …to this server…
    pub server: String,
    /// …under this name.
    pub into: String,
    /// What a database of that name is renamed to.
    pub aside: Option<String>,
    /// Sessions in it that will be ended.
    pub sessions: i64,
    /// Bytes of the dump: what is unpacked before the server is touched.
    pub bytes: u64,
    /// Tables whose rows come back.
    pub tables: usize,
    /// Entries of the table of contents, by kind.
    pub contents: BTreeMap<String, usize>,
    /// How long it takes; none when no restore of a logical backup was measured yet.
    pub takes: Option<Expected>,
    /// Roles that are made.
    pub roles_made: Vec<String>,
    /// What will be otherwise than it was, and why.
    pub notes: Vec<String>,
    /// What stands in the way, each with its remedy: with one of them nothing is begun.
    pub obstacles: Vec<String>,
    #[serde(skip)]
    pub(super) without_tablespaces: bool,
    #[serde(skip)]
    pub(super) jobs: u32,
}

impl Plan {
    /// What the plan comes to: another one has another mark. How long it takes, who is connected and the moment
    /// in a name are not part of it.
    pub fn mark(&self) -> String {
        mark(&json!({
            "backup": self.backup,
            "database": self.database,
            "server": self.server,
            "into": self.into,
            "aside": self.aside.is_some(),
            "contents": self.contents,
            "roles_made": self.roles_made,
            "notes": self.notes,
            "obstacles": self.obstacles,
        }))
    }

    /// Refuses when something stands in the way.
    pub fn check(&self) -> Result<()> {
        unobstructed(&self.obstacles)
    }
}

/// Refuses with the first of the obstacles, if there is one.
pub(super) fn unobstructed(obstacles: &[String]) -> Result<()> {
    match obstacles.first() {
        None => Ok(()),
        Some(first) => Err(Fault::new(Kind::Refused, first.clone())),
    }
}

/// Looks at the dump and at the server. Changes nothing.
pub fn plan(
    repository: &Repository,
    source: &Source,
    target: &Target,
    wish: &Wish,
) -> Result<Plan> {
    let toc = source.contents(repository)?;
    let mut plan = Plan {
        backup: source.manifest.id.clone(),
        as_of: source.manifest.began,
        database: source.database.clone(),
        server: target.describe(),
        into: wish.into.clone(),
        aside: None,
        sessions: 0,
        bytes: source.stored.content_size,
        tables: toc.entries.iter().filter(|entry| entry.desc == "TABLE DATA").count(),
        contents: contents(&toc),
        takes: repository.expected(Method::Logical, source.stored.content_size, 0)?,
        roles_made: Vec::new(),
        notes: Vec::new(),
        obstacles: Vec::new(),
        without_tablespaces: false,
        jobs: wish.jobs,
    };
    name_in_the_way(&mut plan, target, wish)?;
    versions(&mut plan, &toc, target)?;
    missing_roles(&mut plan, &toc, target, wish.with_roles)?;
    missing_extensions(&mut plan, &toc, source, target)?;
    missing_tablespaces(&mut plan, &toc, target)?;
    left_out(&mut plan, &toc);
    Ok(plan)
}

fn contents(toc: &Toc) -> BTreeMap<String, usize> {
    let mut contents = BTreeMap::new();
    for entry in toc.entries.iter().filter(|entry| entry.section != Section::None) {
        *contents.entry(entry.desc.clone()).or_default() += 1;
    }
    contents
}

fn name_in_the_way(plan: &mut Plan, target: &Target, wish: &Wish) -> Result<()> {
    if wish.into.is_empty() || wish.into.len() > 63 {
        plan.obstacles.push(format!("'{}' cannot be a database's name", wish.into));
    }
    if !target.has_database(&wish.into)? {
        return Ok(());
    }
    if !wish.replace {
        plan.obstacles.push(format!(
            "the database '{}' exists: choose another name for --into, or move it aside with --replace",
            wish.into
        ));
        return Ok(());
    }
    let own: bool = target.session.one("SELECT current_database() = $1", &[&wish.into])?.get(0);
    if own {
        plan.obstacles.push(format!(
            "'{}' is the database that we are connected to: connect to another one, such as postgres, with --server",
            wish.into
        ));
    }
    let count = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1";
    plan.sessions = target.session.one(count, &[&wish.into])?.get(0);
    let tail = format!("_before_{}", stamp(Clock::system().wall()));
    plan.aside = Some(sql::tailed(&wish.into, &tail));
    Ok(())
}

fn versions(plan: &mut Plan, toc: &Toc, target: &Target) -> Result<()> {
    let (Some(dumped_by), ours) = (major(&toc.header.tool), target.tool_version("pg_restore")?)
    else {
        return Ok(());
    };
    if dumped_by > ours {
        plan.obstacles.push(format!(
            "the dump was made by pg_dump {dumped_by} and pg_restore here is {ours}: install version {dumped_by} or later, or set HOWDAH_PG_BIN to it"
        ));
    }
    let (from, to) = (major(&toc.header.server), target.session.version / 10_000);
    if from.is_some_and(|from| from > to) {
        let from = from.unwrap_or_default();
        plan.notes.push(format!(
            "it comes from PostgreSQL {from} and goes to {to}: what the older one does not know fails"
        ));
    }
    Ok(())
}

/// The roles that some entries name: owners, and those in privileges and policies.
pub fn roles_named_by<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in entries {
        if !entry.owner.is_empty() {
            names.insert(entry.owner.clone());
        }
        match entry.desc.as_str() {
            "ACL" | "DEFAULT ACL" => names.extend(sql::roles(&entry.definition, true)),
            "POLICY" => names.extend(sql::roles(&entry.definition, false)),
            _ => {}
        }
    }
    names
}

/// Those of some roles that the server does not know.
pub fn unknown_roles(target: &Target, names: &BTreeSet<String>) -> Result<Vec<String>> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let sql = "SELECT n FROM unnest($1::text[]) n WHERE n NOT IN (SELECT rolname FROM pg_roles) \
               AND n NOT LIKE 'pg\\_%' ORDER BY n";
    Ok(target.session.query(sql, &[&names])?.iter().map(|row| row.get(0)).collect())
}

fn missing_roles(plan: &mut Plan, toc: &Toc, target: &Target, make: bool) -> Result<()> {
    let missing = unknown_roles(target, &roles_named_by(&toc.entries))?;
    if make {
        plan.roles_made = missing;
    } else if !missing.is_empty() {
        plan.obstacles.push(format!(
            "the server lacks the roles {}: add --with-roles to make them (NOLOGIN, without passwords), or make them yourself",
            missing.join(", ")
        ));
    }
    Ok(())
}

fn missing_extensions(plan: &mut Plan, toc: &Toc, source: &Source, target: &Target) -> Result<()> {
    let sql = "SELECT name::text, default_version FROM pg_available_extensions";
    let available: BTreeMap<String, Option<String>> =
        target.session.query(sql, &[])?.iter().map(|row| (row.get(0), row.get(1))).collect();
    for entry in toc.entries.iter().filter(|entry| entry.desc == "EXTENSION") {
        let before = source.inventory().and_then(|inventory| inventory.extensions.get(&entry.tag));
        match (available.get(&entry.tag), before) {
            (None, _) => plan.obstacles.push(format!(
                "the server has no files of the extension '{}': install its package there",
                entry.tag
            )),
            (Some(Some(now)), Some(before)) if now != before => plan.notes.push(format!(
                "the extension '{}' will be of version {now}; it was {before}",
                entry.tag
            )),
            _ => {}
        }
    }
    Ok(())
}

fn missing_tablespaces(plan: &mut Plan, toc: &Toc, target: &Target) -> Result<()> {
    let names: Vec<&str> = toc.tablespaces().into_iter().collect();
    let sql =
        "SELECT n FROM unnest($1::text[]) n WHERE n NOT IN (SELECT spcname FROM pg_tablespace)";
    let missing: Vec<String> =
        target.session.query(sql, &[&names])?.iter().map(|row| row.get(0)).collect();
    if !missing.is_empty() {
        plan.without_tablespaces = true;
        plan.notes.push(format!(
            "the server lacks the tablespaces {}: everything goes into the database's own",
            missing.join(", ")
        ));
    }
    Ok(())
}

/// What `pg_restore` brings back only together with the database's old name.
fn left_out(plan: &mut Plan, toc: &Toc) {
    let of_database =
        |desc: &str| toc.entries.iter().any(|e| e.desc == desc && e.tag.starts_with("DATABASE "));
    for (desc, what) in [("ACL", "privileges"), ("COMMENT", "comment")] {
        if of_database(desc) {
            plan.notes.push(format!(
                "the {what} of the database itself stay behind: they name the old one"
            ));
        }
    }
    if toc.entries.iter().any(|entry| entry.desc == "DATABASE PROPERTIES") {
        plan.notes.push(
            "settings of the database itself (ALTER DATABASE … SET) stay behind: they name the old one".into(),
        );
    }
    let subscriptions = toc.entries.iter().filter(|entry| entry.desc == "SUBSCRIPTION").count();
    if subscriptions > 0 {
        plan.notes.push(format!(
            "{subscriptions} subscriptions stay behind: they would talk to the real publisher"
        ));
    }
}
