//! How a connection ended. A session that is killed while it is idle learns the reason only in the
//! task that reads its socket; it is kept here for whoever finds the client closed later.

use std::{fmt, io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    runtime::Handle,
    sync::watch,
    task::AbortHandle,
    time::timeout,
};
use tokio_postgres::tls::TlsStream;

use crate::base::text::Text;

/// Time that a dropped connection gets to say goodbye before its socket is closed. A server that is
/// hung never answers the goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// Why a connection is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// We closed it.
    Closed,
    /// The server said why, for example 57P01: terminated by an administrator.
    Server {
        /// The SQLSTATE, five characters.
        code: Text,
        /// The server's words, in its language.
        message: Text,
    },
    /// The server closed it without a word: it crashed, or something in between cut the connection.
    Lost,
    /// The network broke, with the system's reason: reset, or no answer within `tcp_user_timeout`.
    Network(Text),
    /// What came was not PostgreSQL's protocol.
    Protocol(Text),
}

impl Cause {
    pub(super) fn of(error: &tokio_postgres::Error) -> Self {
        if let Some(server) = error.as_db_error() {
            return Self::Server {
                code: Text::foreign(server.code().code()),
                message: Text::one_line(server.message()),
            };
        }
        if error.is_closed() {
            return Self::Lost;
        }
        match io_error(error) {
            Some(io) if io.kind() == io::ErrorKind::UnexpectedEof => Self::Lost,
            Some(io) if !is_garbage(io) => Self::Network(Text::foreign(&io.to_string())),
            _ => Self::Protocol(Text::foreign(&error.to_string())),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("we closed the connection"),
            Self::Server { code, message } => write!(f, "the server ended it: {message} ({code})"),
            Self::Lost => f.write_str("the server closed the connection without a word: crashed?"),
            Self::Network(reason) => write!(f, "the network broke: {reason}"),
            Self::Protocol(what) => write!(f, "the server sent something unreadable: {what}"),
        }
    }
}

/// The input/output error below a driver's error.
pub(super) fn io_error(error: &tokio_postgres::Error) -> Option<&io::Error> {
    std::error::Error::source(error)?.downcast_ref()
}

/// True for what the driver reports when bytes make no sense as a message.
pub(super) fn is_garbage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)
}

/// The end of one connection, seen from anywhere. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Fate(watch::Receiver<Option<Cause>>);

impl Fate {
    /// Why the connection is gone; `None` while it lives.
    pub fn cause(&self) -> Option<Cause> {
        self.0.borrow().clone()
    }

    /// Waits until the connection is gone.
    pub async fn gone(&self) -> Cause {
        let mut receiver = self.0.clone();
        let cause = receiver.wait_for(Option::is_some).await.ok().and_then(|cause| cause.clone());
        // The task can vanish without a word only when the runtime itself shuts down.
        cause.unwrap_or(Cause::Closed)
    }
}

/// Held by the owner of the client: when it is dropped, the connection gets [`GOODBYE`] to end by itself.
#[derive(Debug)]
pub(super) struct Leash {
    task: AbortHandle,
    runtime: Handle,
    fate: Fate,
}

impl Drop for Leash {
    fn drop(&mut self) {
        if self.task.is_finished() {
            return;
        }
        let (task, fate) = (self.task.clone(), self.fate.clone());
        // On a runtime that is being shut down nothing runs any more, and nothing needs to.
        self.runtime.spawn(async move {
            let _ = timeout(GOODBYE, fate.gone()).await;
            task.abort();
        });
    }
}

/// Runs the connection in a task of its own. Every byte goes through it, so it does nothing else: who
/// ends it stands beside it.
pub(super) fn drive<S, T>(connection: tokio_postgres::Connection<S, T>) -> (Fate, Leash)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: TlsStream + Unpin + Send + 'static,
{
    let (tell, fate) = watch::channel(None);
    let task = tokio::spawn(async move {
        let mut told = Told { tell, cause: Cause::Closed };
        if let Err(error) = connection.await {
            told.cause = Cause::of(&error);
        }
    });
    let fate = Fate(fate);
    let leash = Leash { task: task.abort_handle(), runtime: Handle::current(), fate: fate.clone() };
    (fate, leash)
}

/// Tells the cause when the task ends, on whatever way: aborted, it was we who closed the connection.
struct Told {
    tell: watch::Sender<Option<Cause>>,
    cause: Cause,
}

impl Drop for Told {
    fn drop(&mut self) {
        let cause = std::mem::replace(&mut self.cause, Cause::Closed);
        self.tell.send_replace(Some(cause));
    }
}
