//! What a bucket's errors mean, in one sentence with a remedy.

use std::error::Error as _;

use object_store::{
    Error,
    client::{HttpError, HttpErrorKind},
};

use crate::{
    base::units,
    recover::{Fault, Kind, repository::address::Place},
    resilience::tls::TlsProblem,
};

/// No sentence of a server is quoted longer, in characters.
const QUOTE: usize = 200;

/// The fault behind an error of the client.
pub(super) fn fault(what: &str, place: &Place, error: &Error) -> Fault {
    let bucket = &place.bucket;
    let server = place.endpoint.as_deref().unwrap_or("the S3 server of its region");
    let told = |kind, why: String, remedy: &str| {
        Fault::new(kind, format!("{what}: {why}")).remedy(remedy.to_owned())
    };
    if let Some(problem) = TlsProblem::inside(error) {
        let remedy = match problem {
            TlsProblem::Untrusted => {
                "name the certificate of the authority that signed it by ca_file= in the bucket's URL"
            }
            ref problem => problem.remedy(),
        };
        return told(Kind::Config, format!("no TLS with {server}: {problem}"), remedy);
    }
    match transport(error) {
        Some(HttpErrorKind::Connect) => {
            return told(
                Kind::Unavailable,
                format!("{server} cannot be reached"),
                "check endpoint and region of the bucket's URL, the network, and that the server runs",
            );
        }
        Some(HttpErrorKind::Timeout) => {
            return told(
                Kind::Unavailable,
                format!("{server} did not answer within {}", units::span(place.timeout)),
                "it hangs or is slow; timeout= in the bucket's URL allows for more",
            );
        }
        Some(_) => {
            return told(
                Kind::Unavailable,
                format!("the connection to {server} broke"),
                "try again; if it stays, look at the server and the network between",
            );
        }
        None => {}
    }
    let said = error.to_string();
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if has(&["NoSuchBucket"]) {
        return told(
            Kind::Unavailable,
            format!("there is no bucket '{bucket}' at {server}"),
            "create it there, or mend recover.repository",
        );
    }
    if has(&["InvalidAccessKeyId", "SignatureDoesNotMatch", "NotSignedUp", "ExpiredToken"])
        || matches!(error, Error::Unauthenticated { .. })
    {
        return told(
            Kind::Config,
            format!("{server} refuses our credentials"),
            "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile",
        );
    }
    if has(&["RequestTimeTooSkewed"]) {
        return told(
            Kind::Unavailable,
            "this machine's clock differs too much from the server's".to_owned(),
            "set the clock, by NTP",
        );
    }
    if has(&["InsufficientStorage", "StorageFull", "QuotaExceeded", "507 "]) {
        return told(
            Kind::NoSpace,
            format!("the bucket '{bucket}' has no room"),
            "free some space there, or raise its quota",
        );
    }
    if matches!(error, Error::PermissionDenied { .. }) {
        return told(
            Kind::Unavailable,
            format!("we may not do that in the bucket '{bucket}'"),
            "allow s3:GetObject, PutObject, DeleteObject, ListBucket and AbortMultipartUpload",
        );
    }
    if matches!(error, Error::NotFound { .. }) {
        return Fault::new(Kind::Unavailable, format!("{what}: it is not there"));
    }
    Fault::new(Kind::Failed, format!("{what}: {}", short(&said)))
}

/// What went wrong below HTTP, if it did.
fn transport(error: &Error) -> Option<HttpErrorKind> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(http) = error.downcast_ref::<HttpError>() {
            return Some(http.kind());
        }
        source = error.source();
    }
    None
}

/// The server's own code and message, or the beginning of what it said.
fn short(said: &str) -> String {
    let tag = |name: &str| {
        let (_, rest) = said.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(inside, _)| inside.to_owned())
    };
    match (tag("Code"), tag("Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code,
        _ => said.chars().take(QUOTE).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_words_are_told_short() {
        let xml =
            "status 500: <?xml?><Error><Code>InternalError</Code><Message>Oh.</Message></Error>";
        assert_eq!(short(xml), "InternalError: Oh.");
        assert_eq!(short(&"x".repeat(1000)).len(), QUOTE);
    }
}
