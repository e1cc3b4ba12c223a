//! Connection strings, variables, service files and passfiles mean to us what they mean to psql.
#![expect(clippy::expect_used, reason = "a test whose scene cannot be set has failed")]

use crate::support;
use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt as _, path::Path};

use crate::support::oracle::{Comparison, Given};
use howdah::cluster::{Cluster, Stop};

/// Trusts everybody but `guarded`, who needs a password.
const HBA: &str = "local all guarded scram-sha-256\nhost all guarded all scram-sha-256\n\
                   local all nobody reject\nlocal all all trust\nhost all all all trust\n";

const ROLES: &str = r#"create role root superuser login;
    create role joe login; create role "we ird" login; create role guarded login password 'p:w\ ''x';
    create database root; create database joe; create database "da ta"; create database "a=b";
    create database "d/x"; create database guarded;"#;

/// A connection string and variables, with `{port}`, `{closed}` (a port where nobody listens), `{dir}`
/// (the folder of the socket), `{udir}` (the same in a URL) and `{home}` filled in.
const CASES: &[(&str, &[(&str, &str)])] = &[
    // Keyword strings.
    ("host=127.0.0.1 port={port} user=joe", &[]),
    ("host=127.0.0.1 port={port} user=joe dbname=root", &[]),
    ("host = 127.0.0.1  port= {port}\n\tuser =joe", &[]),
    ("host='127.0.0.1' port='{port}' user='we ird' dbname='da ta'", &[]),
    (r"host=127.0.0.1 port={port} user=we\ ird dbname=da\ ta", &[]),
    (r"host={dir} port={port} user=j\o\e dbname='jo\e'", &[]),
    ("host={dir} port={port} user=joe dbname='a=b'", &[]),
    ("host={dir} port={port} user='joe'dbname=root", &[]),
    ("host={dir} port={port} user=joe user=root", &[]),
    ("host={dir} port={port} user='' dbname=''", &[]),
    ("host={dir} port={port} dbname=joe", &[]),
    ("host={dir} port={port} user=nobody dbname=joe", &[]),
    ("host={dir} port={port} dbname=missing", &[]),
    ("host={dir} port={port} user=missing dbname=root", &[]),
    ("host={dir} port={port} user=joe dbname='unterminated", &[]),
    ("host={dir} port={port} user", &[]),
    ("host={dir} port={port} hots=x", &[]),
    ("host={dir} port={port} =x", &[]),
    ("host={dir} port={port} USER=joe", &[]),
    ("hostaddr=127.0.0.1 port={port} user=joe", &[]),
    ("host=no.such.name.invalid hostaddr=127.0.0.1 port={port} user=joe", &[]),
    ("host=a,b hostaddr=127.0.0.1 port={port}", &[]),
    ("host=localhost port={port} user=joe", &[]),
    ("host=no.such.name.invalid port={port} user=joe", &[]),
    ("host=127.0.0.1 port={closed} user=joe", &[]),
    ("host={home} port={port} user=joe", &[]),
    // Numbers.
    ("host=127.0.0.1 port=' {port} ' user=joe", &[]),
    ("host=127.0.0.1 port={port}x user=joe", &[]),
    ("host=127.0.0.1 port=0 user=joe", &[]),
    ("host=127.0.0.1 port=65536 user=joe", &[]),
    ("host=127.0.0.1 port={port} user=joe connect_timeout=5", &[]),
    ("host=127.0.0.1 port={port} user=joe connect_timeout=' 5 '", &[]),
    ("host=127.0.0.1 port={port} user=joe connect_timeout=-1", &[]),
    ("host=127.0.0.1 port={port} user=joe connect_timeout=5s", &[]),
    ("host=127.0.0.1 port={port} user=joe keepalives=0", &[]),
    ("host=127.0.0.1 port={port} user=joe keepalives=yes", &[]),
    (
        "host=127.0.0.1 port={port} user=joe keepalives_idle=3 keepalives_interval=1 keepalives_count=2",
        &[],
    ),
    ("host=127.0.0.1 port={port} user=joe tcp_user_timeout=5000", &[]),
    ("host=127.0.0.1 port={port} user=joe tcp_user_timeout=5s", &[]),
    ("host=127.0.0.1 port={port} user=joe keepalives_count=9999999999", &[]),
    // Words.
    ("host=127.0.0.1 port={port} user=joe sslmode=disable", &[]),
    ("host=127.0.0.1 port={port} user=joe sslmode=allow", &[]),
    ("host=127.0.0.1 port={port} user=joe sslmode=prefer", &[]),
    ("host=127.0.0.1 port={port} user=joe sslmode=require", &[]),
    ("host={dir} port={port} user=joe sslmode=require", &[]),
    ("host=127.0.0.1 port={port} user=joe sslmode=Disable", &[]),
    ("host=127.0.0.1 port={port} user=joe sslmode=''", &[]),
    ("host=127.0.0.1 port={port} user=joe requiressl=1", &[]),
    ("host=127.0.0.1 port={port} user=joe requiressl=0", &[]),
    ("host=127.0.0.1 port={port} user=joe gssencmode=disable", &[]),
    ("host=127.0.0.1 port={port} user=joe gssencmode=bogus", &[]),
    ("host=127.0.0.1 port={port} user=joe channel_binding=require", &[]),
    ("host=127.0.0.1 port={port} user=joe channel_binding=bogus", &[]),
    ("host=127.0.0.1 port={port} user=joe ssl_min_protocol_version=TLSv1.3", &[]),
    ("host=127.0.0.1 port={port} user=joe ssl_min_protocol_version=tlsv1.2", &[]),
    ("host=127.0.0.1 port={port} user=joe ssl_min_protocol_version=SSLv3", &[]),
    (
        "host=127.0.0.1 port={port} user=joe ssl_min_protocol_version=TLSv1.3 ssl_max_protocol_version=TLSv1.2",
        &[],
    ),
    ("host={dir} port={port} user=joe requirepeer=postgres", &[]),
    ("host={dir} port={port} user=joe requirepeer=mallory", &[]),
    ("host=127.0.0.1 port={port} user=joe requirepeer=mallory", &[]),
    // What the session is told.
    ("host={dir} port={port} user=joe application_name=mine", &[]),
    ("host={dir} port={port} user=joe application_name=''", &[]),
    (
        "host={dir} port={port} user=joe application_name='da ta' fallback_application_name=other",
        &[],
    ),
    ("host={dir} port={port} user=joe options='-c work_mem=7MB'", &[]),
    (r"host={dir} port={port} user=joe options='-c timezone=Asia/Tokyo --work_mem=8MB'", &[]),
    ("host={dir} port={port} user=joe options='-c nonsense=1'", &[]),
    ("host={dir} port={port} user=joe client_encoding=UTF8", &[]),
    ("host={dir} port={port} user=joe client_encoding=utf-8", &[]),
    // Several hosts.
    ("host=127.0.0.1,{dir} port={closed},{port} user=joe", &[]),
    ("host={home},127.0.0.1 port={port} user=joe", &[]),
    ("host=127.0.0.1,127.0.0.1 port={closed} user=joe", &[]),
    ("host=127.0.0.1,127.0.0.1,127.0.0.1 port={closed},{port} user=joe", &[]),
    ("hostaddr=127.0.0.1,127.0.0.1 port={closed},{port} user=joe", &[]),
    ("host=no.such.name.invalid,127.0.0.1 port={port} user=joe", &[]),
    ("host=127.0.0.1,{dir} port={port} user=nobody dbname=joe", &[]),
    ("host={dir},127.0.0.1 port={port} user=nobody dbname=joe", &[]),
    ("host={dir} port={port} user=joe target_session_attrs=any", &[]),
    ("host={dir} port={port} user=joe target_session_attrs=read-write", &[]),
    ("host={dir} port={port} user=joe target_session_attrs=read-only", &[]),
    ("host={dir} port={port} user=joe target_session_attrs=primary", &[]),
    ("host={dir} port={port} user=joe target_session_attrs=standby", &[]),
    ("host={dir} port={port} user=joe target_session_attrs=prefer-standby", &[]),
    ("host={dir} port={port} user=joe target_session_attrs=slave", &[]),
    (
        "host={dir} port={port} user=joe options='-c default_transaction_read_only=on' target_session_attrs=read-write",
        &[],
    ),
    (
        "host={dir} port={port} user=joe options='-c default_transaction_read_only=on' target_session_attrs=read-only",
        &[],
    ),
    // URLs.
    ("postgresql://joe@127.0.0.1:{port}", &[]),
    ("postgres://joe@127.0.0.1:{port}/root", &[]),
    ("postgresql://we%20ird@127.0.0.1:{port}/da%20ta", &[]),
    ("postgresql://joe@127.0.0.1:{port}/d%2Fx", &[]),
    ("postgresql://joe@127.0.0.1:{port}/d/x", &[]),
    ("postgresql://joe@{udir}:{port}/joe", &[]),
    ("postgresql:///joe?host={dir}&port={port}", &[]),
    ("postgresql:///joe?host={dir}&port={port}&", &[]),
    ("postgresql:///joe?host={dir}&&port={port}", &[]),
    ("postgresql:///joe?host={dir}&port", &[]),
    ("postgresql:///joe?host={dir}&port={port}&a=b=c", &[]),
    ("postgresql:///joe?host={dir}&port={port}&nonsense=1", &[]),
    ("postgresql://?host={dir}&port={port}&user=joe&application_name=a+b%26c", &[]),
    ("postgresql://joe@127.0.0.1:{closed},127.0.0.1:{port}/joe", &[]),
    ("postgresql://joe@127.0.0.1:{port}/joe?user=root", &[]),
    ("postgresql://joe@127.0.0.1:{port}/joe?ssl=true", &[]),
    ("postgresql://joe@127.0.0.1:{port}/joe?ssl=false", &[]),
    ("postgresql://joe:secret@127.0.0.1:{port}/joe", &[]),
    ("postgresql://joe@[::1:{port}/joe", &[]),
    ("postgresql://joe@[]:{port}/joe", &[]),
    ("postgresql://joe@[127.0.0.1]:{port}/joe", &[]),
    ("postgresql://joe@[127.0.0.1]x:{port}/joe", &[]),
    ("postgresql://joe@127.0.0.1:{port}/%zz", &[]),
    ("postgresql://joe@127.0.0.1:{port}/%00", &[]),
    ("postgresql://joe@127.0.0.1:{port}/joe%", &[]),
    ("postgresql://%6aoe@127.0.0.1:{port}/", &[]),
    ("postgresql://joe@127.0.0.1:{port}x/joe", &[]),
    ("POSTGRESQL://joe@127.0.0.1:{port}/joe", &[]),
    ("postgresql://guarded:p%3Aw%5C%20'x@127.0.0.1:{port}/", &[]),
    ("postgresql://guarded:wrong@127.0.0.1:{port}/", &[]),
    // Variables.
    ("", &[("PGHOST", "127.0.0.1"), ("PGPORT", "{port}")]),
    ("joe", &[("PGHOST", "127.0.0.1"), ("PGPORT", "{port}")]),
    ("", &[("PGHOST", "{dir}"), ("PGPORT", "{port}"), ("PGUSER", "joe"), ("PGDATABASE", "da ta")]),
    ("user=joe dbname=joe", &[("PGHOST", "{dir}"), ("PGPORT", "{port}"), ("PGUSER", "root")]),
    ("user=joe", &[("PGHOSTADDR", "127.0.0.1"), ("PGPORT", "{port}")]),
    (
        "host={dir} port={port} user=joe",
        &[("PGAPPNAME", "from env"), ("PGOPTIONS", "-c work_mem=9MB")],
    ),
    ("host={dir} port={port} user=joe", &[("PGTZ", "Asia/Tokyo"), ("PGDATESTYLE", "SQL, DMY")]),
    ("host={dir} port={port} user=joe options='-c timezone=UTC'", &[("PGTZ", "Asia/Tokyo")]),
    ("host={dir} port={port} user=joe", &[("PGTZ", "default")]),
    ("host=127.0.0.1 port={port} user=joe", &[("PGSSLMODE", "require")]),
    ("host=127.0.0.1 port={port} user=joe", &[("PGREQUIRESSL", "1")]),
    ("host=127.0.0.1 port={port} user=joe", &[("PGREQUIRESSL", "1"), ("PGSSLMODE", "disable")]),
    ("host=127.0.0.1 port={port} user=joe", &[("PGSSLMODE", "bogus")]),
    ("host={dir} port={port} user=joe", &[("PGUSER", ""), ("PGDATABASE", "")]),
    ("port={port} user=joe", &[("PGHOST", "")]),
    ("host={dir} port={port} user=joe", &[("PGTARGETSESSIONATTRS", "standby")]),
    ("host={dir} port={port} user=joe", &[("PGCONNECT_TIMEOUT", "abc")]),
    ("host={dir} port={port} user=guarded", &[("PGPASSWORD", r"p:w\ 'x")]),
    ("host={dir} port={port} user=guarded", &[("PGPASSWORD", "wrong")]),
    ("host={dir} port={port} user=guarded", &[("PGPASSWORD", "")]),
    (r"host={dir} port={port} user=guarded password='p:w\\ \'x'", &[("PGPASSWORD", "wrong")]),
    // Service files.
    ("service=one", &[]),
    ("service=one user=root", &[]),
    ("service=one", &[("PGUSER", "root"), ("PGAPPNAME", "env")]),
    ("", &[("PGSERVICE", "one")]),
    ("service=one", &[("PGSERVICE", "missing")]),
    ("service=missing", &[]),
    ("service=", &[]),
    ("service=twice", &[]),
    ("service=spaces", &[]),
    ("service=nested", &[]),
    ("service=unknown", &[]),
    ("service=broken", &[]),
    ("service=empty host={dir} port={port} user=joe", &[]),
    ("service=comment", &[]),
    ("service=elsewhere", &[("PGSERVICEFILE", "{home}/other.conf")]),
    ("service=one", &[("PGSERVICEFILE", "{home}/other.conf")]),
    ("service=one", &[("PGSERVICEFILE", "{home}/missing.conf")]),
    ("service=system", &[("PGSYSCONFDIR", "{home}/system")]),
    ("service=one", &[("PGSYSCONFDIR", "{home}/system")]),
    ("postgresql:///root?service=one", &[]),
];

