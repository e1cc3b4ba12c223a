//! What a restore of tables that was killed has left on the server: recognised by what it wrote down about itself,
//! in the comment of what it made, or by the moment in its name.
//!
//! | what | when it is left |
//! |---|---|
//! | a scratch database without a comment | killed between its making and its comment, for which PostgreSQL has no one transaction |
//! | a scratch database | killed before the tables were in their side schema |
//! | a side schema | killed behind that, before it was told; or not killed at all, and not looked at since |

use std::fmt;

use super::{
    Target,
    side::{Made, Side},
};
use crate::{
    base::text::Text,
    recover::{
        Result,
        backup::lock::Fate,
        session::{Session, identifier, literal},
    },
};

/// What all scratch databases are called, without the moment behind it.
const SCRATCH: &str = "howdah_scratch_";

/// Something that was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leftover {
    what: What,
    /// By whom; `None` when it was killed before it could say so.
    made: Option<Made>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Scratch(String),
    Side(String),
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, name) = match &self.what {
            What::Scratch(name) => ("scratch database", name),
            What::Side(name) => ("schema", name),
        };
        write!(f, "the {what} '{}', ", Text::foreign(name))?;
        let Some(Made { restore, by }) = &self.made else {
            return f.write_str("empty: its restore was killed just when it had made it");
        };
        let (since, pid) = (by.since.strftime("%Y-%m-%d %H:%M:%SZ"), by.process.pid);
        write!(f, "made by the restore {restore} of {since}, whose process {pid} is gone")
    }
}

impl Leftover {
    /// Removes it.
    pub fn remove(&self, target: &Target, session: &Session) -> Result<()> {
        match &self.what {
            What::Scratch(name) if self.made.is_some() => target.drop_own(name),
            // Nobody knows of a session in it, so none is ended for it.
            What::Scratch(name) => session.run(&format!("DROP DATABASE {}", identifier(name))),
            What::Side(name) => session.run(&format!("DROP SCHEMA {} CASCADE", identifier(name))),
        }
    }
}

/// What a schema of that name is.
pub(super) enum Found {
    /// Nothing has that name.
    Nothing,
    /// Made by a restore whose process is gone, and nothing was made of it since.
    Left(Leftover),
    /// Something else, in words.
    Taken(String),
}

/// The name of a scratch database that is made now.
pub(super) fn scratch_name(stamp: &str) -> String {
    format!("{SCRATCH}{stamp}")
}

/// Writes down whose a scratch database is.
pub(super) fn sign(target: &Target, scratch: &str, made: &Made) -> Result<()> {
    let comment = literal(&serde_json::json!(made).to_string());
    target.session.run(&format!("COMMENT ON DATABASE {} IS {comment}", identifier(scratch)))
}

/// The scratch databases whose process is gone, and those that were not signed within ten minutes: it is a
/// matter of milliseconds.
pub(super) fn scratches(target: &Target) -> Result<Vec<Leftover>> {
    let sql = "SELECT datname::text, pg_catalog.shobj_description(oid, 'pg_database'), \
                      CASE WHEN datname ~ '_\\d{8}_\\d{6}_\\d{3}$' THEN \
                          to_timestamp(right(datname, 19), 'YYYYMMDD_HH24MISS_MS')::timestamp AT TIME ZONE 'UTC' \
                            < now() - interval '10 minutes' ELSE false END \
               FROM pg_catalog.pg_database WHERE starts_with(datname::text, $1) ORDER BY 1";
    let rows = target.session.query(sql, &[&SCRATCH])?;
    let left = rows.iter().filter_map(|row| {
        let what = What::Scratch(row.get(0));
        let made: Option<Made> = match row.get::<_, Option<String>>(1) {
            Some(comment) => Some(serde_json::from_str(&comment).ok()?),
            None => None,
        };
        let gone = made.as_ref().map_or(row.get(2), |made| made.by.fate() == Fate::Gone);
        gone.then_some(Leftover { what, made })
    });
    Ok(left.collect())
}

/// What stands under the name of a side schema.
pub(super) fn side(session: &Session, schema: &str) -> Result<Found> {
    let made = match Side::look(session, schema)? {
        None => return Ok(Found::Nothing),
        Some(Some(Side { made: Some(made), .. })) => made,
        Some(_) => return Ok(Found::Taken("made by somebody else".to_owned())),
    };
    let Made { restore, by } = &made;
    Ok(match by.fate() {
        Fate::Working => {
            Found::Taken(format!("made by the restore {restore}, whose process runs: {by}"))
        }
        Fate::Elsewhere => Found::Taken(format!("made by the restore {restore}: {by}")),
        Fate::Gone => {
            let left = Leftover { what: What::Side(schema.to_owned()), made: Some(made) };
            match user(session, schema)? {
                None => Found::Left(left),
                Some(user) => Found::Taken(format!("{left}; {user} was made of it since")),
            }
        }
    })
}

/// Something that somebody made in a side schema, or of what is in it: it would go with it.
fn user(session: &Session, schema: &str) -> Result<Option<String>> {
    let sql = "WITH inside AS (SELECT c.oid FROM pg_catalog.pg_class c WHERE relnamespace = $1::text::regnamespace) \
        SELECT c.oid::regclass::text FROM pg_catalog.pg_class c JOIN inside USING (oid) \
          WHERE relname ~ '_undo_[0-9_]+$' \
        UNION ALL SELECT v.oid::regclass::text FROM pg_catalog.pg_depend d \
          JOIN pg_catalog.pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid \
          JOIN pg_catalog.pg_class v ON v.oid = r.ev_class AND v.oid NOT IN (SELECT oid FROM inside) \
          WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid IN (SELECT oid FROM inside) \
        UNION ALL SELECT conrelid::regclass::text FROM pg_catalog.pg_constraint \
          WHERE confrelid IN (SELECT oid FROM inside) AND conrelid NOT IN (SELECT oid FROM inside) \
        UNION ALL SELECT attrelid::regclass::text FROM pg_catalog.pg_attribute a \
          JOIN pg_catalog.pg_type t ON t.oid = atttypid AND typnamespace = $1::text::regnamespace \
          WHERE NOT attisdropped AND attrelid NOT IN (SELECT oid FROM inside) LIMIT 1";
    let quoted = identifier(schema);
    Ok(session.query(sql, &[&quoted])?.first().map(|row| row.get(0)))
}
