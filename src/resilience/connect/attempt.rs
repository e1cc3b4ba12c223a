//! One attempt on one address: socket, TLS or not, login, and what became of it.

use std::io;

use tokio_postgres::{
    Client, Config, NoTls,
    config::{
        ChannelBinding as DriverBinding, SslMode as DriverMode, SslNegotiation as DriverNegotiation,
    },
    tls::TlsStream,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    cancel::Cancel,
    error::ConnectError,
    explain::Attempted,
    fate::{Fate, Leash, drive},
    progress::{Progress, Stage, Watched},
    session::{self, Reported},
    socket::{Address, Socket},
};
use crate::{
    base::{account::account_name, text::Text},
    resilience::{
        conninfo::{ChannelBinding, Host, Settings, SslMode, SslNegotiation, TargetSession},
        tls,
    },
};

/// A live session. Dropping it says goodbye to the server and ends the task behind it, after one
/// second at the latest.
#[derive(Debug)]
pub struct Connection {
    /// The driver's client.
    pub client: Client,
    /// How the connection ends.
    pub fate: Fate,
    /// Cancels what the session is doing.
    pub cancel: Cancel,
    /// Which of the hosts answered.
    pub host: Host,
    /// The session is encrypted.
    pub encrypted: bool,
    _leash: Leash,
}

/// How one attempt treats TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encryption {
    Never,
    IfOffered,
    Always,
}

/// A failed attempt.
struct Failure {
    error: ConnectError,
    /// The server itself said no, or TLS failed: the same server may say yes to the other way.
    other_way_may_help: bool,
}

/// Where one attempt goes.
pub(super) struct Goal<'a> {
    pub(super) settings: &'a Settings,
    pub(super) host: &'a Host,
    pub(super) address: Address,
    pub(super) target: TargetSession,
    pub(super) progress: Progress,
}

