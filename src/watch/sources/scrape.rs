//! Questions to a metrics endpoint, each bounded in time and in size, over one connection while both sides keep it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header::{
        ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap,
        HeaderName, LOCATION, USER_AGENT,
    },
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::address::{AuthError, Endpoint};
use crate::{
    base::{text::Text, units},
    watch::snapshot::Problem,
};

/// Longest head of an answer.
const MAX_HEAD: usize = 64 * 1024;

/// The answer of an endpoint.
#[derive(Clone, Debug)]
pub struct Scraped {
    /// The exposition.
    pub body: Vec<u8>,
    /// True when the endpoint says that it is OpenMetrics, which must end in `# EOF`.
    pub open_metrics: bool,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScrapeError {
    /// The host has no address.
    #[error("the host name has no address: {0}")]
    NoAddress(String),
    /// Nothing listens there.
    #[error("connection refused")]
    Refused,
    /// The connection failed otherwise.
    #[error("cannot connect: {0}")]
    Unreachable(String),
    /// No connection in time.
    #[error("no connection within {}", units::span(*.0))]
    ConnectTimeout(Duration),
    /// TLS failed.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// The file of certificate authorities cannot be used.
    #[error("cannot use the CA file {}: {why}", file.display())]
    CaFile {
        /// Its path.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// The file of the token cannot be used.
    #[error("cannot use the token file {}: {why}", file.display())]
    TokenFile {
        /// Its path.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// User, password or token cannot stand in a header.
    #[error("user, password or token hold characters that HTTP does not allow")]
    Auth,
    /// The other side does not speak HTTP.
    #[error("does not speak HTTP: {0}")]
    NotHttp(String),
    /// Connected, but no answer began in time.
    #[error("connected, but no answer within {}", units::span(*.0))]
    NoAnswer(Duration),
    /// The answer was not complete in time.
    #[error("the answer was not complete within {} ({} came)", units::span(*.after), units::bytes(*.got as u64))]
    Slow {
        /// The deadline.
        after: Duration,
        /// Bytes of the answer until then.
        got: usize,
    },
    /// The connection ended before the answer did.
    #[error("the connection broke in the middle of the answer ({} came)", units::bytes(*.0 as u64))]
    Broken(usize),
    /// The answer is too large.
    #[error("the answer is larger than {}", units::bytes(*.0 as u64))]
    TooLarge(usize),
    /// The answer is compressed, which we did not ask for.
    #[error("the answer is compressed ({0}), although we did not ask for that")]
    Compressed(String),
    /// It sends us elsewhere.
    #[error("redirects to {0}")]
    Redirect(String),
    /// It answers with something else than 200.
    #[error("answers {0}")]
    Status(StatusCode),
}

impl From<AuthError> for ScrapeError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Characters => Self::Auth,
            AuthError::File { file, why } => Self::TokenFile { file, why },
        }
    }
}

impl ScrapeError {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NoAddress(_) => "Check the host name of the endpoint, and DNS from here.",
            Self::Refused => "Is the application running? Check it, and the port of the endpoint.",
            Self::Unreachable(_) | Self::ConnectTimeout(_) => {
                "Check that the host is up and that no firewall stands between here and there."
            }
            Self::Tls(_) => "Check http against https, the certificate and its names, and ca_file.",
            Self::CaFile { .. } => {
                "Point ca_file to a readable PEM file with at least one certificate."
            }
            Self::TokenFile { .. } => {
                "Point token_file to a file with the token alone, readable by you only (0600)."
            }
            Self::Auth => "Correct the credentials of the endpoint in the configuration.",
            Self::NotHttp(_) => {
                "Check the port: something else than a metrics endpoint listens there."
            }
            Self::NoAnswer(_) => {
                "The application hangs or is overloaded: look at it before you trust its last figures."
            }
            Self::Slow { .. } => {
                "The application is overloaded, or exports too much: raise the timeout."
            }
            Self::Broken(_) => "The application died or dropped the connection: look at its log.",
            Self::TooLarge(_) => {
                "Check the URL; if it is right, point to a smaller set of metrics or raise max_bytes."
            }
            Self::Compressed(_) => "Switch off forced compression at the endpoint or its proxy.",
            Self::Redirect(_) => {
                "Redirects are not followed: put the final URL into the configuration."
            }
            Self::Status(status) => match status.as_u16() {
                401 | 403 => "Check the credentials of the endpoint in the configuration.",
                404 => "Check the path of the endpoint; Spring Boot's is /actuator/prometheus.",
                _ => "Look at the application's log.",
            },
        }
    }

    /// The same in words for the person on call.
    pub fn problem(&self, endpoint: &Endpoint) -> Problem {
        Problem {
            what: Text::from(format!("{}: {self}", endpoint.shown())),
            remedy: Text::ours(self.remedy()),
        }
    }
}

