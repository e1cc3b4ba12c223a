//! Does a certificate name the host we asked for? libpq's rules: alternative names of the host's kind
//! count, with a wildcard for one whole label; only without any of them the common name does. Private
//! authorities still issue certificates with nothing but a common name.

use std::net::IpAddr;

use x509_cert::{
    Certificate,
    der::oid::{AssociatedOid, ObjectIdentifier, db::rfc4519::COMMON_NAME},
    ext::pkix::{SubjectAltName, name::GeneralName},
};

/// The names that a certificate stands for.
pub(super) struct Names {
    hosts: Vec<String>,
    addresses: Vec<IpAddr>,
    common: Option<String>,
}

impl Names {
    pub(super) fn of(certificate: &Certificate) -> Self {
        let mut names = Self {
            hosts: Vec::new(),
            addresses: Vec::new(),
            common: attribute(certificate, COMMON_NAME),
        };
        for name in alternatives(certificate) {
            match name {
                GeneralName::DnsName(name) => names.hosts.push(name.as_str().to_owned()),
                GeneralName::IpAddress(bytes) => names.addresses.extend(address(bytes.as_bytes())),
                _ => {}
            }
        }
        names
    }

    pub(super) fn include(&self, host: &str) -> bool {
        let asked: Option<IpAddr> = host.parse().ok();
        if self.hosts.iter().any(|name| matches(name, host))
            || asked.is_some_and(|asked| self.addresses.contains(&asked))
        {
            return true;
        }
        let same_kind =
            if asked.is_some() { !self.addresses.is_empty() } else { !self.hosts.is_empty() };
        !same_kind && self.common.as_deref().is_some_and(|name| matches(name, host))
    }

    /// All of them, to show.
    pub(super) fn all(&self) -> impl Iterator<Item = String> {
        let addresses = self.addresses.iter().map(ToString::to_string);
        let mut all: Vec<_> = self.hosts.iter().cloned().chain(addresses).collect();
        if all.is_empty() {
            all.extend(self.common.clone());
        }
        all.into_iter()
    }
}

fn alternatives(certificate: &Certificate) -> Vec<GeneralName> {
    use x509_cert::der::Decode as _;
    let extensions = certificate.tbs_certificate.extensions.iter().flatten();
    extensions
        .filter(|extension| extension.extn_id == SubjectAltName::OID)
        .filter_map(|extension| SubjectAltName::from_der(extension.extn_value.as_bytes()).ok())
        .flat_map(|names| names.0)
        .collect()
}

/// The first attribute of that kind in the subject.
fn attribute(certificate: &Certificate, kind: ObjectIdentifier) -> Option<String> {
    let parts = certificate.tbs_certificate.subject.0.iter();
    let attribute = parts.flat_map(|part| part.0.iter()).find(|part| part.oid == kind)?;
    let value = std::str::from_utf8(attribute.value.value()).ok()?;
    // A NUL in a name has fooled verifiers before.
    (!value.contains('\0')).then(|| value.to_owned())
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

/// `*.example.org` stands for one label in front of `.example.org`, no more.
fn matches(name: &str, host: &str) -> bool {
    let (name, host) = (name.to_ascii_lowercase(), host.to_ascii_lowercase());
    match name.strip_prefix('*') {
        Some(tail) if tail.starts_with('.') && tail.len() > 1 => {
            host.strip_suffix(tail).is_some_and(|label| !label.is_empty() && !label.contains('.'))
        }
        _ => name == host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(hosts: &[&str], addresses: &[&str], common: Option<&str>) -> Names {
        Names {
            hosts: hosts.iter().map(ToString::to_string).collect(),
            addresses: addresses.iter().map(|address| address.parse().expect("address")).collect(),
            common: common.map(str::to_owned),
        }
    }

    #[test]
    fn a_wildcard_is_one_label() {
        assert!(matches("*.example.org", "DB.example.org"));
        assert!(!matches("*.example.org", "a.b.example.org"));
        assert!(!matches("*.example.org", "example.org"));
        assert!(!matches("*.example.org", ".example.org"));
        assert!(!matches("*", "db"));
        assert!(!matches("d*.example.org", "db.example.org"));
    }

    #[test]
    fn the_common_name_counts_only_without_alternatives_of_its_kind() {
        assert!(names(&[], &[], Some("db")).include("db"));
        assert!(!names(&["other"], &[], Some("db")).include("db"));
        assert!(names(&[], &["10.0.0.1"], Some("db")).include("db"));
        assert!(names(&["db"], &[], Some("10.0.0.1")).include("10.0.0.1"));
        assert!(!names(&["db"], &["10.0.0.2"], Some("10.0.0.1")).include("10.0.0.1"));
        assert!(names(&[], &["::1"], None).include("0:0:0:0:0:0:0:1"));
        assert!(!names(&[], &[], None).include("db"));
    }
}
