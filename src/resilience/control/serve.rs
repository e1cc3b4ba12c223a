//! The application's side: answers who comes through the door.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    door::{self, Door, DoorError, Open},
    wire::{Page, Told, Wish},
};
use crate::{
    base::{secret::Secret, text::Text},
    resilience::guarded::Database,
};

/// Longest head of a request, in bytes; hyper takes no less.
const MAX_HEAD: usize = 8 * 1024;
/// Longest body of a request, in bytes.
const MAX_BODY: usize = 4 * 1024;
/// The longest that one visit may take, from the first byte to the last.
const VISIT: Duration = Duration::from_secs(5);
/// Visits at the same time; more wait before the door.
const AT_ONCE: usize = 16;

/// An open door to the breakers of these databases.
#[derive(Debug)]
pub struct Control {
    open: Open,
    room: Arc<Room>,
}

#[derive(Debug)]
struct Room {
    databases: Vec<Database>,
    token: Option<Secret>,
    door: String,
}

/// What is wrong with a request.
type Wrong = (StatusCode, String);

impl Control {
    /// Opens the door; nobody is answered before [`serve`](Self::serve).
    ///
    /// # Errors
    /// Says why it cannot be opened: see [`DoorError`].
    pub async fn open(door: &Door, databases: Vec<Database>) -> Result<Self, DoorError> {
        let names: Vec<_> = databases.iter().map(Database::name).collect();
        if let Some(twice) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name))
        {
            return Err(DoorError::Twice((*twice.1).clone()));
        }
        let token = match door {
            Door::Unix(_) => None,
            Door::Loopback(_, token) => Some(token.clone()),
        };
        let open = door::open(door).await?;
        Ok(Self { open, room: Arc::new(Room { databases, token, door: door.to_string() }) })
    }

    /// The loopback port; none for a socket file.
    pub fn port(&self) -> Option<u16> {
        match &self.open {
            Open::Unix { .. } => None,
            Open::Loopback(listener) => Some(listener.local_addr().ok()?.port()),
        }
    }

    /// Serves until the future is dropped; the socket file goes with it.
    pub async fn serve(self) {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut visits = JoinSet::new();
        tracing::info!(door = %self.room.door, "circuit breakers can be controlled");
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            while visits.try_join_next().is_some() {}
            let room = Arc::clone(&self.room);
            let accepted = match &self.open {
                Open::Unix { listener, .. } => listener.accept().await.map(|(stream, _)| {
                    visits.spawn(async move {
                        visit(stream, &room).await;
                        drop(place);
                    })
                }),
                Open::Loopback(listener) => listener.accept().await.map(|(stream, _)| {
                    visits.spawn(async move {
                        visit(stream, &room).await;
                        drop(place);
                    })
                }),
            };
            if accepted.is_err() {
                // Out of file descriptors, or gone before we looked: the next one may do.
                sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

async fn visit(stream: impl AsyncRead + AsyncWrite + Unpin + Send, room: &Room) {
    let service = service_fn(|request| async {
        Ok::<_, Infallible>(response(room, room.hear(request).await))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(VISIT)
        .max_buf_size(MAX_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // Who goes away in the middle, or speaks no HTTP, gets no more than that.
    let _ = timeout(VISIT, connection).await;
}

impl Room {
    async fn hear(&self, request: Request<Incoming>) -> Result<String, Wrong> {
        self.admit(&request)?;
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/breakers") => {
                let told = self.databases.iter().map(|db| Told::from(db.breaker().stats()));
                written(&Page { breakers: told.collect() })
            }
            (&Method::POST, "/mode") => self.set(&body(request).await?),
            (_, "/breakers" | "/mode") => {
                Err((StatusCode::METHOD_NOT_ALLOWED, "GET /breakers, or POST /mode".to_owned()))
            }
            _ => Err((StatusCode::NOT_FOUND, "there are GET /breakers and POST /mode".to_owned())),
        }
    }

    fn admit(&self, request: &Request<Incoming>) -> Result<(), Wrong> {
        let Some(token) = &self.token else { return Ok(()) };
        let shown = request.headers().get(AUTHORIZATION);
        let shown = shown.and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        if shown.is_some_and(|shown| token.is_same_as(shown)) {
            return Ok(());
        }
        Err((StatusCode::UNAUTHORIZED, "the token is missing or wrong".to_owned()))
    }

    fn set(&self, body: &[u8]) -> Result<String, Wrong> {
        let bad = |why: String| (StatusCode::BAD_REQUEST, why);
        let wish: Wish = serde_json::from_slice(body).map_err(|error| bad(error.to_string()))?;
        let lasts = wish.check().map_err(bad)?;
        let named = |db: &&Database| db.name().as_str() == wish.breaker;
        let Some(database) = self.databases.iter().find(named) else {
            let known: Vec<&str> = self.databases.iter().map(|db| db.name().as_str()).collect();
            let what = format!("no breaker is called '{}': {}", wish.breaker, known.join(", "));
            return Err((StatusCode::NOT_FOUND, what));
        };
        let breaker = database.breaker();
        let (actor, reason) = (Text::one_line(&wish.actor), Text::one_line(&wish.reason));
        breaker.set_mode(wish.mode, actor, reason, lasts);
        written(&Told::from(breaker.stats()))
    }
}

async fn body(request: Request<Incoming>) -> Result<Bytes, Wrong> {
    match Limited::new(request.into_body(), MAX_BODY).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let what = format!("the body is longer than {MAX_BODY} bytes");
            Err((StatusCode::PAYLOAD_TOO_LARGE, what))
        }
        Err(error) => Err((StatusCode::BAD_REQUEST, format!("the body broke off: {error}"))),
    }
}

fn written(answer: &impl serde::Serialize) -> Result<String, Wrong> {
    serde_json::to_string(answer)
        .map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

fn response(room: &Room, answer: Result<String, Wrong>) -> Response<Full<Bytes>> {
    let (status, body) = match answer {
        Ok(body) => (StatusCode::OK, body),
        Err((status, what)) => {
            let what = Text::one_line(&what);
            tracing::warn!(door = %room.door, status = status.as_u16(), %what, "refused at the control endpoint");
            (status, json!({ "error": what }).to_string())
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(body + "\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
