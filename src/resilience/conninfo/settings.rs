//! Resolved connection settings: plain data.

use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use super::choice::{ChannelBinding, SslMode, SslNegotiation, TargetSession, TlsVersion};
use crate::base::{
    secret::{REDACTED, Secret},
    text::Text,
};

/// Where to connect, as whom, and how. Made by [`Settings::parse`] or [`Settings::from_env`].
#[derive(Clone, Debug)]
pub struct Settings {
    /// The hosts to try, in the order given; never empty.
    pub hosts: Vec<Host>,
    /// Try hosts and their addresses in random order (`load_balance_hosts=random`).
    pub load_balance: bool,
    /// Which session is wanted.
    pub target: TargetSession,
    /// The role.
    pub user: String,
    /// The database.
    pub dbname: String,
    /// A password from the string, the service file or PGPASSWORD. Without one, the passfile is
    /// asked for each host.
    pub password: Option<Secret>,
    /// The passfile, which need not exist.
    pub passfile: Option<PathBuf>,
    /// What the session calls itself on the server.
    pub application_name: Option<String>,
    /// What it calls itself when `application_name` is not given.
    pub fallback_application_name: Option<String>,
    /// Server settings of the session, as command-line options (`-c name=value`).
    pub options: Option<String>,
    /// Limit for each address that is tried; `None` leaves only the caller's deadline.
    pub connect_timeout: Option<Duration>,
    /// Settings of the TCP socket.
    pub tcp: Tcp,
    /// Settings of TLS.
    pub tls: Tls,
    /// The operating-system user that must own the server's end of a unix socket.
    pub require_peer: Option<String>,
    /// The folder of the socket when no host is given; a passfile calls it `localhost`.
    pub default_socket_dir: PathBuf,
    pub(super) entries: Vec<Entry>,
}

impl Settings {
    /// `host:port/database as user`, without a password; several hosts stand in a row.
    pub fn describe(&self) -> String {
        let hosts = self.hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        Text::foreign(&format!("{hosts}/{} as {}", self.dbname, self.user)).as_str().to_owned()
    }

    /// Every value that is in force and where it comes from; secrets are masked.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The same, for a session that calls itself `name` when the user has not said otherwise.
    #[must_use]
    pub fn calling_itself(mut self, name: &str) -> Self {
        self.fallback_application_name.get_or_insert_with(|| name.to_owned());
        self
    }

    /// The name that the session sends: an empty `application_name` sends none, as in libpq.
    pub fn session_name(&self) -> Option<&str> {
        self.application_name
            .as_deref()
            .or(self.fallback_application_name.as_deref())
            .filter(|name| !name.is_empty())
    }
}

/// One value that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The keyword.
    pub keyword: &'static str,
    /// Its value, safe to show.
    pub value: Text,
    /// Where it comes from.
    pub origin: Origin,
}

impl Entry {
    pub(super) fn new(keyword: &'static str, value: &str, secret: bool, origin: Origin) -> Self {
        let value = if secret { Text::ours(REDACTED) } else { Text::foreign(value) };
        Self { keyword, value, origin }
    }
}

