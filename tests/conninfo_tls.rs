//! TLS: the six modes, whom they trust, and by which name, against psql.
#![expect(clippy::expect_used, reason = "a test whose scene cannot be set has failed")]

use crate::support;
use crate::support::tls;
use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, time::Duration};

use crate::support::oracle::{Comparison, Given};
use crate::support::tls::openssl;
use howdah::{
    cluster::Cluster,
    resilience::{
        connect::connect,
        conninfo::{Environment, Settings},
    },
};

const MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// A cluster and an authority that issues certificates for it.
struct Scene {
    cluster: Cluster,
    home: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let cluster = support::cluster();
        cluster.psql("create role joe login").expect("made");
        cluster.psql("create database joe").expect("made");
        let scene = Self { cluster, home: tempfile::tempdir().expect("a folder") };
        scene.hba("host all all all trust");
        for authority in ["ca", "stranger"] {
            openssl(
                scene.home.path(),
                &format!(
                    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 9 \
                     -subj /CN={authority} -keyout {authority}.key -out {authority}.crt"
                ),
            );
        }
        fs::write(scene.at("garbage.crt"), "not a certificate").expect("written");
        scene
    }

    fn hba(&self, rules: &str) {
        self.cluster.write_hba(&format!("local all all trust\n{rules}\n")).expect("written");
    }

    fn at(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Issues `NAME.crt` and `NAME.key`, signed by `authority`. Without extensions openssl makes a
    /// certificate of version 1, as in PostgreSQL's documentation.
    fn issue(&self, name: &str, authority: &str, subject: &str, extensions: &str, days: &str) {
        let folder = self.home.path();
        openssl(
            folder,
            &format!(
                "req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj {subject} \
                 -keyout {name}.key -out {name}.csr"
            ),
        );
        let mut sign = format!(
            "x509 -req -in {name}.csr -CA {authority}.crt -CAkey {authority}.key -CAcreateserial \
             -days {days} -out {name}.crt"
        );
        if !extensions.is_empty() {
            fs::write(self.at("extensions"), extensions).expect("written");
            sign += " -extfile extensions";
        }
        openssl(folder, &sign);
        self.protect(&format!("{name}.key"));
    }

    fn protect(&self, name: &str) {
        let mode = fs::Permissions::from_mode(0o600);
        fs::set_permissions(self.at(name), mode).expect("mode set");
    }

    /// Has the server show that certificate.
    fn serve(&self, name: &str) {
        tls::serve(&self.cluster, self.home.path(), name);
    }

    fn compare(&self, to: &mut Comparison, name: &str, text: &str) {
        let home = self.home.path().display().to_string();
        let text = format!("port={} user=joe {text}", self.cluster.port()).replace("{home}", &home);
        to.compare(name, Given { text: &text, variables: &[], home: self.home.path() });
    }

    /// All modes, with that root certificate and host.
    fn all_modes(&self, to: &mut Comparison, name: &str, rest: &str) {
        for mode in MODES {
            self.compare(to, name, &format!("sslmode={mode} {rest}"));
        }
    }
}

#[test]
fn the_six_modes_do_what_they_do_in_libpq() {
    let scene = Scene::new();
    let mut comparison = Comparison::default();
    scene.all_modes(&mut comparison, "a server without TLS", "host=localhost");
    scene.issue("good", "ca", "/CN=ignored", "subjectAltName=DNS:localhost", "9");
    scene.serve("good");
    for host in ["localhost", "127.0.0.1"] {
        for root in ["", "ca.crt", "stranger.crt", "missing.crt", "garbage.crt"] {
            let root = if root.is_empty() {
                String::new()
            } else {
                format!("sslrootcert={{home}}/{root}")
            };
            scene.all_modes(&mut comparison, "a good server", &format!("host={host} {root}"));
        }
    }
    let root = "sslrootcert={home}/ca.crt";
    scene.all_modes(&mut comparison, "hostaddr only", &format!("hostaddr=127.0.0.1 {root}"));
    let both = format!("host=localhost hostaddr=127.0.0.1 {root} sslsni=0 sslcompression=1");
    scene.all_modes(&mut comparison, "both", &both);

    scene.hba("hostssl all all all trust");
    scene.all_modes(&mut comparison, "TLS only", "host=localhost");
    scene.hba("hostnossl all all all trust");
    scene.all_modes(&mut comparison, "no TLS", "host=localhost");
    scene.all_modes(&mut comparison, "no TLS", "host=localhost sslrootcert={home}/stranger.crt");
    scene.hba("host all all all trust");

    scene.cluster.psql("alter role joe password 'secret'").expect("set");
    scene.hba("host all all all scram-sha-256");
    for binding in ["disable", "prefer", "require"] {
        let rest = format!("host=localhost password=secret channel_binding={binding}");
        scene.all_modes(&mut comparison, "channel binding", &rest);
    }
    scene.hba("host all all all trust");

    fs::create_dir(scene.at(".postgresql")).expect("made");
    fs::copy(scene.at("ca.crt"), scene.at(".postgresql/root.crt")).expect("copied");
    scene.all_modes(&mut comparison, "right default root", "host=localhost");
    fs::copy(scene.at("stranger.crt"), scene.at(".postgresql/root.crt")).expect("copied");
    scene.all_modes(&mut comparison, "wrong default root", "host=localhost");
    comparison.verdict(126, 80);
}

