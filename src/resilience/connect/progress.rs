//! How far an attempt has come, so that a timeout can say where it was stuck.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use tokio_postgres::tls::TlsConnect;

/// The steps of an attempt, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Asking for the address of a host name.
    Resolve,
    /// Waiting for the TCP connection, or for a place in the queue of a unix socket.
    Connect,
    /// Connected; waiting for the first word of the server.
    Startup,
    /// The server agreed to TLS; in the handshake.
    Handshake,
    /// TLS stands; waiting for the first word behind it.
    Login,
    /// Logged in; asking whether the session is of the wanted kind.
    Session,
}

const STAGES: [Stage; 6] = [
    Stage::Resolve,
    Stage::Connect,
    Stage::Startup,
    Stage::Handshake,
    Stage::Login,
    Stage::Session,
];

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "its name could not be resolved in time",
            Self::Connect => {
                "nothing answered: a firewall, a wrong address, or the machine is down"
            }
            Self::Startup | Self::Login | Self::Session => {
                "it accepted the connection but did not answer: hung?"
            }
            Self::Handshake => "it agreed to TLS but did not finish the handshake",
        })
    }
}

/// Shared between an attempt and whoever times it out.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress(Arc<AtomicU8>);

impl Progress {
    pub(super) fn enter(&self, stage: Stage) {
        self.0.store(stage as u8, Ordering::Relaxed);
    }

    pub(super) fn stage(&self) -> Stage {
        STAGES.get(usize::from(self.0.load(Ordering::Relaxed))).copied().unwrap_or(Stage::Resolve)
    }
}

/// A TLS connector that tells when its handshake begins and ends.
pub(super) struct Watched<T> {
    pub(super) inner: T,
    pub(super) progress: Progress,
}

impl<S, T> TlsConnect<S> for Watched<T>
where
    T: TlsConnect<S>,
    T::Future: Send + 'static,
{
    type Stream = T::Stream;
    type Error = T::Error;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Stream, Self::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        self.progress.enter(Stage::Handshake);
        let (handshake, progress) = (self.inner.connect(stream), self.progress);
        Box::pin(async move {
            let stream = handshake.await?;
            progress.enter(Stage::Login);
            Ok(stream)
        })
    }
}