/// Passfiles with their mode; each is tried over the socket and over TCP, as `guarded`.
const PASSFILES: &[(&str, u32)] = &[
    (r"*:*:*:*:p\:w\\ 'x", 0o600),
    (r"*:*:*:*:p\:w\\ 'x", 0o400),
    (r"*:*:*:*:p\:w\\ 'x", 0o640),
    (r"*:*:*:*:p\:w\\ 'x", 0o604),
    (r"127.0.0.1:{port}:guarded:guarded:p\:w\\ 'x", 0o600),
    (r"{dir}:{port}:guarded:guarded:p\:w\\ 'x", 0o600),
    (r"localhost:{port}:guarded:guarded:p\:w\\ 'x", 0o600),
    (
        "# comment\n\nother:*:*:*:no\n*:1:*:*:no\n*:*:x:*:no\n*:*:*:x:no\n*:*:*:*:p\\:w\\\\ 'x\n",
        0o600,
    ),
    ("*:*:*:*:wrong\n*:*:*:*:p\\:w\\\\ 'x\n", 0o600),
    ("*:*:*:*:p\\:w\\\\ 'x\r\n", 0o600),
    ("*:*:*:*:p:w\\ 'x\n", 0o600),
    ("*:*:*:guarded", 0o600),
    (r"*:*:*:*:p\:w\\ 'x:more", 0o600),
    (r"*:*:gu\arded:*:p\:w\\ 'x", 0o600),
    (r" *:*:*:*:p\:w\\ 'x", 0o600),
    ("", 0o600),
];

