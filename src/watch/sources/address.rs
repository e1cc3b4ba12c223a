//! Where a metrics endpoint is, and how we may ask it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use hyper::{Uri, header::HeaderValue};

use super::profiles::Profiles;
use crate::base::{secret::Secret, text::Text};

/// A metrics endpoint of an application.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The name that its pools and breakers refer to.
    pub name: Text,
    /// Host name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// True for `https`.
    pub tls: bool,
    /// Path and query.
    pub path: String,
    /// How we show who we are.
    pub auth: Auth,
    /// Certificate authorities to trust instead of the system's, as a PEM file.
    pub ca_file: Option<PathBuf>,
    /// How often it is asked.
    pub period: Duration,
    /// Longest wait for a connection, TLS included.
    pub connect_within: Duration,
    /// Longest wait for everything, the connection included.
    pub answer_within: Duration,
    /// Longest answer that is read, in bytes.
    pub max_bytes: usize,
    /// How its metrics are read.
    pub profiles: Arc<Profiles>,
}

/// How we show who we are.
#[derive(Clone, Debug, Default)]
pub enum Auth {
    /// Not at all.
    #[default]
    None,
    /// By user and password (RFC 7617).
    Basic(String, Secret),
    /// By a token (RFC 6750).
    Bearer(Secret),
    /// By the token in a file. It is read each time, so that it may be replaced.
    BearerFile(PathBuf),
}

/// Why a URL cannot be an endpoint. Holds nothing of the URL, which may bear a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is no URL.
    #[error("not a URL; write for example http://host:port/metrics")]
    NotAUrl,
    /// Its scheme is another.
    #[error("a metrics endpoint is read by http:// or https://")]
    Scheme,
    /// It names no host.
    #[error("the URL names no host")]
    NoHost,
    /// User or password hold an escape that is none.
    #[error("user or password of the URL are badly escaped; write special characters as %XX")]
    Escape,
}

impl Endpoint {
    /// The endpoint at that URL, with the built-in profiles, every 2 s, within 1 s for the connection and
    /// 2 s for everything, up to 8 MiB. A URL without a path means `/metrics`. User and password may
    /// stand in the URL.
    ///
    /// # Errors
    /// Says why the URL cannot be used.
    pub fn new(name: &str, url: &str) -> Result<Self, AddressError> {
        let uri: Uri = url.parse().map_err(|_| AddressError::NotAUrl)?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(_) => return Err(AddressError::Scheme),
            None => return Err(AddressError::NotAUrl),
        };
        let authority = uri.authority().ok_or(AddressError::NoHost)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(AddressError::NoHost);
        }
        let auth = match authority.as_str().rsplit_once('@') {
            None => Auth::None,
            Some((login, _)) => {
                let (user, password) = login.split_once(':').unwrap_or((login, ""));
                let read = |part| unescape(part).ok_or(AddressError::Escape);
                Auth::Basic(read(user)?, Secret::new(read(password)?))
            }
        };
        let written = url.split_once("://").is_some_and(|(_, rest)| rest.contains(['/', '?']));
        let path = match uri.path_and_query() {
            Some(path) if written => path.as_str().to_owned(),
            _ => "/metrics".to_owned(),
        };
        Ok(Self {
            name: Text::from(name),
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            tls,
            path,
            auth,
            ca_file: None,
            period: Duration::from_secs(2),
            connect_within: Duration::from_secs(1),
            answer_within: Duration::from_secs(2),
            max_bytes: 8 << 20,
            profiles: Profiles::built_in(),
        })
    }

    /// `host:port`, with brackets where IPv6 needs them.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The URL without user, password and query, which may hold secrets.
    pub fn shown(&self) -> Text {
        let scheme = if self.tls { "https" } else { "http" };
        let path = self.path.split('?').next().unwrap_or_default();
        Text::from(format!("{scheme}://{}{path}", self.authority()))
    }
}

