//! Cancelling what a session is doing, over a connection of its own.

use std::{fmt, time::Duration};

use tokio::time::timeout;
use tokio_postgres::{CancelToken, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::socket::{Address, Socket};
use crate::resilience::{conninfo::Tcp, tls};

/// The right to cancel. It is addressed to the session, not to a statement: one that arrives late hits
/// the next statement, so that a session is best discarded after it was cancelled.
#[derive(Clone)]
pub struct Cancel {
    pub(super) token: CancelToken,
    pub(super) address: Address,
    pub(super) tcp: Tcp,
    pub(super) name: String,
    /// As the session itself: encrypted or not.
    pub(super) connector: Option<MakeRustlsConnect>,
}

impl Cancel {
    /// Asks the server to cancel; true when the request was delivered within `deadline`. What the server
    /// makes of it is not known.
    pub async fn request(&self, deadline: Duration) -> bool {
        matches!(timeout(deadline, self.deliver()).await, Ok(Some(())))
    }

    async fn deliver(&self) -> Option<()> {
        let socket = Socket::open(&self.address, &self.tcp).await.ok()?;
        match self.connector.clone() {
            Some(mut connector) => {
                let handshake = tls::handshake::<Socket>(&mut connector, &self.name);
                self.token.cancel_query_raw(socket, handshake).await.ok()
            }
            None => self.token.cancel_query_raw(socket, NoTls).await.ok(),
        }
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The token holds the key of the session.
        f.debug_struct("Cancel").field("address", &self.address).finish_non_exhaustive()
    }
}
