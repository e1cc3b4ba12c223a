//! What the server says of itself and of the settings that archiving depends on, and what our role may do.

use serde::Serialize;

use crate::{
    base::{exec::quoted, text::Text},
    recover::{
        Fault, Kind, Result,
        repository::checkup::{Finding, Verdict},
        session::Session,
    },
};

/// The settings that archiving depends on. A server before 15 does not know `archive_library`.
pub const NAMES: [&str; 5] =
    ["wal_level", "archive_mode", "archive_command", "archive_library", "archive_timeout"];
/// What `archive_command` is shown as while `archive_mode` is off, whatever it is (`show_archive_command`).
const DISABLED: &str = "(disabled)";

/// The server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Server {
    /// Its version, as `server_version_num`.
    pub version: u32,
    /// Its cluster's system identifier, as text: it does not fit into a double.
    pub system_identifier: String,
    /// Where it was reached.
    pub address: String,
    /// Our role.
    pub role: Text,
    /// Its data folder.
    pub data: String,
    /// Its configuration file.
    pub config_file: String,
    /// The folder of its programs.
    pub programs: String,
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// What is in force, without its unit: seconds, for `archive_timeout`.
    pub now: Text,
    /// Where that comes from, in the server's words: `default`, `configuration file`, `command line`.
    pub source: Text,
    /// The file and the line.
    pub place: Option<Text>,
    /// What `ALTER SYSTEM` has written.
    pub written: Option<String>,
    /// Only a restart brings another value into force.
    pub restart: bool,
    /// Another value is written, and waits for a restart.
    pub pending_restart: bool,
}

impl Setting {
    /// What is in force was given on the command line of the server: no file changes it.
    pub fn is_fixed(&self) -> bool {
        matches!(self.source.as_str(), "command line" | "environment variable")
    }

    /// Where the value comes from, for people.
    pub fn origin(&self) -> String {
        match &self.place {
            Some(place) => place.to_string(),
            None => self.source.to_string(),
        }
    }
}

impl Server {
    /// Its major version.
    pub fn major(&self) -> u32 {
        self.version / 10_000
    }

    /// The command that restarts it, for the account of the server. Debian's clusters have a wrapper that
    /// systemd knows of (pg_ctlcluster(1)).
    pub fn restart_command(&self) -> Text {
        let debian = self.config_file.strip_prefix("/etc/postgresql/").and_then(|rest| {
            let (version, rest) = rest.split_once('/')?;
            Some((version, rest.strip_suffix("/postgresql.conf")?))
        });
        if let Some((version, name)) = debian {
            return format!("pg_ctlcluster {version} {name} restart").into();
        }
        let program = format!("{}/pg_ctl", self.programs);
        let (program, data) = (quoted(program.as_ref()), quoted(self.data.as_ref()));
        format!("{program} restart -D {data}").into()
    }

    /// The file that `ALTER SYSTEM` writes.
    fn auto_conf(&self) -> String {
        format!("{}/postgresql.auto.conf", self.data)
    }
}

/// Asks the server who it is.
///
/// # Errors
/// [`Kind::Refused`] for a standby: it archives what its primary wrote, and is set up there.
pub fn server(session: &Session) -> Result<Server> {
    let row = session.one(
        "SELECT pg_is_in_recovery(), current_user::text, \
         CASE WHEN pg_has_role(current_user, 'pg_read_all_settings', 'USAGE') \
              THEN current_setting('data_directory') END, \
         CASE WHEN pg_has_role(current_user, 'pg_read_all_settings', 'USAGE') \
              THEN current_setting('config_file') END",
        &[],
    )?;
    if row.get(0) {
        let what = "this server is a standby: WAL is written, and archived, by its primary";
        return Err(Fault::new(Kind::Refused, what).remedy("set the primary up"));
    }
    let role: String = row.get(1);
    let (Some(data), Some(config_file)) = (row.get(2), row.get(3)) else {
        let what = format!("the role {} may not read all settings", Text::foreign(&role));
        let remedy =
            format!("GRANT pg_read_all_settings TO {}", crate::recover::session::identifier(&role));
        return Err(Fault::new(Kind::Refused, what).remedy(remedy));
    };
    let cluster = session.cluster()?;
    // Only a superuser may ask; `permitted` says so in better words.
    let programs = session.one("SELECT setting FROM pg_config WHERE name = 'BINDIR'", &[]);
    Ok(Server {
        version: session.version,
        system_identifier: cluster.system_identifier.to_string(),
        address: session.host().name(),
        role: role.into(),
        data,
        config_file,
        programs: programs.map(|row| row.get(0)).unwrap_or_default(),
    })
}

