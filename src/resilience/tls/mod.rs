//! TLS as libpq does it, by rustls: `sslmode` decides what is verified, files of the user decide who is
//! trusted.
//!
//! A root certificate file that exists makes every mode check the chain; without one, only the modes
//! `verify-ca` and `verify-full` insist. Only `verify-full` compares names. Sources: PostgreSQL
//! documentation, "SSL Support", table "SSL Mode Descriptions" and the note below it.

mod files;
mod names;
mod problem;
mod verify;

use std::{convert::Infallible, sync::Arc};

use rustls::{
    ClientConfig,
    client::WebPkiServerVerifier,
    crypto::{CryptoProvider, ring},
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres_rustls::MakeRustlsConnect;

pub use self::problem::TlsProblem;
use self::verify::{Trust, Verifier};
use super::conninfo::{Place, SslMode, Tls, TlsVersion};

/// What makes TLS connections to one host.
pub(super) fn connector(tls: &Tls, place: &Place) -> Result<MakeRustlsConnect, TlsProblem> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Verifier {
        trust: trust(tls, &provider)?,
        name: match (tls.mode, place) {
            (SslMode::VerifyFull, Place::Tcp { name: Some(name), .. }) => Some(name.clone()),
            (SslMode::VerifyFull, _) => return Err(TlsProblem::NoHostName),
            _ => None,
        },
        algorithms: provider.signature_verification_algorithms,
    };
    let versions: Vec<_> = [(TlsVersion::V12, &TLS12), (TlsVersion::V13, &TLS13)]
        .into_iter()
        .filter(|(version, _)| (tls.oldest..=tls.newest).contains(version))
        .map(|(_, version)| version)
        .collect();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .map_err(|error| TlsProblem::of(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match own_certificate(tls, &provider)? {
        Some(own) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own))),
        None => builder.with_no_client_auth(),
    };
    config.enable_sni = tls.sni;
    // Servers from 17 on want to see it when TLS comes first; older ones do not mind.
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(MakeRustlsConnect::new(config))
}

/// One handshake, with `name` for SNI.
pub(super) fn handshake<S>(
    connector: &mut MakeRustlsConnect,
    name: &str,
) -> <MakeRustlsConnect as MakeTlsConnect<S>>::TlsConnect
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let made: Result<_, Infallible> = MakeTlsConnect::<S>::make_tls_connect(connector, name);
    match made {
        Ok(handshake) => handshake,
        Err(never) => match never {},
    }
}

/// Whom to trust; `None` verifies nobody.
fn trust(tls: &Tls, provider: &Arc<CryptoProvider>) -> Result<Option<Trust>, TlsProblem> {
    let Some(roots) = files::roots(&tls.roots)? else {
        return match tls.mode {
            SslMode::VerifyCa | SslMode::VerifyFull => {
                Err(TlsProblem::NoRoots(files::root_file(&tls.roots)))
            }
            _ => Ok(None),
        };
    };
    let revoked = files::revoked(tls.revoked.as_deref())?;
    let certificates = roots.certificates;
    let chain =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots.store), Arc::clone(provider))
            .with_crls(revoked)
            .build()
            .map_err(|error| TlsProblem::Other(error.to_string().into()))?;
    Ok(Some(Trust { certificates, chain }))
}

/// Our own certificate with its key, if the file is there.
fn own_certificate(
    tls: &Tls,
    provider: &CryptoProvider,
) -> Result<Option<CertifiedKey>, TlsProblem> {
    let Some(file) = tls.certificate.as_deref() else { return Ok(None) };
    let Some(chain) = files::certificates(file)? else { return Ok(None) };
    let key = files::key(tls.key.as_deref(), file)?;
    let key =
        provider.key_provider.load_private_key(key).map_err(|error| TlsProblem::of(&error))?;
    Ok(Some(CertifiedKey::new(chain, key)))
}