fn write(path: &Path, text: &str, mode: u32) {
    let _ = fs::remove_file(path);
    fs::write(path, text).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("mode set");
}

struct Scene {
    cluster: Cluster,
    home: tempfile::TempDir,
    closed: u16,
}

impl Scene {
    fn new() -> Self {
        let cluster = support::cluster();
        for statement in ROLES.split(';').filter(|statement| !statement.trim().is_empty()) {
            cluster.psql(statement).expect("done");
        }
        cluster.write_hba(HBA).expect("written");
        let home = tempfile::tempdir().expect("a folder");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let closed = listener.local_addr().expect("an address").port();
        let scene = Self { cluster, home, closed };
        let services = "# services\n[one]\nhost={dir}\nport={port}\nuser=joe\napplication_name=service\n\n\
            [twice]\nhost={dir}\nport={port}\nuser=joe\nuser=root\n\
            [spaces]\nhost = {dir}\nport={port}\n\
            [nested]\nservice=one\n\
            [unknown]\nhost={dir}\nnonsense=1\n\
            [broken]\nhost\n\
            [empty]\n\
            [comment]\n  host={dir}  \n#port=1\n\tport={port}\nuser=joe\n";
        let one = "[elsewhere]\nhost={dir}\nport={port}\nuser=joe\ndbname=root\n";
        let system = "[system]\nhost={dir}\nport={port}\nuser=joe\ndbname=da ta\n";
        let at = |name: &str| scene.home.path().join(name);
        write(&at(".pg_service.conf"), &scene.fill(services), 0o644);
        write(&at("other.conf"), &scene.fill(one), 0o644);
        fs::create_dir(at("system")).expect("made");
        write(&at("system/pg_service.conf"), &scene.fill(system), 0o644);
        scene
    }

