//! The configuration: default < file < environment < flag.
//!
//! Every setting stands in one table ([`settings::TABLE`]): its name, kind, default, variable and
//! meaning. Reading, checking and the example file come from it, and each value knows its origin.

mod read;
pub mod settings;
mod value;

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

pub use read::{Layers, load};
pub use value::Kind;

use crate::base::secret::Secret;

/// Where a value comes from, the weakest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// A file.
    File(PathBuf),
    /// A variable of the environment.
    Variable(String),
    /// The command line.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag => f.write_str("command line"),
        }
    }
}

/// Something in the configuration that cannot be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration '{}' cannot be read: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// It is not TOML.
    #[error("the configuration '{}' is not TOML: {why}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        why: String,
    },
    /// A name that nobody knows.
    #[error("'{key}' is not a setting ({origin}){}", suggestion(nearest.as_deref()))]
    UnknownKey {
        /// The name.
        key: String,
        /// Where it stands.
        origin: String,
        /// The known name that looks most like it.
        nearest: Option<String>,
    },
    /// A value that does not fit.
    #[error("{key} = '{value}' ({origin}): {expected} is expected")]
    BadValue {
        /// The setting.
        key: String,
        /// Its value, as written.
        value: String,
        /// Where it stands.
        origin: String,
        /// What would fit.
        expected: String,
    },
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!("; did you mean '{nearest}'?"))
}

/// The configuration in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The target that is opened when none is named.
    pub default_target: Option<String>,
    /// How often the server is asked.
    pub interval: Duration,
    /// How often applications' endpoints are asked.
    pub endpoint_interval: Duration,
    /// The promise for the RPO.
    pub rpo_target: Duration,
    /// The promise for the RTO.
    pub rto_target: Duration,
    /// How many of a hundred bytes of a disk may be used before it is a warning, and critical.
    pub disk_used: (u8, u8),
    /// How soon a disk may be full before it is a warning, and critical.
    pub disk_full: (Duration, Duration),
    /// Where backups, WAL and proofs are kept: a folder's path or a bucket's URL.
    pub repository: Option<String>,
    /// Public keys of age, for which backups and WAL are encrypted.
    pub recipients: Vec<String>,
    /// A file with private keys of age.
    pub identity: Option<PathBuf>,
    /// An MD5 beside each file of a backup.
    pub md5: bool,
    /// The server compresses base backups, where it can.
    pub server_compresses: bool,
    /// The theme's name.
    pub theme: String,
    /// Colours: `auto`, `always` or `never`.
    pub color: String,
    /// Glyphs: `auto`, `unicode` or `ascii`.
    pub glyphs: String,
    /// The mouse is on from the start.
    pub mouse: bool,
    /// What is logged.
    pub log_level: String,
    /// The folder of the ledger, if it is not the usual one.
    pub ledger_folder: Option<PathBuf>,
    /// The named targets.
    pub targets: BTreeMap<String, TargetConfig>,
    /// The user's keys: command id to keys as written.
    pub keys: BTreeMap<String, Vec<String>>,
    /// Every value in force with its origin, for `howdah config check`; secrets are not in it.
    pub entries: Vec<Entry>,
}

/// One value in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The setting's full name.
    pub key: String,
    /// Its value; a password inside a URL is masked.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// A named target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TargetConfig {
    /// A connection URL, a keyword string, or empty for the `PG*` environment.
    pub url: Secret,
    /// The kind of place: `production`, `staging`, `development`.
    pub environment: Option<String>,
    /// Nothing may be changed through this console.
    pub read_only: bool,
    /// A second person has to confirm the gravest acts.
    pub two_people: bool,
    /// The promise for the RPO, if it differs.
    pub rpo_target: Option<Duration>,
    /// The promise for the RTO, if it differs.
    pub rto_target: Option<Duration>,
    /// Where this target's backups, WAL and proofs are kept, if elsewhere.
    pub repository: Option<String>,
    /// Other backup engines that back this cluster up.
    pub engines: EngineConfig,
    /// A connection string of PgBouncer's admin console (database `pgbouncer`).
    pub pgbouncer: Option<Secret>,
    /// The applications' metrics endpoints, by name.
    pub metrics: BTreeMap<String, EndpointConfig>,
    /// The control endpoints of applications' circuit breakers, by name.
    pub control: BTreeMap<String, ControlConfig>,
}

/// An application's metrics endpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EndpointConfig {
    /// Its URL, which may hold user and password; empty when it was forgotten.
    pub url: Secret,
    /// Certificate authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The file that holds a bearer token.
    pub token_file: Option<PathBuf>,
}

/// The control endpoint of an application's circuit breakers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControlConfig {
    /// `unix:/path` or `http://127.0.0.1:port`; empty when it was forgotten.
    pub url: String,
    /// The file that holds the bearer token of a loopback port.
    pub token_file: Option<PathBuf>,
}

/// Other backup engines of a target; what is not configured is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineConfig {
    /// The stanza of pgBackRest.
    pub pgbackrest: Option<String>,
    /// pgBackRest's configuration file, if it is not the usual one.
    pub pgbackrest_config: Option<String>,
    /// The server's name in Barman.
    pub barman: Option<String>,
    /// Barman's configuration file, if it is not the usual one.
    pub barman_config: Option<String>,
    /// WAL-G's configuration file.
    pub walg: Option<String>,
    /// The account they run as when we are root.
    pub account: Option<String>,
}