/// Who asks one endpoint. A connection for each question would cost both sides more than the question.
#[derive(Debug)]
pub struct Scraper {
    endpoint: Arc<Endpoint>,
    /// The connection over which the last answer came, whole.
    kept: Option<Line>,
}

impl Scraper {
    /// Asks that endpoint; nothing is connected yet.
    pub const fn new(endpoint: Arc<Endpoint>) -> Self {
        Self { endpoint, kept: None }
    }

    /// Asks once. Waits no longer than the endpoint's deadlines and keeps no more than its limit.
    ///
    /// # Errors
    /// Says what went wrong.
    pub async fn scrape(&mut self) -> Result<Scraped, ScrapeError> {
        let (endpoint, kept) = (Arc::clone(&self.endpoint), self.kept.take());
        let progress = Progress::default();
        let work = converse(&endpoint, kept, &progress);
        let answer = timeout(endpoint.answer_within, work).await.unwrap_or_else(|_| {
            let after = endpoint.answer_within;
            Err(match (progress.connected.load(Ordering::Relaxed), progress.got()) {
                (0, _) => ScrapeError::ConnectTimeout(after),
                (_, 0) => ScrapeError::NoAnswer(after),
                (_, got) => ScrapeError::Slow { after, got },
            })
        });
        answer.map(|(scraped, line)| {
            self.kept = Some(line);
            scraped
        })
    }
}

/// A connection that speaks HTTP.
#[derive(Debug)]
struct Line {
    sender: SendRequest<Empty<Bytes>>,
    /// What carries its bytes; it ends with the line.
    _carrier: JoinSet<()>,
}

impl Line {
    async fn open(endpoint: &Endpoint) -> Result<Self, ScrapeError> {
        let stream = timeout(endpoint.connect_within, connect(endpoint)).await;
        let stream = stream.map_err(|_| ScrapeError::ConnectTimeout(endpoint.connect_within))??;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| not_http(&error))?;
        let mut carrier = JoinSet::new();
        carrier.spawn(async move {
            // The answer, or its absence, tells what became of it.
            let _ = connection.await;
        });
        Ok(Self { sender, _carrier: carrier })
    }

    async fn ask(
        &mut self,
        request: Request<Empty<Bytes>>,
        max_bytes: usize,
        progress: &Progress,
    ) -> Result<Scraped, ScrapeError> {
        let response = self.sender.send_request(request).await.map_err(|error| not_http(&error))?;
        check(&response)?;
        read(response, max_bytes, progress).await
    }
}

/// Bytes that are no HTTP are one thing, a connection that ends or breaks another.
fn not_http(error: &hyper::Error) -> ScrapeError {
    if error.is_parse() || error.is_parse_too_large() {
        ScrapeError::NotHttp(error.to_string())
    } else {
        ScrapeError::Broken(0)
    }
}

/// Asks over the kept line, or over a new one.
async fn converse(
    endpoint: &Endpoint,
    kept: Option<Line>,
    progress: &Progress,
) -> Result<(Scraped, Line), ScrapeError> {
    let request = request(endpoint).await?;
    let connected = &progress.connected;
    if let Some(mut line) = kept
        && line.sender.ready().await.is_ok()
    {
        connected.store(1, Ordering::Relaxed);
        match line.ask(request.clone(), endpoint.max_bytes, progress).await {
            // The other side closed it while nothing was asked, as servers do with idle connections.
            Err(ScrapeError::Broken(0)) => connected.store(0, Ordering::Relaxed),
            answer => return answer.map(|scraped| (scraped, line)),
        }
    }
    let mut line = Line::open(endpoint).await?;
    connected.store(1, Ordering::Relaxed);
    let scraped = line.ask(request, endpoint.max_bytes, progress).await?;
    Ok((scraped, line))
}

/// How far a scrape came, for the words of its failure.
#[derive(Debug, Default)]
struct Progress {
    connected: AtomicUsize,
    bytes: AtomicUsize,
}

