//! Is the session of the kind that was asked for? The rules are libpq's.

use tokio_postgres::{Client, Connection, SimpleQueryMessage, tls::TlsStream};

use super::socket::Socket;
use crate::resilience::conninfo::TargetSession;

/// What a server reports of itself at login: PostgreSQL 14 and later, not every pooler.
pub(super) struct Reported {
    in_hot_standby: Option<bool>,
    default_read_only: Option<bool>,
}

impl Reported {
    pub(super) fn by<T: TlsStream + Unpin>(connection: &Connection<Socket, T>) -> Self {
        let switch = |name| connection.parameter(name).map(|value| value == "on");
        Self {
            in_hot_standby: switch("in_hot_standby"),
            default_read_only: switch("default_transaction_read_only"),
        }
    }
}

/// `None` when the session is as wanted, else what it is instead.
pub(super) async fn mismatch(
    wanted: TargetSession,
    client: &Client,
    reported: &Reported,
) -> Result<Option<&'static str>, tokio_postgres::Error> {
    let standby = async {
        match reported.in_hot_standby {
            Some(standby) => Ok(standby),
            None => ask(client, "SELECT pg_catalog.pg_is_in_recovery()").await,
        }
    };
    let read_only = async {
        match (reported.in_hot_standby, reported.default_read_only) {
            (Some(standby), Some(read_only)) => Ok(standby || read_only),
            _ => ask(client, "SHOW transaction_read_only").await,
        }
    };
    Ok(match wanted {
        TargetSession::Any => None,
        TargetSession::ReadWrite => read_only.await?.then_some("read-only"),
        TargetSession::ReadOnly => (!read_only.await?).then_some("read-write"),
        TargetSession::Primary => standby.await?.then_some("a standby"),
        TargetSession::Standby | TargetSession::PreferStandby => {
            (!standby.await?).then_some("a primary")
        }
    })
}

/// One boolean by the simple protocol, which every pooler speaks.
async fn ask(client: &Client, query: &str) -> Result<bool, tokio_postgres::Error> {
    let messages = client.simple_query(query).await?;
    let answer = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(matches!(answer, Some("t" | "on")))
}