    fn fill(&self, text: &str) -> String {
        let dir = self.cluster.folder().display().to_string();
        text.replace("{udir}", &dir.replace('/', "%2F"))
            .replace("{dir}", &dir)
            .replace("{port}", &self.cluster.port().to_string())
            .replace("{closed}", &self.closed.to_string())
            .replace("{home}", &self.home.path().display().to_string())
    }

    fn compare(&self, to: &mut Comparison, name: &str, text: &str, variables: &[(&str, &str)]) {
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), self.fill(value))).collect();
        let given = Given { text: &self.fill(text), variables: &variables, home: self.home.path() };
        to.compare(name, given);
    }
}

#[test]
fn strings_variables_and_services_mean_what_they_mean_to_psql() {
    let scene = Scene::new();
    let mut comparison = Comparison::default();
    for (number, (text, variables)) in CASES.iter().enumerate() {
        scene.compare(&mut comparison, &format!("case {number}"), text, variables);
    }
    comparison.verdict(150, 80);
}

#[test]
fn passfiles_mean_what_they_mean_to_psql() {
    let scene = Scene::new();
    let mut comparison = Comparison::default();
    for (number, (text, mode)) in PASSFILES.iter().enumerate() {
        let name = format!("passfile {number}");
        write(&scene.home.path().join(".pgpass"), &scene.fill(text), *mode);
        for host in ["127.0.0.1", "{dir}", "localhost"] {
            let text = format!("host={host} port={{port}} user=guarded");
            scene.compare(&mut comparison, &name, &text, &[]);
        }
    }
    write(&scene.home.path().join(".pgpass"), "*:*:*:*:wrong", 0o600);
    write(&scene.home.path().join("mine"), r"*:*:*:*:p\:w\\ 'x", 0o600);
    let base = "host={dir} port={port} user=guarded";
    scene.compare(&mut comparison, "named", &format!("{base} passfile={{home}}/mine"), &[]);
    scene.compare(&mut comparison, "named", base, &[("PGPASSFILE", "{home}/mine")]);
    scene.compare(&mut comparison, "missing", base, &[("PGPASSFILE", "{home}/missing")]);
    scene.compare(&mut comparison, "a folder", base, &[("PGPASSFILE", "{home}")]);
    scene.compare(&mut comparison, "empty", base, &[("PGPASSFILE", "")]);
    scene.compare(
        &mut comparison,
        "hostaddr",
        "hostaddr=127.0.0.1 port={port} user=guarded",
        &[("PGPASSFILE", "{home}/mine")],
    );
    comparison.verdict(50, 15);
}

