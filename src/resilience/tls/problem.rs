//! What can go wrong with TLS, told apart by what the person must do.

use std::{io, path::PathBuf};

use rustls::{AlertDescription, CertificateError, Error};

use crate::base::text::Text;

/// Why there is no TLS session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsProblem {
    /// The mode verifies, and there is no file of trusted certificates.
    #[error("there is no root certificate file{}", .0.as_ref().map(|file| format!(" {}", file.display())).unwrap_or_default())]
    NoRoots(Option<PathBuf>),
    /// A file that cannot be used.
    #[error("{}: {reason}", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why not.
        reason: Text,
    },
    /// `verify-full` with nothing to compare the certificate with.
    #[error("verify-full needs a host name")]
    NoHostName,
    /// No trusted authority signed the server's certificate.
    #[error("no trusted authority signed the server's certificate")]
    Untrusted,
    /// The certificate names other hosts than the one we asked for.
    #[error("the server's certificate is for {}, not for {wanted:?}", names(.presented))]
    WrongName {
        /// The host we asked for.
        wanted: Text,
        /// The names in the certificate.
        presented: Vec<Text>,
    },
    /// The certificate has expired.
    #[error("the server's certificate has expired")]
    Expired,
    /// The certificate is not valid yet.
    #[error("the server's certificate is not valid yet")]
    NotYetValid,
    /// The certificate was revoked, or it cannot be told whether it was.
    #[error("the server's certificate is revoked, or the revocation list does not cover it")]
    Revoked,
    /// Another flaw of the certificate.
    #[error("the server's certificate is not acceptable: {0}")]
    Certificate(Text),
    /// The server wants a certificate from us, or does not like ours.
    #[error("the server does not accept our certificate: {0}")]
    OurCertificate(Text),
    /// No common version or cipher.
    #[error("no TLS version or cipher in common: {0}")]
    NothingInCommon(Text),
    /// Anything else.
    #[error("{0}")]
    Other(Text),
}

fn names(presented: &[Text]) -> String {
    if presented.is_empty() {
        return "no host at all".to_owned();
    }
    presented.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}

impl TlsProblem {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NoRoots(_) => {
                "put the authority's certificate there, or name it by sslrootcert (system: the system's own)"
            }
            Self::File { .. } => "correct the file, its rights or its name",
            Self::NoHostName => "give host beside hostaddr, or use verify-ca",
            Self::Untrusted => {
                "give the certificate of the authority that signed the server's as sslrootcert"
            }
            Self::WrongName { .. } => {
                "connect by a name that is in the certificate, or have the certificate issued for this one"
            }
            Self::Expired | Self::Certificate(_) | Self::Revoked => {
                "have a new certificate issued for the server"
            }
            Self::NotYetValid => "check the clocks of both machines",
            Self::OurCertificate(_) => {
                "give a certificate that the server's ssl_ca_file accepts as sslcert and sslkey"
            }
            Self::NothingInCommon(_) => {
                "allow TLS 1.2 or 1.3 on the server (ssl_min_protocol_version)"
            }
            Self::Other(_) => "the server's log tells more",
        }
    }

    /// The TLS error below an input/output error, if there is one.
    pub(in crate::resilience) fn below(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref::<Error>().map(Self::of)
    }

    /// The TLS error somewhere below another error, if there is one.
    pub fn inside(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            let own = error.downcast_ref::<Error>().map(Self::of);
            let carried = || error.downcast_ref::<io::Error>().and_then(Self::inside_io);
            if let Some(problem) = own.or_else(carried) {
                return Some(problem);
            }
            next = error.source();
        }
        None
    }

    /// What an input/output error carries is no source of it.
    fn inside_io(error: &io::Error) -> Option<Self> {
        Self::inside(error.get_ref()?)
    }

    pub(super) fn of(error: &Error) -> Self {
        let words = || Text::one_line(&error.to_string());
        match error {
            Error::InvalidCertificate(flaw) => Self::of_certificate(flaw),
            Error::AlertReceived(alert) => match alert {
                AlertDescription::CertificateRequired
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA => Self::OurCertificate(words()),
                AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion => {
                    Self::NothingInCommon(words())
                }
                _ => Self::Other(words()),
            },
            Error::PeerIncompatible(_) => Self::NothingInCommon(words()),
            Error::Other(other) => match other.0.downcast_ref::<Self>() {
                Some(problem) => problem.clone(),
                None => Self::Other(words()),
            },
            _ => Self::Other(words()),
        }
    }

    fn of_certificate(flaw: &CertificateError) -> Self {
        match flaw {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::NotYetValid
            }
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::Untrusted,
            CertificateError::Revoked
            | CertificateError::UnknownRevocationStatus
            | CertificateError::ExpiredRevocationList
            | CertificateError::ExpiredRevocationListContext { .. } => Self::Revoked,
            CertificateError::Other(other) => match other.0.downcast_ref::<Self>() {
                Some(problem) => problem.clone(),
                None => Self::Certificate(Text::one_line(&flaw.to_string())),
            },
            _ => Self::Certificate(Text::one_line(&flaw.to_string())),
        }
    }
}

impl From<TlsProblem> for Error {
    /// Carries the problem through rustls.
    fn from(problem: TlsProblem) -> Self {
        let carried = rustls::OtherError(std::sync::Arc::new(problem));
        Self::InvalidCertificate(CertificateError::Other(carried))
    }
}
