//! Who may stand at the other end.
//!
//! rustls leaves three kinds of certificate out that OpenSSL accepts and that private authorities issue
//! all the time: a server's self-signed certificate used as its own root, certificates of version 1
//! (what `openssl x509 -req` makes, as in PostgreSQL's own documentation), and names that stand only in
//! the common name. They are handled here; everything else is left to rustls.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{
        WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
        verify_tls13_signature_with_raw_key,
    },
    pki_types::{
        CertificateDer, ServerName, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer,
        UnixTime,
    },
};
use x509_cert::{
    Certificate, Version,
    der::{Decode as _, Encode as _},
    spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned},
};

use super::{names::Names, problem::TlsProblem};
use crate::base::text::Text;

/// The authorities that count.
#[derive(Debug)]
pub(super) struct Trust {
    /// Those of the user's file.
    pub(super) certificates: Vec<CertificateDer<'static>>,
    /// Checks chains, and revocation if there are lists.
    pub(super) chain: Arc<WebPkiServerVerifier>,
}

/// One connector's idea of a good certificate.
#[derive(Debug)]
pub(super) struct Verifier {
    /// Whom to trust; `None` accepts any certificate.
    pub(super) trust: Option<Trust>,
    /// The host that the certificate must name; `None` accepts any name.
    pub(super) name: Option<String>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(trust) = &self.trust else { return Ok(ServerCertVerified::assertion()) };
        let certificate = read(end_entity)?;
        let its_own_root = trust.certificates.iter().any(|root| root == end_entity);
        if its_own_root || is_of_version_1(&certificate) {
            check_validity(&certificate, now)?;
            if !its_own_root {
                self.check_signed_by_root(&certificate, trust)?;
            }
        } else {
            let checked = trust.chain.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            );
            match checked {
                // The name is looked at last: what comes so far has a good chain.
                Ok(_)
                | Err(Error::InvalidCertificate(
                    CertificateError::NotValidForName
                    | CertificateError::NotValidForNameContext { .. },
                )) => {}
                Err(error) => return Err(error),
            }
        }
        self.check_name(&certificate)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let Some(certificate) = of_version_1(cert)? else {
            return verify_tls12_signature(message, cert, dss, &self.algorithms);
        };
        let offered = self.algorithms.mapping.iter().find(|(scheme, _)| *scheme == dss.scheme);
        let candidates = offered.map_or(&[][..], |(_, algorithms)| *algorithms);
        let key = &certificate.tbs_certificate.subject_public_key_info;
        if candidates.iter().any(|algorithm| signed(*algorithm, key, message, dss.signature())) {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(CertificateError::BadSignature.into())
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let Some(certificate) = of_version_1(cert)? else {
            return verify_tls13_signature(message, cert, dss, &self.algorithms);
        };
        let key = encoded(&certificate.tbs_certificate.subject_public_key_info)?;
        let key = SubjectPublicKeyInfoDer::from(key);
        verify_tls13_signature_with_raw_key(message, &key, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl Verifier {
    /// A certificate of version 1 says nothing about what it may be used for; it is accepted as a
    /// server's, directly below a trusted root.
    fn check_signed_by_root(&self, certificate: &Certificate, trust: &Trust) -> Result<(), Error> {
        let message = encoded(&certificate.tbs_certificate)?;
        let wanted = inner(&certificate.signature_algorithm);
        let issued = trust.certificates.iter().filter_map(|root| read(root).ok()).any(|root| {
            root.tbs_certificate.subject == certificate.tbs_certificate.issuer
                && self.algorithms.all.iter().any(|algorithm| {
                    wanted.as_deref() == Some(algorithm.signature_alg_id().as_ref())
                        && signed(
                            *algorithm,
                            &root.tbs_certificate.subject_public_key_info,
                            &message,
                            certificate.signature.raw_bytes(),
                        )
                })
        });
        if issued { Ok(()) } else { Err(CertificateError::UnknownIssuer.into()) }
    }

    fn check_name(&self, certificate: &Certificate) -> Result<(), Error> {
        let Some(wanted) = &self.name else { return Ok(()) };
        let names = Names::of(certificate);
        if names.include(wanted) {
            return Ok(());
        }
        let presented = names.all().map(Text::from).collect();
        Err(TlsProblem::WrongName { wanted: Text::foreign(wanted), presented }.into())
    }
}

fn check_validity(certificate: &Certificate, now: UnixTime) -> Result<(), Error> {
    let validity = &certificate.tbs_certificate.validity;
    if now.as_secs() < validity.not_before.to_unix_duration().as_secs() {
        Err(CertificateError::NotValidYet.into())
    } else if now.as_secs() > validity.not_after.to_unix_duration().as_secs() {
        Err(CertificateError::Expired.into())
    } else {
        Ok(())
    }
}

/// True when `signature` is `key`'s signature of `message`.
fn signed(
    algorithm: &dyn SignatureVerificationAlgorithm,
    key: &SubjectPublicKeyInfoOwned,
    message: &[u8],
    signature: &[u8],
) -> bool {
    inner(&key.algorithm).as_deref() == Some(algorithm.public_key_alg_id().as_ref())
        && algorithm
            .verify_signature(key.subject_public_key.raw_bytes(), message, signature)
            .is_ok()
}

/// An algorithm's identifier without the two bytes of tag and length, as rustls writes it.
fn inner(identifier: &AlgorithmIdentifierOwned) -> Option<Vec<u8>> {
    identifier.to_der().ok()?.get(2..).map(<[u8]>::to_vec)
}

/// The certificate, if it is of version 1, which rustls does not read.
fn of_version_1(certificate: &CertificateDer<'_>) -> Result<Option<Certificate>, Error> {
    Ok(Some(read(certificate)?).filter(is_of_version_1))
}

fn is_of_version_1(certificate: &Certificate) -> bool {
    certificate.tbs_certificate.version == Version::V1
}

fn read(certificate: &CertificateDer<'_>) -> Result<Certificate, Error> {
    Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding.into())
}

fn encoded(value: &impl x509_cert::der::Encode) -> Result<Vec<u8>, Error> {
    value.to_der().map_err(|_| CertificateError::BadEncoding.into())
}