#[test]
fn certificates_are_judged_as_by_libpq() {
    let scene = Scene::new();
    let mut comparison = Comparison::default();
    let served = |comparison: &mut Comparison, name: &str, root: &str| {
        scene.serve(name);
        for mode in ["require", "verify-ca", "verify-full"] {
            for host in ["localhost", "127.0.0.1"] {
                let text = format!("host={host} sslmode={mode} sslrootcert={{home}}/{root}");
                scene.compare(comparison, name, &text);
            }
        }
    };
    // Name, subject, extensions, days.
    for (name, subject, extensions, days) in [
        ("version-1", "/CN=localhost", "", "9"),
        ("version-1-other", "/CN=other", "", "9"),
        ("common-name", "/CN=localhost", "basicConstraints=CA:FALSE", "9"),
        ("address", "/CN=x", "subjectAltName=IP:127.0.0.1", "9"),
        ("address-and-common", "/CN=localhost", "subjectAltName=IP:127.0.0.1", "9"),
        ("other-alternative", "/CN=localhost", "subjectAltName=DNS:other", "9"),
        ("address-as-name", "/CN=x", "subjectAltName=DNS:127.0.0.1", "9"),
        ("address-as-common", "/CN=127.0.0.1", "basicConstraints=CA:FALSE", "9"),
        ("upper-case", "/CN=x", "subjectAltName=DNS:LOCALHOST", "9"),
        ("wildcard", "/CN=x", "subjectAltName=DNS:*.localhost", "9"),
        ("client-only", "/CN=x", "subjectAltName=DNS:localhost\nextendedKeyUsage=clientAuth", "9"),
        ("expired", "/CN=x", "subjectAltName=DNS:localhost", "-1"),
        ("expired-1", "/CN=localhost", "", "-1"),
    ] {
        scene.issue(name, "ca", subject, extensions, days);
        served(&mut comparison, name, "ca.crt");
    }
    // Signed by nobody but itself, and trusted for itself.
    openssl(
        scene.home.path(),
        "req -x509 -newkey rsa:2048 -nodes -days 9 -subj /CN=localhost -keyout own.key -out own.crt",
    );
    served(&mut comparison, "own", "own.crt");
    served(&mut comparison, "own", "ca.crt");
    // An authority in between, which the server sends along or not.
    scene.issue("between", "ca", "/CN=between", "basicConstraints=critical,CA:TRUE", "9");
    scene.issue("leaf", "between", "/CN=x", "subjectAltName=DNS:localhost", "9");
    served(&mut comparison, "leaf", "ca.crt");
    let read = |name: &str| fs::read_to_string(scene.at(name)).expect("read");
    let chain = read("leaf.crt") + &read("between.crt");
    fs::write(scene.at("leaf.crt"), chain).expect("written");
    served(&mut comparison, "leaf", "ca.crt");
    fs::write(scene.at("both.crt"), read("stranger.crt") + &read("ca.crt")).expect("written");
    served(&mut comparison, "leaf", "both.crt");
    comparison.verdict(100, 40);
}