impl Progress {
    fn got(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// A connection, encrypted or not.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn connect(endpoint: &Endpoint) -> Result<Box<dyn Stream>, ScrapeError> {
    let addresses = lookup_host((&*endpoint.host, endpoint.port)).await;
    let addresses: Vec<_> =
        addresses.map_err(|error| ScrapeError::NoAddress(error.to_string()))?.collect();
    let tcp = TcpStream::connect(&*addresses).await.map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => ScrapeError::Refused,
        _ => ScrapeError::Unreachable(error.to_string()),
    })?;
    if !endpoint.tls {
        return Ok(Box::new(tcp));
    }
    let config = trust(endpoint.ca_file.clone()).await?;
    let name = ServerName::try_from(endpoint.host.clone());
    let name = name.map_err(|error| ScrapeError::Tls(error.to_string()))?;
    let tls = TlsConnector::from(config).connect(name, tcp).await;
    Ok(Box::new(tls.map_err(|error| ScrapeError::Tls(error.to_string()))?))
}

/// The TLS settings. The system's authorities are read once; a file of one's own each time, so that it
/// may be replaced.
async fn trust(ca_file: Option<PathBuf>) -> Result<Arc<ClientConfig>, ScrapeError> {
    static SYSTEM: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let read = move || {
        if let Some(file) = ca_file {
            return tls_config(certificates(&file)?);
        }
        if let Some(system) = SYSTEM.get() {
            return Ok(Arc::clone(system));
        }
        let system = tls_config(rustls_native_certs::load_native_certs().certs)?;
        Ok(Arc::clone(SYSTEM.get_or_init(|| system)))
    };
    let done = tokio::task::spawn_blocking(read).await;
    done.unwrap_or_else(|error| Err(ScrapeError::Tls(error.to_string())))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, ScrapeError> {
    let bad = |why: String| ScrapeError::CaFile { file: file.to_owned(), why };
    let found = CertificateDer::pem_file_iter(file).map_err(|error| bad(error.to_string()))?;
    let found: Result<Vec<_>, _> = found.collect();
    match found {
        Ok(found) if found.is_empty() => Err(bad("it holds no certificate".to_owned())),
        Ok(found) => Ok(found),
        Err(error) => Err(bad(error.to_string())),
    }
}

fn tls_config(roots: Vec<CertificateDer<'static>>) -> Result<Arc<ClientConfig>, ScrapeError> {
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(roots);
    if added == 0 {
        return Err(ScrapeError::Tls("there are no certificate authorities to trust".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ScrapeError::Tls(error.to_string()))?;
    Ok(Arc::new(config.with_root_certificates(store).with_no_client_auth()))
}

async fn request(endpoint: &Endpoint) -> Result<Request<Empty<Bytes>>, ScrapeError> {
    let mut request = Request::get(&*endpoint.path)
        .header(HOST, endpoint.authority())
        .header(USER_AGENT, concat!("howdah/", env!("CARGO_PKG_VERSION")))
        .header(
            ACCEPT,
            "text/plain;version=0.0.4,application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1",
        )
        .header(ACCEPT_ENCODING, "identity");
    if let Some(value) = endpoint.auth.header().await? {
        request = request.header(AUTHORIZATION, value);
    }
    request.body(Empty::new()).map_err(|error| ScrapeError::NotHttp(error.to_string()))
}

/// A header as clean text.
fn header(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let value = headers.get(name)?;
    Some(Text::foreign(&String::from_utf8_lossy(value.as_bytes())).to_string())
}

fn check(response: &Response<Incoming>) -> Result<(), ScrapeError> {
    let status = response.status();
    if status.is_redirection() {
        let target = header(response.headers(), LOCATION);
        return Err(ScrapeError::Redirect(target.unwrap_or_else(|| "nowhere".to_owned())));
    }
    if status != StatusCode::OK {
        return Err(ScrapeError::Status(status));
    }
    match header(response.headers(), CONTENT_ENCODING) {
        Some(coding) if coding != "identity" => Err(ScrapeError::Compressed(coding)),
        _ => Ok(()),
    }
}

/// Reads the body. What the endpoint says about its type does not matter as long as it can be read.
async fn read(
    response: Response<Incoming>,
    max_bytes: usize,
    progress: &Progress,
) -> Result<Scraped, ScrapeError> {
    let kind = header(response.headers(), CONTENT_TYPE);
    let open_metrics = kind.is_some_and(|kind| kind.starts_with("application/openmetrics-text"));
    let mut frames = response.into_body();
    let mut body = Vec::new();
    while let Some(frame) = frames.frame().await {
        let frame = frame.map_err(|_| ScrapeError::Broken(body.len()))?;
        let Ok(data) = frame.into_data() else { continue };
        if body.len() + data.len() > max_bytes {
            return Err(ScrapeError::TooLarge(max_bytes));
        }
        body.extend_from_slice(&data);
        progress.bytes.store(body.len(), Ordering::Relaxed);
    }
    Ok(Scraped { body, open_metrics })
}
