//! The operator's side: one question through the door, bounded in time and in size.

use std::{io, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, StatusCode,
    client::conn::http1,
    header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderValue},
};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};

use super::{
    door::Door,
    wire::{Page, Told, Wish},
};
use crate::base::{text::Text, units};

/// The longest that a question may take.
const WITHIN: Duration = Duration::from_secs(3);
/// Longest answer that is read, in bytes.
const MAX_ANSWER: usize = 256 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody serves there.
    #[error("nobody answers there: {0}")]
    Unreachable(io::Error),
    /// The other side takes too long.
    #[error("no answer within {}", units::span(WITHIN))]
    Late,
    /// What came is no answer.
    #[error("it does not answer as a control endpoint: {0}")]
    Garbled(Text),
    /// It was asked, and said no; the application's words.
    #[error("it refuses ({status}): {why}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What is wrong.
        why: Text,
    },
}

/// The breakers behind a door.
///
/// # Errors
/// Says why they cannot be seen.
pub async fn ask(door: &Door) -> Result<Vec<Told>, CallError> {
    let page: Page = exchange(door, Request::get("/breakers"), Bytes::new()).await?;
    Ok(page.breakers)
}

/// Sets a mode; the breaker as it is then.
///
/// # Errors
/// [`CallError::Late`] says nothing about whether it was set; the others say that it was not.
pub async fn set(door: &Door, wish: &Wish) -> Result<Told, CallError> {
    let body = serde_json::to_vec(wish).map_err(garbled)?;
    exchange(door, Request::post("/mode"), body.into()).await
}

#[expect(clippy::needless_pass_by_value, reason = "it stands behind `map_err`")]
fn garbled(why: impl ToString) -> CallError {
    CallError::Garbled(Text::one_line(&why.to_string()))
}

async fn exchange<T: DeserializeOwned>(
    door: &Door,
    request: hyper::http::request::Builder,
    body: Bytes,
) -> Result<T, CallError> {
    let mut request = request
        .header(HOST, "localhost")
        .header(CONTENT_TYPE, "application/json")
        .header(CONNECTION, "close");
    if let Door::Loopback(_, token) = door {
        let mut shown = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
            .map_err(|_| CallError::Garbled(Text::ours("the token cannot stand in a header")))?;
        shown.set_sensitive(true);
        request = request.header(AUTHORIZATION, shown);
    }
    let request = request.body(Full::new(body)).map_err(garbled)?;
    let (status, answer) = timeout(WITHIN, async {
        match door {
            Door::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(CallError::Unreachable)?;
                converse(stream, request).await
            }
            Door::Loopback(address, _) => {
                let stream = TcpStream::connect(address).await.map_err(CallError::Unreachable)?;
                converse(stream, request).await
            }
        }
    })
    .await
    .map_err(|_| CallError::Late)??;
    if status == StatusCode::OK {
        return serde_json::from_slice(&answer).map_err(garbled);
    }
    #[derive(Deserialize)]
    struct Refusal {
        error: Text,
    }
    match serde_json::from_slice::<Refusal>(&answer) {
        Ok(refusal) => Err(CallError::Refused { status: status.as_u16(), why: refusal.error }),
        Err(_) => Err(garbled(status)),
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), CallError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(garbled)?;
    let ask = async {
        let response = sender.send_request(request).await.map_err(garbled)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        Ok((status, body.map_err(garbled)?.to_bytes()))
    };
    // The connection ends by itself when it has delivered everything: the answer decides.
    let carry = async {
        let _ = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        answer = ask => answer,
        never = carry => never,
    }
}