impl Auth {
    /// The value of the `Authorization` header, marked as not to be logged.
    pub(super) async fn header(&self) -> Result<Option<HeaderValue>, AuthError> {
        let words = match self {
            Self::None => return Ok(None),
            Self::Basic(user, password) => {
                format!("Basic {}", base64(format!("{user}:{}", password.expose()).as_bytes()))
            }
            Self::Bearer(token) => format!("Bearer {}", token.expose()),
            Self::BearerFile(file) => format!("Bearer {}", token_in(file).await?.expose()),
        };
        let mut value = HeaderValue::from_str(&words).map_err(|_| AuthError::Characters)?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// Why we cannot show who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AuthError {
    /// User, password or token cannot stand in a header.
    Characters,
    /// The file of the token cannot be used.
    File { file: PathBuf, why: String },
}

/// The token in a file. Where it is may hang, which nobody else is to wait for.
async fn token_in(file: &Path) -> Result<Secret, AuthError> {
    let bad = |why: String| AuthError::File { file: file.to_owned(), why };
    let place = file.to_owned();
    match tokio::task::spawn_blocking(move || Secret::of_file(&place)).await {
        Ok(read) => read.map_err(bad),
        Err(error) => Err(bad(error.to_string())),
    }
}

/// Undoes `%XX`.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        let word = word << (8 * (3 - chunk.len()));
        for sign in 0..4 {
            let index = (word >> (18 - 6 * sign)) as usize & 63;
            out.push(if sign <= chunk.len() { SIGNS[index] as char } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str) -> Endpoint {
        Endpoint::new("app", url).expect("an endpoint")
    }

    #[test]
    fn urls_are_taken_apart() {
        let plain = endpoint("http://app-1:9100");
        assert_eq!((&*plain.host, plain.port, &*plain.path), ("app-1", 9100, "/metrics"));
        let full = endpoint("https://ann:p%40ss%3A@[::1]:8443/a/b?secret=1");
        assert_eq!((&*full.host, full.port, full.tls), ("::1", 8443, true));
        assert_eq!(full.path, "/a/b?secret=1");
        assert_eq!(full.shown().as_str(), "https://[::1]:8443/a/b");
        let Auth::Basic(user, password) = &full.auth else { panic!("{:?}", full.auth) };
        assert_eq!((&**user, password.expose()), ("ann", "p@ss:"));
        assert_eq!(endpoint("https://app/").port, 443);
        assert_eq!(endpoint("http://app/").path, "/");
        assert!(!format!("{full:?}").contains("p@ss"));
    }

    #[test]
    fn what_is_no_endpoint_is_refused_in_words() {
        for (url, error) in [
            ("", AddressError::NotAUrl),
            ("app:9100", AddressError::NotAUrl),
            ("/metrics", AddressError::NotAUrl),
            ("ftp://app/", AddressError::Scheme),
            ("http://a%2:b@app/", AddressError::Escape),
            ("http://a:%ff@app/", AddressError::Escape),
        ] {
            assert_eq!(Endpoint::new("app", url).map(|_| ()), Err(error), "{url}");
        }
    }

    #[tokio::test]
    async fn a_login_becomes_a_header_that_is_not_logged() {
        let header = async |auth: Auth| auth.header().await.expect("sound").expect("some");
        // The example of RFC 7617, section 2.
        let basic = header(Auth::Basic("Aladdin".to_owned(), Secret::new("open sesame"))).await;
        assert_eq!(basic.to_str().expect("text"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(basic.is_sensitive());
        let bearer = header(Auth::Bearer(Secret::new("abc"))).await;
        assert_eq!(bearer.to_str().expect("text"), "Bearer abc");
        assert_eq!(Auth::None.header().await, Ok(None));
        let broken = Auth::Bearer(Secret::new("a\nb")).header().await;
        assert_eq!(broken, Err(AuthError::Characters));
    }

    #[test]
    fn base64_pads_as_it_must() {
        for (raw, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v")] {
            assert_eq!(base64(raw.as_bytes()), coded);
        }
    }
}
