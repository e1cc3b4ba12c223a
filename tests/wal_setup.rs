//! A server is set up to archive, a canary shows that it does, and everything can be taken back.

#![expect(clippy::expect_used, reason = "clippy sees tests only in test functions")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

use crate::support::archived::{Archived, HOWDAH, NAME, told};
use age::secrecy::ExposeSecret as _;
use howdah::{
    cluster::{Via, folder::command},
    guide::{facts, library},
    recover::wal::WalFile,
};
use serde_json::Value;

/// A server that does not archive yet.
fn untouched() -> Archived {
    Archived::start(&[
        ("archive_mode", "off"),
        ("archive_command", ""),
        ("wal_level", "minimal"),
        ("max_wal_senders", "0"),
    ])
}

/// A call of `howdah wal` by the server's account.
struct Call<'a> {
    cluster: &'a Archived,
    user: &'a str,
}

impl Call<'_> {
    fn run(&self, words: &[&str]) -> (i32, String) {
        told(&self.command(words).output().expect("ran"))
    }

    fn command(&self, words: &[&str]) -> Command {
        let cluster = self.cluster;
        let folder = cluster.folder();
        let mut command = command(Path::new(HOWDAH), cluster.account(), folder);
        let target = cluster.conninfo(Via::Unix).replace("user=postgres", "");
        command
            .arg("wal")
            .args(words)
            .args(["--target", &format!("{target} user={}", self.user)])
            .args(["--name", NAME, "--repository"])
            .arg(cluster.repo())
            .env("PGPASSWORD", cluster.password().expose())
            .env("HOME", folder)
            .env("XDG_STATE_HOME", folder.join("state"));
        command
    }

    fn json(&self, words: &[&str]) -> (i32, Value) {
        let output: Output = self.command(words).arg("--json").output().expect("ran");
        let said = String::from_utf8_lossy(&output.stdout);
        let messages = String::from_utf8_lossy(&output.stderr);
        let value = serde_json::from_str(&said);
        assert!(value.is_ok(), "{said}{messages}");
        (output.status.code().expect("ended"), value.expect("JSON"))
    }
}

fn call(cluster: &Archived) -> Call<'_> {
    Call { cluster, user: "postgres" }
}

fn written(cluster: &Archived) -> String {
    cluster
        .psql(
            "SELECT string_agg(name || '=' || setting, ',' ORDER BY name) FROM pg_file_settings \
             WHERE sourcefile LIKE '%/postgresql.auto.conf'",
        )
        .expect("asked")
        .trim()
        .to_owned()
}

const APPLY: [&str; 4] = ["--apply", "--confirm", NAME, "--json"];