/// Where a value comes from, the strongest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The connection string or URL.
    String,
    /// A service file.
    Service(PathBuf),
    /// A variable of the environment.
    Variable(&'static str),
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String => f.write_str("connection string"),
            Self::Service(file) => write!(f, "service file {}", file.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One host to try.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host {
    /// Where it is.
    pub place: Place,
    /// Its TCP port, or the number in the name of its socket.
    pub port: u16,
}

/// Where a host is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// Over TCP.
    Tcp {
        /// The name or address given as `host`; certificates are compared with it.
        name: Option<String>,
        /// `hostaddr`: connect here instead of resolving the name.
        address: Option<IpAddr>,
    },
    /// The folder of its unix socket; a name that begins with `@` is in Linux's abstract namespace.
    Unix(PathBuf),
}

impl Host {
    /// The path of the unix socket, if it is reached over one.
    pub fn socket(&self) -> Option<PathBuf> {
        match &self.place {
            Place::Unix(folder) => Some(socket_in(folder, self.port)),
            Place::Tcp { .. } => None,
        }
    }

    /// The name or address without the port, as psql's `:HOST` shows it.
    pub fn name(&self) -> String {
        match &self.place {
            Place::Unix(folder) => folder.display().to_string(),
            Place::Tcp { name: Some(name), .. } => name.clone(),
            Place::Tcp { name: None, address } => {
                address.map_or_else(String::new, |address| address.to_string())
            }
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        // The colons of an IPv6 address must not run into the port.
        if name.contains(':') && matches!(self.place, Place::Tcp { .. }) {
            write!(f, "[{}]:{}", Text::foreign(&name), self.port)
        } else {
            write!(f, "{}:{}", Text::foreign(&name), self.port)
        }
    }
}

/// The socket of a server in a folder.
pub(super) fn socket_in(folder: &Path, port: u16) -> PathBuf {
    folder.join(format!(".s.PGSQL.{port}"))
}

/// Settings of the TCP socket. Where the user says nothing, our own values stand (constants below),
/// because the system's would let a connection hang for 15 minutes when the network swallows packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tcp {
    /// Give up when sent data stays unacknowledged this long; `None` is the system's limit.
    pub user_timeout: Option<Duration>,
    /// Send keepalives; the three settings below then apply.
    pub keepalives: bool,
    /// Silence before the first keepalive; `None` is the system's.
    pub keepalives_idle: Option<Duration>,
    /// Time between keepalives; `None` is the system's.
    pub keepalives_interval: Option<Duration>,
    /// Keepalives that may be lost; `None` is the system's.
    pub keepalives_count: Option<u32>,
}

/// Both are needed: the user timeout works only while sent data is unacknowledged, keepalives only
/// while none is. 10 s rides out a switch-over of the network and stays below a person's patience.
pub const TCP_USER_TIMEOUT: Duration = Duration::from_secs(10);
/// First keepalive after this much silence: a vanished server is noticed within
/// 5 s + 3 x 2 s = 11 s, about as soon as by [`TCP_USER_TIMEOUT`].
pub const KEEPALIVES_IDLE: Duration = Duration::from_secs(5);
/// Between two keepalives.
pub const KEEPALIVES_INTERVAL: Duration = Duration::from_secs(2);
/// Lost keepalives that end the connection.
pub const KEEPALIVES_COUNT: u32 = 3;

impl Default for Tcp {
    fn default() -> Self {
        Self {
            user_timeout: Some(TCP_USER_TIMEOUT),
            keepalives: true,
            keepalives_idle: Some(KEEPALIVES_IDLE),
            keepalives_interval: Some(KEEPALIVES_INTERVAL),
            keepalives_count: Some(KEEPALIVES_COUNT),
        }
    }
}

/// Settings of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// How much it protects.
    pub mode: SslMode,
    /// Who starts it.
    pub negotiation: SslNegotiation,
    /// Whether SCRAM is bound to it.
    pub channel_binding: ChannelBinding,
    /// Whom to trust.
    pub roots: Roots,
    /// Our certificate, if we may show one; the file need not exist.
    pub certificate: Option<PathBuf>,
    /// The key of our certificate.
    pub key: Option<PathBuf>,
    /// Revocation lists, which need not exist.
    pub revoked: Option<PathBuf>,
    /// Tell the server which name we asked for.
    pub sni: bool,
    /// The oldest version that may be spoken.
    pub oldest: TlsVersion,
    /// The newest version that may be spoken.
    pub newest: TlsVersion,
}

/// Which authorities are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// Those in this file. Without the file nothing is verified; the verify modes then fail.
    File(PathBuf),
    /// Those of the operating system (`sslrootcert=system`).
    System,
    /// There is no home folder to look in.
    None,
}