/// Refuses when our role lacks a privilege, naming each that it lacks.
pub fn permitted(session: &Session, server: &Server) -> Result<()> {
    let superuser: bool =
        session.one("SELECT rolsuper FROM pg_roles WHERE rolname = current_user", &[])?.get(0);
    if superuser {
        return Ok(());
    }
    let refused = |what: String, remedy: String| {
        let what = format!("the role {} may not {what}", server.role);
        Err(Fault::new(Kind::Refused, what).remedy(remedy))
    };
    if server.major() < 15 {
        let what = "use ALTER SYSTEM: before PostgreSQL 15 that is for superusers".into();
        return refused(what, "connect as a superuser".into());
    }
    let role = crate::recover::session::identifier(&server.role);
    let rows = session.query(
        "SELECT what, remedy FROM (VALUES \
         (1, pg_has_role(current_user, 'pg_execute_server_program', 'USAGE'), \
          'run programs on the server', 'GRANT pg_execute_server_program TO %s'), \
         (2, has_function_privilege('pg_reload_conf()', 'EXECUTE'), \
          'reload the configuration', 'GRANT EXECUTE ON FUNCTION pg_reload_conf() TO %s'), \
         (3, has_table_privilege('pg_file_settings', 'SELECT') \
             AND has_function_privilege('pg_show_all_file_settings()', 'EXECUTE'), \
          'read pg_file_settings', 'GRANT SELECT ON pg_file_settings TO %1$s; \
           GRANT EXECUTE ON FUNCTION pg_show_all_file_settings() TO %1$s'), \
         (4, has_table_privilege('pg_config', 'SELECT') \
             AND has_function_privilege('pg_config()', 'EXECUTE'), \
          'read pg_config', 'GRANT SELECT ON pg_config TO %1$s; \
           GRANT EXECUTE ON FUNCTION pg_config() TO %1$s'), \
         (5, has_database_privilege(current_database(), 'TEMP'), \
          'make a temporary table', 'GRANT TEMP ON DATABASE … TO %s')) \
         AS needs (n, given, what, remedy) WHERE NOT given \
         UNION ALL \
         SELECT 'ALTER SYSTEM SET ' || name, 'GRANT ALTER SYSTEM ON PARAMETER ' || name || ' TO %s' \
         FROM unnest($1::text[]) AS name WHERE NOT has_parameter_privilege(name, 'ALTER SYSTEM')",
        &[&NAMES.as_slice()],
    )?;
    if rows.is_empty() {
        return Ok(());
    }
    let column = |at: usize| rows.iter().map(|row| row.get(at)).collect::<Vec<String>>();
    let remedy = column(1).join("; ").replace("%1$s", &role).replace("%s", &role);
    refused(column(0).join(", "), format!("connect as a superuser, or: {remedy}"))
}

/// The settings as they are.
pub fn settings(session: &Session, server: &Server) -> Result<Vec<Setting>> {
    let rows = session.query(
        "SELECT name, setting, source, \
         coalesce(sourcefile || ' line ' || sourceline), context = 'postmaster', \
         pending_restart, \
         (SELECT f.setting FROM pg_file_settings f \
          WHERE f.name = s.name AND f.sourcefile = $2 ORDER BY seqno DESC LIMIT 1), \
         (SELECT f.setting FROM pg_file_settings f \
          WHERE f.name = s.name ORDER BY seqno DESC LIMIT 1), \
         boot_val \
         FROM pg_settings s WHERE name = ANY ($1) ORDER BY array_position($1, name)",
        &[&NAMES.as_slice(), &server.auto_conf()],
    )?;
    Ok(rows
        .iter()
        .map(|row| {
            let shown: &str = row.get(1);
            // The files say what the server does not.
            let in_files = row.get::<_, Option<&str>>(7).or(row.get(8)).unwrap_or_default();
            Setting {
                name: row.get(0),
                now: if shown == DISABLED { in_files } else { shown }.into(),
                source: row.get::<_, &str>(2).into(),
                place: row.get::<_, Option<&str>>(3).map(Text::from),
                written: row.get(6),
                restart: row.get(4),
                pending_restart: row.get(5),
            }
        })
        .collect())
}

/// What is wrong in the configuration's files. What merely waits for a restart looks like a bad value there
/// (`setting could not be applied`): the trial of the next start tells the two apart.
pub fn findings(session: &Session, server: &Server) -> Result<Vec<Finding>> {
    let rows = session.query(
        "SELECT sourcefile, sourceline, error FROM pg_file_settings \
         WHERE error IS NOT NULL AND error <> 'setting could not be applied' ORDER BY seqno",
        &[],
    )?;
    let mut found: Vec<Finding> = rows
        .iter()
        .map(|row| {
            let (file, line, error): (Option<&str>, Option<i32>, &str) =
                (row.get(0), row.get(1), row.get(2));
            let file = file.unwrap_or("the configuration");
            let line = line.map(|line| format!(" line {line}")).unwrap_or_default();
            Finding::bad("files", Kind::Refused, format!("{file}{line}: {error}"))
        })
        .collect();
    if found.is_empty() {
        let detail = format!("no error in {} and what it includes", server.config_file);
        found.push(Finding::new("files", Verdict::Good, detail));
    }
    Ok(found)
}
