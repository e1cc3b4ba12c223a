//! What the surroundings contribute to connection settings, as plain data.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use crate::base::account::user_name;

/// The `PG*` variables, the home folder and the name of the operating-system user. Built by hand in
/// tests, so that reading settings is a pure function of it (but for the files that it names).
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    /// Default of `user`.
    pub user: Option<String>,
    /// Where `.pgpass`, `.pg_service.conf` and `.postgresql/` are.
    pub home: Option<PathBuf>,
    /// Folders that may hold the server's socket when no host is given, the preferred one first.
    pub socket_dirs: Vec<PathBuf>,
    /// Folders that may hold the system-wide `pg_service.conf` when PGSYSCONFDIR is not set.
    pub system_dirs: Vec<PathBuf>,
}

impl Environment {
    /// That of this process. The home folder is `HOME`; the user is the owner of the process, as in
    /// libpq, not `USER`.
    pub fn current() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with("PG"))
            .collect();
        Self {
            variables,
            user: user_name(),
            home: std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from),
            ..Self::bare()
        }
    }

    /// No variables, no user, no home; the usual folders of sockets and of system-wide settings.
    pub fn bare() -> Self {
        let folders = |names: &[&str]| names.iter().map(PathBuf::from).collect();
        Self {
            variables: BTreeMap::new(),
            user: None,
            home: None,
            // Debian and Red Hat build libpq with the first, upstream's default is the second.
            socket_dirs: folders(&["/var/run/postgresql", "/tmp"]),
            // Debian, Red Hat, upstream.
            system_dirs: folders(&[
                "/etc/postgresql-common",
                "/etc/sysconfig/pgsql",
                "/usr/local/pgsql/etc",
            ]),
        }
    }

    /// The same with one more variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The value of a variable; an empty one counts as set, as in libpq.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// Names of the variables that are set.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str)
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values stay out: PGPASSWORD is among them.
        f.debug_struct("Environment")
            .field("variables", &self.variables.keys())
            .field("user", &self.user)
            .field("home", &self.home)
            .finish_non_exhaustive()
    }
}
