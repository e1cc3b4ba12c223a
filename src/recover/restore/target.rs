//! The server that is restored to, and PostgreSQL's tools against it.

use crate::{
    base::exec::Tool,
    cluster::{Binaries, binaries::major_of},
    recover::{Fault, Kind, Result, libpq, session::Session, session::identifier},
    resilience::conninfo::{Host, Settings},
};

/// The server that is restored to: a session in a database that stays as it is, and the tools.
#[derive(Debug)]
pub struct Target {
    settings: Settings,
    /// A session in the database that the settings name.
    pub session: Session,
    binaries: Binaries,
}

impl Target {
    /// Connects, and finds the tools of the server's own version.
    pub fn open(settings: &Settings) -> Result<Self> {
        let session = Session::open(settings)?;
        let binaries = Binaries::for_server(session.version / 10_000)?;
        Ok(Self { settings: settings.clone(), session, binaries })
    }

    /// The same for a dump of that `pg_dump`, by what it calls itself: an older `pg_restore` does not read it.
    pub fn for_dump(settings: &Settings, tool: &str) -> Result<Self> {
        let target = Self::open(settings)?;
        let own = target.session.version / 10_000;
        match major_of(tool).filter(|dumped_by| *dumped_by > own) {
            Some(newer) => Ok(Self { binaries: Binaries::for_server(newer)?, ..target }),
            None => Ok(target),
        }
    }

    /// Connects, with those tools.
    pub fn with(settings: &Settings, binaries: Binaries) -> Result<Self> {
        Ok(Self { settings: settings.clone(), session: Session::open(settings)?, binaries })
    }

    /// A session in another database of the same server.
    pub fn database(&self, name: &str) -> Result<Session> {
        Session::open_database(&self.settings, name)
    }

    /// The host that answered: tools go to the same.
    pub fn host(&self) -> &Host {
        self.session.host()
    }

    /// How the server is told apart, for plans.
    pub fn describe(&self) -> String {
        self.settings.describe()
    }

    /// One of PostgreSQL's tools, connecting to a database. Its name is part of the environment and of a
    /// connection string, never of an argument that could be taken for something else.
    pub fn tool(&self, program: &str, database: &str) -> Tool {
        self.plain_tool(program, database).arg(format!("--dbname={}", conninfo(database)))
    }

    /// The same without an argument that names the database.
    pub fn plain_tool(&self, program: &str, database: &str) -> Tool {
        let tool = Tool::new(self.binaries.program(program));
        libpq::connecting(tool, &self.settings, self.host(), Some(database))
    }

    /// The major version of a tool: 15 for `pg_restore (PostgreSQL) 15.18`.
    pub fn tool_version(&self, program: &str) -> Result<u32> {
        let tool = Tool::new(self.binaries.program(program)).arg("--version");
        let said = tool.run(&crate::base::cancel::Cancel::new(), &mut |_| {})?;
        let said = String::from_utf8_lossy(&said);
        major_of(&said).ok_or_else(|| {
            Fault::new(Kind::Unavailable, format!("'{}' is no version of {program}", said.trim()))
        })
    }

    /// True if there is a database of that name.
    pub fn has_database(&self, name: &str) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)";
        Ok(self.session.one(sql, &[&name])?.get(0))
    }

    /// Removes a database that this run has made.
    pub fn drop_own(&self, name: &str) -> Result<()> {
        let quoted = identifier(name);
        if self.session.version >= 130_000 {
            return self.session.run(&format!("DROP DATABASE IF EXISTS {quoted} WITH (FORCE)"));
        }
        end_sessions(&self.session, name)?;
        self.session.run(&format!("DROP DATABASE IF EXISTS {quoted}"))
    }

    /// Ends all sessions in a database, and waits until they are gone.
    pub fn end_sessions(&self, database: &str) -> Result<()> {
        end_sessions(&self.session, database)
    }
}

fn end_sessions(session: &Session, database: &str) -> Result<()> {
    for _ in 0..100 {
        let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                   WHERE datname = $1 AND pid <> pg_backend_pid()";
        let left: i64 = session.one(sql, &[&database])?.get(0);
        if left == 0 {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    Err(Fault::new(Kind::Refused, format!("sessions in the database '{database}' do not end")))
}

/// A connection string that names a database and nothing else.
pub fn conninfo(database: &str) -> String {
    format!("dbname='{}'", database.replace('\\', r"\\").replace('\'', r"\'"))
}

/// The first number of a version.
pub fn major(version: &str) -> Option<u32> {
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