#[test]
fn our_certificate_is_shown_as_by_libpq() {
    let scene = Scene::new();
    let mut comparison = Comparison::default();
    scene.issue("good", "ca", "/CN=x", "subjectAltName=DNS:localhost", "9");
    let folder = scene.cluster.data_dir();
    fs::copy(scene.at("ca.crt"), folder.join("clients.crt")).expect("copied");
    fs::set_permissions(folder.join("clients.crt"), fs::Permissions::from_mode(0o644))
        .expect("set");
    scene.cluster.set("ssl_ca_file", "clients.crt").expect("set");
    scene.serve("good");
    scene.hba("hostssl all all all cert");
    scene.issue("joe", "ca", "/CN=joe", "", "9");
    scene.issue("jane", "ca", "/CN=jane", "basicConstraints=CA:FALSE", "9");
    scene.issue("unknown", "stranger", "/CN=joe", "basicConstraints=CA:FALSE", "9");
    let base = "host=localhost sslmode=require";
    scene.compare(&mut comparison, "none", base);
    for (what, certificate, key) in [
        ("joe", "joe", "joe"),
        ("jane", "jane", "jane"),
        ("unknown", "unknown", "unknown"),
        ("no key", "joe", "missing"),
        ("no certificate", "missing", "joe"),
        ("another key", "joe", "jane"),
    ] {
        let text = format!("{base} sslcert={{home}}/{certificate}.crt sslkey={{home}}/{key}.key");
        scene.compare(&mut comparison, what, &text);
    }
    fs::create_dir(scene.at(".postgresql")).expect("made");
    for (from, to) in [("joe.crt", "postgresql.crt"), ("joe.key", "postgresql.key")] {
        fs::copy(scene.at(from), scene.at(&format!(".postgresql/{to}"))).expect("copied");
    }
    scene.compare(&mut comparison, "by default", base);
    for mode in [0o644, 0o640, 0o660, 0o400] {
        let key = scene.at(".postgresql/postgresql.key");
        fs::set_permissions(key, fs::Permissions::from_mode(mode)).expect("mode set");
        scene.compare(&mut comparison, &format!("key mode {mode:o}"), base);
    }
    comparison.verdict(12, 3);
}

#[test]
fn revoked_certificates_are_refused_as_by_libpq() {
    let scene = Scene::new();
    let mut comparison = Comparison::default();
    scene.issue("good", "ca", "/CN=x", "subjectAltName=DNS:localhost", "9");
    scene.issue("gone", "ca", "/CN=x", "subjectAltName=DNS:localhost", "9");
    fs::write(scene.at("index"), "").expect("written");
    fs::write(scene.at("crlnumber"), "01\n").expect("written");
    let configuration = "[ca]\ndefault_ca=d\n[d]\ndatabase=index\ncrlnumber=crlnumber\n\
        default_md=sha256\ndefault_crl_days=9\n";
    fs::write(scene.at("ca.cnf"), configuration).expect("written");
    let ca = "ca -config ca.cnf -keyfile ca.key -cert ca.crt";
    openssl(scene.home.path(), &format!("{ca} -revoke gone.crt"));
    openssl(scene.home.path(), &format!("{ca} -gencrl -out ca.crl"));
    for name in ["good", "gone"] {
        scene.serve(name);
        for crl in ["ca.crl", "missing.crl"] {
            let rest = format!("host=localhost sslrootcert={{home}}/ca.crt sslcrl={{home}}/{crl}");
            scene.all_modes(&mut comparison, name, &rest);
        }
    }
    comparison.verdict(24, 16);
}

#[tokio::test]
async fn a_statement_is_cancelled_over_tls() {
    let scene = Scene::new();
    scene.issue("good", "ca", "/CN=x", "subjectAltName=DNS:localhost", "9");
    scene.serve("good");
    let text = format!(
        "host=localhost port={} user=joe sslmode=verify-full sslrootcert={}",
        scene.cluster.port(),
        scene.at("ca.crt").display()
    );
    let settings = Settings::parse(&text, &Environment::bare()).expect("readable");
    let limit = Duration::from_secs(10);
    let connection = connect(&settings, limit).await.expect("connected");
    assert!(connection.encrypted);
    let sleep = connection.client.query_one("select pg_sleep(60)", &[]);
    let cancel = async {
        let running = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'";
        let sleeping = async || scene.cluster.psql(running).is_ok_and(|count| count == "1");
        support::eventually_async("the statement runs", limit, sleeping).await;
        connection.cancel.request(limit).await
    };
    let (slept, delivered) = tokio::join!(sleep, cancel);
    assert!(delivered);
    let code = slept.expect_err("cancelled").code().cloned();
    assert_eq!(code, Some(tokio_postgres::error::SqlState::QUERY_CANCELED));
}