#[test]
fn a_server_is_set_up_proves_it_and_is_put_back_precisely() {
    let cluster = untouched();
    let call = call(&cluster);
    cluster.set("archive_timeout", "1h").expect("set");
    cluster.psql("ALTER SYSTEM SET archive_timeout = '2h'").expect("set");
    cluster.psql("SELECT pg_reload_conf()").expect("told");
    let before = written(&cluster);

    // The plan touches nothing.
    let (code, said) = call.run(&["setup"]);
    assert_eq!(code, 0, "{said}");
    for word in [
        "wal_level, by a restart",
        "archive_mode, by a restart",
        "archive_command, by a reload",
        "archive_timeout, by a reload",
        "now    7200",
        "then   450",
        "its mode is 0700",
        "Nothing was touched",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert!(!said.contains("BAD"), "{said}");
    assert_eq!(written(&cluster), before);
    assert_eq!(fs::read_dir(cluster.repo()).expect("listed").count(), 0, "the trial left nothing");

    // Not without the name.
    assert_eq!(call.run(&["setup", "--apply"]).0, 64);
    assert_eq!(call.run(&["setup", "--apply", "--confirm", "other"]).0, 77);
    assert_eq!(written(&cluster), before);

    let (code, said) =
        call.run(&["setup", "--apply", "--confirm", NAME, "--reason", "the audit says so"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("pg_ctl restart -D") && said.contains("--undo"), "{said}");
    let on = |name: &str| cluster.psql(&format!("SHOW {name}")).expect("asked").trim().to_owned();
    assert_eq!((on("archive_timeout"), on("archive_mode")), ("450s".into(), "off".into()));
    let acts = Command::new(HOWDAH)
        .args(["ledger", "show", "--json"])
        .env("XDG_STATE_HOME", cluster.folder().join("state"))
        .env("HOME", cluster.folder())
        .output()
        .expect("ran");
    let acts = String::from_utf8_lossy(&acts.stdout).into_owned();
    for setting in ["wal_level", "archive_mode", "archive_command", "archive_timeout"] {
        let of = acts.lines().filter(|line| line.contains("wal.setup") && line.contains(setting));
        assert!(of.count() >= 1, "{setting}: {acts}");
    }
    assert!(acts.contains("the audit says so"), "{acts}");

    // It waits for the restart, and says so; then WAL arrives.
    let (code, said) = call.run(&["canary"]);
    assert!(code == 77 && said.contains("archive_mode is off"), "{code}: {said}");
    let (code, said) = call.run(&["setup"]);
    assert!(code == 0 && said.contains("waits for a restart"), "{code}: {said}");
    cluster.restart().expect("restarted");
    let (code, canary) = call.json(&["canary"]);
    assert_eq!(code, 0, "{canary}");
    assert_eq!(canary["witness"], "server", "{canary}");
    assert_eq!(canary["rpo_kept"], true, "{canary}");
    let latency = canary["latency_seconds"].as_f64().expect("measured");
    assert!(latency > 0.0 && latency < 60.0, "{canary}");
    let (code, said) = call.run(&["setup"]);
    assert!(code == 0 && said.contains("Nothing is to be changed"), "{code}: {said}");

    // Somebody has another opinion meanwhile.
    cluster.psql("ALTER SYSTEM SET archive_timeout = '7'").expect("set");
    let (code, said) = call.run(&["setup", "--undo", "--apply", "--confirm", NAME]);
    assert!(code == 77 && said.contains("archive_timeout is '7'"), "{code}: {said}");
    cluster.psql("ALTER SYSTEM SET archive_timeout = '450'").expect("set");
    cluster.psql("SELECT pg_reload_conf()").expect("told");
    let (code, said) = call.run(&["setup", "--undo"]);
    assert!(code == 0 && said.contains("RESET wal_level"), "{code}: {said}");
    let (code, said) = call.run(&[&["setup", "--undo"], &APPLY[..3]].concat());
    assert_eq!(code, 0, "{said}");
    assert_eq!(written(&cluster), before);
    cluster.wait("the old timeout", || on("archive_timeout") == "2h");
    let (code, said) = call.run(&["setup", "--undo"]);
    assert!(code == 77 && said.contains("no set-up"), "{code}: {said}");
}

#[test]
fn what_the_servers_account_cannot_do_is_refused_beforehand() {
    let cluster = untouched();
    let call = call(&cluster);
    let before = written(&cluster);
    let refused = |words: &[&str], expected: &str| {
        let (code, said) = call.run(&[&["setup"], words].concat());
        assert!(code == 77 && said.contains(expected), "{expected}: {code}: {said}");
        let (code, said) = call.run(&[&["setup"], words, &APPLY[..3]].concat());
        assert_eq!(code, 77, "{expected}: {said}");
        assert_eq!(written(&cluster), before, "{expected}");
    };

    refused(&["--program", "/nowhere/howdah"], "cannot run '/nowhere/howdah wal trial");

    let mode = |path: &Path, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("changed");
    };
    // The repository: not for this account. Root may write anywhere; the server never is root.
    mode(&cluster.repo(), 0o500);
    refused(&[], "BAD      repository");
    mode(&cluster.repo(), 0o700);

    // Runs on, and would not start again.
    mode(&cluster.data_dir(), 0o755);
    refused(&[], "its mode is 0755");
    is_stopped(&call, "its mode is 0755");
    mode(&cluster.data_dir(), 0o700);

    let conf = cluster.data_dir().join("howdah.conf");
    let sound = fs::read_to_string(&conf).expect("read");
    fs::write(&conf, format!("{sound}\nmax_connections = many\n")).expect("written");
    refused(&[], "it would fail");
    is_stopped(&call, "it would fail");
    fs::write(&conf, format!("{sound}\nno_such_thing = 1\n")).expect("written");
    refused(&[], "unrecognized configuration parameter");
    fs::write(&conf, sound).expect("written");

    // Two clusters under one name.
    let claim = cluster.repo().join(NAME);
    fs::create_dir(&claim).expect("made");
    let text = r#"{"name":"prod","system_identifier":"42","version":150000,"since":"2026-01-01T00:00:00Z"}"#;
    fs::write(claim.join("target.json"), text).expect("written");
    cluster.give(&claim);
    refused(&[], "it is the cluster 42's");
    fs::remove_dir_all(&claim).expect("removed");

    // A role without the privileges: each that it lacks is named.
    cluster.psql("CREATE ROLE plain LOGIN PASSWORD 'pw'").expect("made");
    let plain = |words: &[&str]| {
        let output = Call { cluster: &cluster, user: "plain" }
            .command(words)
            .env("PGPASSWORD", "pw")
            .output()
            .expect("ran");
        told(&output)
    };
    let (code, said) = plain(&["setup"]);
    assert!(code == 77 && said.contains("GRANT pg_read_all_settings"), "{code}: {said}");
    cluster.psql("GRANT pg_monitor TO plain").expect("granted");
    let (code, said) = plain(&["setup"]);
    let names = ["GRANT pg_execute_server_program", "GRANT ALTER SYSTEM ON PARAMETER archive_mode"];
    assert!(code == 77 && names.iter().all(|name| said.contains(name)), "{code}: {said}");

    let (code, said) = call.run(&["setup"]);
    assert!(code == 0 && !said.contains("BAD"), "{code}: {said}");
}

/// The pages of the guide before the change and before the restart judge the next start by `postgres -C` and the
/// folder's mode: neither can be taken while it would fail.
fn is_stopped(call: &Call<'_>, why: &str) {
    let guide = library::guide(Path::new("/nowhere"), "wal-setup").expect("ours");
    for id in ["changes", "restart"] {
        let step = guide.steps.iter().find(|step| step.id == id).expect("a step");
        let look = step.look.as_ref().expect("it looks");
        assert_eq!(look.command[..2], ["wal", "setup"], "{id}");
        let (code, said) = call.json(&["setup"]);
        assert!(look.good.contains(&code), "{id}: {code}");
        let seen = facts::read(look, None, &said);
        assert!(!seen.may_be_taken(Some(look)), "{id}: {seen:?}");
        let told = seen.facts.iter().find(|fact| fact.name == "refusal").expect("told");
        assert!(told.value.as_ref().is_some_and(|value| value.contains(why)), "{id}: {told:?}");
    }
}

#[test]
fn a_canary_tells_what_the_archiver_does_not() {
    let cluster = Archived::start(&[("archive_timeout", "60")]);
    let call = call(&cluster);
    let (code, first) = call.json(&["canary"]);
    assert_eq!((code, &first["witness"]), (0, &"server".into()), "{first}");

    // A role that may end segments, and nothing else: the record itself is the witness.
    cluster
        .psql(
            "CREATE ROLE bird LOGIN PASSWORD 'pw'; GRANT EXECUTE ON FUNCTION pg_switch_wal() TO bird",
        )
        .expect("made");
    let bird = Call { cluster: &cluster, user: "bird" };
    let fly =
        |words: &[&str]| told(&bird.command(words).env("PGPASSWORD", "pw").output().expect("ran"));
    let (code, said) = fly(&["canary"]);
    assert!(code == 0 && said.contains("our record is in it"), "{code}: {said}");
    cluster.psql("REVOKE EXECUTE ON FUNCTION pg_switch_wal() FROM bird").expect("revoked");
    let (code, said) = fly(&["canary"]);
    assert!(code == 77 && said.contains("GRANT EXECUTE ON FUNCTION pg_switch_wal()"), "{said}");

    // An archiver that says success, and one that fails.
    cluster.set("archive_command", "true").expect("set");
    let (code, said) = call.run(&["canary", "--within", "2s"]);
    assert!(code == 1 && said.contains("has reported no failure"), "{code}: {said}");
    cluster.set("archive_command", "false").expect("set");
    let (code, said) = call.run(&["canary", "--within", "3s"]);
    assert!(code == 1 && said.contains("attempts of the server failed"), "{code}: {said}");
    cluster.set("archive_command", &cluster.archive_command()).expect("set");

    // What the lying archiver swallowed is a gap, and a promise needs a timeout.
    let (code, gap) = call.json(&["canary"]);
    assert_eq!((code, gap["gaps"].as_array().map(Vec::len)), (65, Some(1)), "{gap}");
    cluster.set("archive_timeout", "0").expect("set");
    let (_, endless) = call.json(&["canary"]);
    assert_eq!((&endless["worst_seconds"], &endless["rpo_kept"]), (&Value::Null, &false.into()));
    let acts = fs::read_to_string(cluster.folder().join("state/howdah/ledger/ledger.jsonl"));
    assert!(acts.expect("a ledger").contains("wal.canary"));

    // A standby writes no WAL of its own.
    cluster.base_backup("base");
    cluster.put_back("base", "standby.signal");
    cluster.start().expect("started");
    for command in ["canary", "setup"] {
        let (code, said) = call.run(&[command]);
        assert!(code == 77 && said.contains("standby"), "{command}: {code}: {said}");
    }
}

#[test]
fn wal_of_an_encrypted_repository_never_comes_in_readable_and_brings_a_server_back() {
    let cluster = Archived::start(&[("archive_mode", "off"), ("archive_command", "")]);
    let call = call(&cluster);
    let identity = age::x25519::Identity::generate();
    let recipient = identity.to_public().to_string();
    let keys = cluster.folder().join("keys");
    fs::write(&keys, identity.to_string().expose_secret()).expect("written");
    let config = cluster.folder().join("encrypted.toml");
    let text =
        format!("[recover]\nrecipients = [\"{recipient}\"]\nidentity = \"{}\"\n", keys.display());
    fs::write(&config, text).expect("written");
    for file in [&keys, &config] {
        cluster.give(file);
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("private");
    }
    let named = config.to_string_lossy().into_owned();
    let encrypted = ["--config", &named];

    // Recipients that only our own environment knows: the server's account would archive readable.
    let output = call
        .command(&["setup"])
        .env("HOWDAH_RECOVER_RECIPIENTS", &recipient)
        .arg("--config")
        .arg({
            let empty = cluster.folder().join("empty.toml");
            fs::write(&empty, "").expect("written");
            empty
        })
        .output()
        .expect("ran");
    let (code, said) = told(&output);
    assert!(code == 77 && said.contains("would archive without it"), "{code}: {said}");

    let (code, said) = call.run(&[&["setup"], &encrypted[..], &APPLY[..3]].concat());
    assert_eq!(code, 0, "{said}");
    cluster.restart().expect("restarted");
    cluster.psql("CREATE TABLE marks (n int)").expect("made");
    cluster.base_backup("base");
    let (code, canary) = call.json(&[&["canary"], &encrypted[..]].concat());
    assert_eq!((code, &canary["witness"]), (0, &"server".into()), "{canary}");
    cluster.psql("INSERT INTO marks SELECT generate_series(1, 1000)").expect("inserted");
    let segment = cluster.switch();
    let file: WalFile = segment.parse().expect("a name");
    let kept = cluster.archive().find_one(file).expect("looked").expect("there");
    assert!(kept.place().ends_with(".zst.age"), "{}", kept.place());

    // From now on nobody brings anything in that is not encrypted.
    let own = cluster.data_dir().join("pg_wal").join(&segment);
    let copy = cluster.folder().join(&segment);
    fs::copy(&own, &copy).expect("copied");
    cluster.give(&copy);
    let repo = cluster.repo().to_string_lossy().into_owned();
    let place = ["--repository", &repo, "--name", NAME];
    let archive = |more: &[&str]| {
        let path = copy.to_string_lossy().into_owned();
        told(&cluster.howdah(&[&["wal", "archive"], &place[..], more, &[&path]].concat()))
    };
    let (code, said) = archive(&[]);
    assert!(code == 78 && said.contains("is encrypted"), "{code}: {said}");
    assert_eq!(archive(&encrypted), (0, String::new()));
    // Nor does a set-up without the keys.
    let (code, said) = call.run(&["setup"]);
    assert!(code == 77 && said.contains("encrypt"), "{code}: {said}");

    let verify =
        |more: &[&str]| told(&cluster.howdah(&[&["wal", "verify"], &place[..], more].concat()));
    assert_eq!(verify(&[]).0, 78, "without the key nothing can be said");
    let (code, said) = verify(&encrypted);
    assert_eq!(code, 0, "{said}");

    // And a server comes back from it.
    cluster.put_back("base", "recovery.signal");
    let restore =
        format!("{HOWDAH} wal fetch --config {named} --repository {repo} --name {NAME} %f %p");
    cluster.set("restore_command", &restore).expect("set");
    cluster.start().expect("started");
    cluster.wait_recovered();
    assert_eq!(cluster.psql("SELECT count(*) FROM marks").expect("asked").trim(), "1000");
}
