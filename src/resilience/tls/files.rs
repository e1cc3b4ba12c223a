//! Certificates, keys and revocation lists as users keep them: PEM files.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use rustls::{
    RootCertStore,
    pki_types::{
        CertificateDer, CertificateRevocationListDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};

use super::problem::TlsProblem;
use crate::{base::text::Text, resilience::conninfo::Roots};

/// The authorities to trust.
pub(super) struct LoadedRoots {
    /// As they stand in the file.
    pub(super) certificates: Vec<CertificateDer<'static>>,
    /// For chains.
    pub(super) store: RootCertStore,
}

/// `None` when there is no such file.
pub(super) fn roots(from: &Roots) -> Result<Option<LoadedRoots>, TlsProblem> {
    let mut store = RootCertStore::empty();
    let certificates = match from {
        Roots::None => return Ok(None),
        Roots::System => {
            let loaded = rustls_native_certs::load_native_certs();
            if loaded.certs.is_empty() {
                let reason = loaded.errors.first().map(ToString::to_string).unwrap_or_default();
                return Err(TlsProblem::Other(
                    format!("the system trusts no authority {reason}").into(),
                ));
            }
            // Authorities of the system are not servers: no certificate is trusted for itself.
            store.add_parsable_certificates(loaded.certs);
            Vec::new()
        }
        Roots::File(file) => {
            let Some(certificates) = certificates(file)? else { return Ok(None) };
            if certificates.is_empty() {
                return Err(wrong(file, "there is no certificate in it"));
            }
            store.add_parsable_certificates(certificates.iter().cloned());
            certificates
        }
    };
    if store.is_empty() {
        let file = root_file(from).unwrap_or_default();
        return Err(wrong(&file, "there is no usable certificate in it"));
    }
    Ok(Some(LoadedRoots { certificates, store }))
}

/// The file that roots come from.
pub(super) fn root_file(from: &Roots) -> Option<PathBuf> {
    match from {
        Roots::File(file) => Some(file.clone()),
        Roots::System | Roots::None => None,
    }
}

/// The certificates in a file; `None` when there is no such file.
pub(super) fn certificates(
    file: &Path,
) -> Result<Option<Vec<CertificateDer<'static>>>, TlsProblem> {
    read(file)?.map(|bytes| all(file, &bytes)).transpose()
}

/// The revocation lists in a file, if there is one.
pub(super) fn revoked(
    file: Option<&Path>,
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsProblem> {
    let Some(file) = file else { return Ok(Vec::new()) };
    read(file)?.map_or_else(|| Ok(Vec::new()), |bytes| all(file, &bytes))
}

/// Our private key. As in libpq, nobody else may read it: 0600 when it is ours, 0640 when it is root's.
pub(super) fn key(
    file: Option<&Path>,
    certificate: &Path,
) -> Result<PrivateKeyDer<'static>, TlsProblem> {
    let missing = || wrong(certificate, "there is no private key to this certificate (sslkey)");
    let file = file.ok_or_else(missing)?;
    let bytes = read(file)?.ok_or_else(missing)?;
    if others_may_read(file) {
        return Err(wrong(file, "others may read this private key; chmod 0600 it"));
    }
    if bytes.windows(9).any(|word| word == b"ENCRYPTED") {
        return Err(wrong(file, "this private key is encrypted, which is not supported"));
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| wrong(file, &error.to_string()))
}

#[cfg(unix)]
fn others_may_read(file: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(file).is_ok_and(|metadata| {
        let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
        metadata.mode() & forbidden != 0
    })
}

#[cfg(not(unix))]
fn others_may_read(_: &Path) -> bool {
    false
}

fn all<T: PemObject>(file: &Path, bytes: &[u8]) -> Result<Vec<T>, TlsProblem> {
    T::pem_slice_iter(bytes)
        .collect::<Result<_, pem::Error>>()
        .map_err(|error| wrong(file, &error.to_string()))
}

fn read(file: &Path) -> Result<Option<Vec<u8>>, TlsProblem> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(wrong(file, &error.to_string())),
    }
}

fn wrong(file: &Path, reason: &str) -> TlsProblem {
    TlsProblem::File { file: file.to_owned(), reason: Text::foreign(reason) }
}