impl Goal<'_> {
    /// Connects the way `sslmode` says: `allow` begins without TLS and falls back to it, `prefer` begins
    /// with TLS and falls back to none.
    pub(super) async fn connect(&self) -> Result<Connection, ConnectError> {
        let mode = match self.address {
            // TLS is never spoken over a unix socket.
            Address::Unix(_) => SslMode::Disable,
            Address::Tcp(_) => self.settings.tls.mode,
        };
        let (first, second) = match mode {
            SslMode::Disable => (Encryption::Never, None),
            SslMode::Allow => (Encryption::Never, Some(Encryption::IfOffered)),
            SslMode::Prefer => (Encryption::IfOffered, Some(Encryption::Never)),
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => {
                (Encryption::Always, None)
            }
        };
        let failure = match self.login(first).await {
            Ok(connection) => return Ok(connection),
            Err(failure) => failure,
        };
        match second {
            Some(second) if failure.other_way_may_help => {
                self.login(second).await.map_err(|other| more_telling(failure.error, other.error))
            }
            _ => Err(failure.error),
        }
    }

    async fn login(&self, encryption: Encryption) -> Result<Connection, Failure> {
        let alone = |error| Failure { error, other_way_may_help: false };
        self.progress.enter(Stage::Connect);
        let mut socket = Socket::open(&self.address, &self.settings.tcp)
            .await
            .map_err(|error| alone(self.unreachable(&error)))?;
        self.check_peer(&socket).map_err(alone)?;

        let answer = self.settings.ask_passfile(self.host);
        let password = self.settings.password.clone().or(answer.password);
        let mut config = self.config(encryption);
        if let Some(password) = &password {
            config.password(password.expose());
        }
        let ignored = answer.ignored.map(|ignored| Text::foreign(&ignored.to_string()));
        if let Some(ignored) = &ignored {
            tracing::warn!("{ignored}");
        }
        let explain = |error: &tokio_postgres::Error| {
            let stage = self.progress.stage();
            let attempted = Attempted {
                host: &self.label(),
                user: &self.settings.user,
                dbname: &self.settings.dbname,
                had_password: password.is_some(),
                ignored: ignored.as_ref(),
            };
            Failure {
                error: attempted.explain(error),
                // "prefer" tries again without TLS only if TLS was really spoken.
                other_way_may_help: stage == Stage::Handshake
                    || error.as_db_error().is_some()
                        && (encryption == Encryption::Never || stage >= Stage::Login),
            }
        };

        self.progress.enter(Stage::Startup);
        if encryption == Encryption::Never {
            // An authentication request, an error, or a negotiation of the protocol's version.
            socket.expect(b"REv");
            let (client, connection) =
                config.connect_raw(socket, NoTls).await.map_err(|error| explain(&error))?;
            return self.settle(client, connection, None).await.map_err(alone);
        }
        let host = self.label();
        let mut connector =
            tls::connector(&self.settings.tls, &self.host.place).map_err(|problem| {
                // As in libpq, trouble with our own files is no reason to go without TLS but for "prefer".
                Failure { error: ConnectError::Tls { host, problem }, other_way_may_help: true }
            })?;
        if self.settings.tls.negotiation == SslNegotiation::Postgres {
            // TLS, no TLS, or an error of a server that is out of processes.
            socket.expect(b"SNE");
        }
        let watched = Watched {
            inner: tls::handshake::<Socket>(&mut connector, &self.host.name()),
            progress: self.progress.clone(),
        };
        let (client, connection) =
            config.connect_raw(socket, watched).await.map_err(|error| explain(&error))?;
        let connector = (self.progress.stage() >= Stage::Login).then_some(connector);
        self.settle(client, connection, connector).await.map_err(alone)
    }

    /// Starts the connection's task and checks that the session is of the wanted kind.
    async fn settle<T>(
        &self,
        client: Client,
        connection: tokio_postgres::Connection<Socket, T>,
        connector: Option<MakeRustlsConnect>,
    ) -> Result<Connection, ConnectError>
    where
        T: TlsStream + Unpin + Send + 'static,
    {
        self.progress.enter(Stage::Session);
        let reported = Reported::by(&connection);
        let (fate, leash) = drive(connection);
        let mismatch = session::mismatch(self.target, &client, &reported).await;
        match mismatch {
            Ok(None) => {}
            Ok(Some(found)) => {
                let wanted = self.target.as_str();
                return Err(ConnectError::WrongSession { host: self.label(), wanted, found });
            }
            Err(_) => return Err(ConnectError::Dropped { host: self.label() }),
        }
        let cancel = Cancel {
            token: client.cancel_token(),
            address: self.address.clone(),
            tcp: self.settings.tcp.clone(),
            name: self.host.name(),
            connector,
        };
        let encrypted = cancel.connector.is_some();
        Ok(Connection { client, fate, cancel, host: self.host.clone(), encrypted, _leash: leash })
    }

    fn config(&self, encryption: Encryption) -> Config {
        let settings = self.settings;
        let mut config = Config::new();
        config
            .user(&settings.user)
            .dbname(&settings.dbname)
            .ssl_mode(match encryption {
                Encryption::Never => DriverMode::Disable,
                Encryption::IfOffered => DriverMode::Prefer,
                Encryption::Always => DriverMode::Require,
            })
            .ssl_negotiation(match settings.tls.negotiation {
                SslNegotiation::Postgres => DriverNegotiation::Postgres,
                SslNegotiation::Direct => DriverNegotiation::Direct,
            })
            .channel_binding(match settings.tls.channel_binding {
                ChannelBinding::Disable => DriverBinding::Disable,
                ChannelBinding::Prefer => DriverBinding::Prefer,
                ChannelBinding::Require => DriverBinding::Require,
            });
        if let Some(options) = &settings.options {
            config.options(options);
        }
        if let Some(name) = settings.session_name() {
            config.application_name(name);
        }
        config
    }

    fn check_peer(&self, socket: &Socket) -> Result<(), ConnectError> {
        let (Some(wanted), Some(peer)) = (&self.settings.require_peer, socket.peer()) else {
            return Ok(());
        };
        let found = match peer {
            Ok(uid) => account_name(uid).unwrap_or_else(|| uid.to_string()),
            Err(error) => error.to_string(),
        };
        if found == *wanted {
            return Ok(());
        }
        Err(ConnectError::WrongPeer {
            host: self.label(),
            wanted: Text::foreign(wanted),
            found: Text::foreign(&found),
        })
    }

    fn unreachable(&self, error: &io::Error) -> ConnectError {
        let host = self.label();
        match (&self.address, error.kind()) {
            (Address::Unix(path), io::ErrorKind::NotFound) => {
                ConnectError::NoSocket { path: path.clone() }
            }
            (Address::Unix(path), io::ErrorKind::PermissionDenied) => {
                ConnectError::SocketDenied { path: path.clone() }
            }
            (_, io::ErrorKind::ConnectionRefused) => ConnectError::Refused { host },
            _ => ConnectError::Unreachable { host, reason: Text::foreign(&error.to_string()) },
        }
    }

    fn label(&self) -> Text {
        Text::foreign(&self.host.to_string())
    }
}

/// Of the errors with and without TLS, the one that leads on: a rule of pg_hba.conf that wants the other
/// way says less than what happened on that other way.
fn more_telling(first: ConnectError, second: ConnectError) -> ConnectError {
    match first {
        ConnectError::NoPgHbaEntry { .. } => second,
        _ => first,
    }
}