#[test]
fn the_wanted_kind_of_session_is_found_as_by_psql() {
    let (primary, standby) = (support::cluster(), support::cluster());
    for cluster in [&primary, &standby] {
        cluster.psql("create role root superuser login").expect("made");
        cluster.psql("create database root").expect("made");
        cluster.write_hba(HBA).expect("written");
    }
    // With that file the server stays in recovery, and answers reading questions.
    standby.stop(Stop::Fast).expect("stopped");
    fs::write(standby.data_dir().join("standby.signal"), "").expect("written");
    standby.start().expect("started");

    let home = tempfile::tempdir().expect("a folder");
    let mut comparison = Comparison::default();
    let (one, two) = (primary.port(), standby.port());
    let ports =
        [format!("{one}"), format!("{two}"), format!("{one},{two}"), format!("{two},{one}")];
    for kind in ["any", "read-write", "read-only", "primary", "standby", "prefer-standby"] {
        for port in &ports {
            let hosts = port.split(',').map(|_| "127.0.0.1").collect::<Vec<_>>().join(",");
            let text = format!("host={hosts} port={port} target_session_attrs={kind}");
            let given = Given { text: &text, variables: &[], home: home.path() };
            comparison.compare("kind", given);
        }
    }
    comparison.verdict(24, 20);
}
