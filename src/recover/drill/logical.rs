//! A logical backup: roles and every database, into a fresh cluster with nothing else in it.

use std::{fs, io::Read as _, path::Path};

use super::{Drill, Kept};
use crate::{
    base::{exec::Tool, progress::Observer, text::Text},
    cluster::{Binaries, Cluster, Durability, Options, Via, folder::PrivateFolder},
    recover::{
        Fault, Kind, Result, libpq,
        physical::restored::Times,
        proof::Proof,
        repository::manifest::{File, Level, Role},
        restore::{Source, Target, database},
        session::Session,
        stopwatch::Stopwatch,
    },
    resilience::conninfo::{Environment, Settings},
};

/// Settings of the scratch cluster that a real one must not have: a third of the time of loading is saved.
pub(super) const SETTINGS: &[(&str, &str)] = &[
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("synchronous_commit", "off"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("max_wal_size", "8GB"),
    ("maintenance_work_mem", "256MB"),
    ("autovacuum", "off"),
];
/// Workers of `pg_restore`.
const JOBS: u32 = 2;
/// From rung to rung; the proof holds how far it came.
pub(super) fn climb(
    drill: &Drill<'_>,
    proof: &mut Proof,
    programs: &Binaries,
    watch: &mut Stopwatch,
    observer: &dyn Observer,
) -> Result<Option<Kept>> {
    let mut settings: Vec<(String, String)> =
        SETTINGS.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    // Nobody else can reach it.
    settings.push(("listen_addresses".into(), String::new()));
    let options = Options {
        durability: Durability::Fast,
        settings,
        guard: Some(drill.program.to_owned()),
        ..Options::default()
    };
    let cluster = Cluster::start_in(PrivateFolder::create()?, programs.clone(), &options)?;
    let words = cluster.conninfo(Via::Unix);
    let mut settings = Settings::parse(&words, &Environment::bare())
        .map_err(|error| Fault::new(Kind::Failed, error.to_string()))?;
    settings.password = Some(cluster.password().clone());
    let target = Target::with(&settings, programs.clone())?;
    trust(&cluster, &target)?;
    watch.lap("start a server");

    for file in &drill.manifest.files {
        if file.role == Role::Globals {
            roles(drill, file, &target.session, &settings, programs, cluster.folder(), observer)?;
            watch.lap("roles");
        }
    }
    for file in &drill.manifest.files {
        if let Role::Dump { database } = &file.role {
            load(drill, file, database, &target, cluster.folder(), observer)?;
            watch.lap(&format!("copy {database}"));
        }
    }
    // Everything was unpacked and was as written; WAL it needs none.
    proof.level = Some(Level::L3);
    let whole = watch.phases.iter().map(|phase| phase.seconds).sum();
    // A database that is half there serves nobody: what can be read can be written, too.
    proof.rto = Some(Times {
        phases: watch.phases.clone(),
        first_read: whole,
        caught_up: whole,
        first_write: Some(whole),
    });
    drill.look(proof, &settings, programs, observer)?;
    if !drill.keep {
        return Ok(None);
    }
    drop(target);
    let server = cluster.keep();
    Ok(Some(Kept { folder: server.folder().to_owned(), conninfo: words }))
}

/// The roles that come back have passwords of their own, the superuser among them. Nobody but our account can
/// enter the socket's folder.
fn trust(cluster: &Cluster, target: &Target) -> Result<()> {
    let path = cluster.data_dir().join("pg_hba.conf");
    fs::write(&path, "local all all trust\n")
        .map_err(Fault::io(format!("cannot write '{}'", path.display())))?;
    target.session.query("SELECT pg_reload_conf()", &[]).map(drop)
}

/// What the text of roles must not bring along: the places of tablespaces are those of a live cluster.
fn of_tablespace(line: &str) -> bool {
    let about = ["GRANT ", "REVOKE ", "COMMENT ", "SECURITY LABEL "];
    ["CREATE TABLESPACE ", "ALTER TABLESPACE "].iter().any(|words| line.starts_with(words))
        || about.iter().any(|words| line.starts_with(words)) && line.contains(" ON TABLESPACE ")
}

/// Makes the roles with their memberships and settings. Those of `initdb` are there already.
fn roles(
    drill: &Drill<'_>,
    file: &File,
    session: &Session,
    settings: &Settings,
    programs: &Binaries,
    folder: &Path,
    observer: &dyn Observer,
) -> Result<()> {
    let mut text = String::new();
    let mut content = drill.repository.unseal(&file.stored)?;
    content
        .read_to_string(&mut text)
        .map_err(Fault::io(format!("cannot read '{}'", file.stored.key)))?;
    let text: Vec<&str> = text.lines().filter(|line| !of_tablespace(line)).collect();
    let script = folder.join("roles.sql");
    // It holds passwords' verifiers, in a folder that nobody else can enter.
    fs::write(&script, text.join("\n") + "\n")
        .map_err(Fault::io(format!("cannot write '{}'", script.display())))?;
    let tool = Tool::new(programs.program("psql")).args(["-X", "-q", "-f"]).arg(&script);
    let tool = libpq::connecting(tool, settings, session.host(), None);
    let mut wrong: Option<Text> = None;
    let ran = tool.run(observer.cancel(), &mut |line| {
        if line.contains("ERROR:") && !line.contains("already exists") {
            wrong.get_or_insert_with(|| line.clone());
        }
    });
    let removed = fs::remove_file(&script);
    ran?;
    removed.map_err(Fault::io(format!("cannot remove '{}'", script.display())))?;
    match wrong {
        Some(line) => Err(Fault::new(Kind::Failed, format!("roles cannot be made: {line}"))),
        None => Ok(()),
    }
}

/// Brings one database back.
fn load(
    drill: &Drill<'_>,
    file: &File,
    name: &str,
    target: &Target,
    work: &Path,
    observer: &dyn Observer,
) -> Result<()> {
    let source = Source {
        manifest: drill.manifest.clone(),
        database: name.to_owned(),
        stored: file.stored.clone(),
    };
    source.check_room(work)?;
    let unpacked = source.unpack(drill.repository, work, &|_, _| true, observer)?;
    if !target.has_database(name)? {
        database::create(target, &unpacked, name)?;
    }
    // Tablespaces are those of a live cluster.
    let how = database::Filling { jobs: JOBS, without_tablespaces: true };
    database::fill(target, how, &unpacked, name, observer).map(drop)
}
