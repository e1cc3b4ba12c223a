//! The demo: a real cluster, real applications with a real load, and a guard that puts it all away.

use std::{env, fs, path::PathBuf, process::Stdio};

use rand::distr::{Alphanumeric, SampleString};

use super::{
    SandboxError,
    app::{AppOptions, AppProcess},
    incident::Incident,
    keeping::{self, Keeper, Keeping},
    running::{DemoHandle, Endpoint, Registry},
    settings as settings_file,
};
use crate::{
    base::{process::Identity, secret::Secret},
    cluster::{
        Binaries, Cluster, Durability, Options, Via,
        folder::PrivateFolder,
        guard::{self, Guard},
    },
};

/// The database of the demo.
pub const DATABASE: &str = "demo";
/// The role that the console uses: it may see everything (`pg_monitor`) and change nothing.
pub const MONITOR: &str = "howdah";
/// The role of the demo applications.
pub const APPLICATION: &str = "api";

/// Each application's name, pool size and transactions a second. The second is short of connections
/// on purpose: that is what operators come to see.
const APPS: [(&str, usize, f64); 2] = [("api-1", 10, 40.0), ("api-2", 4, 25.0)];

/// How a demo is made.
#[derive(Clone, Debug, Default)]
pub struct DemoOptions {
    /// Leave the server running at the end.
    pub keep: bool,
    /// The server's port; else a free one.
    pub port: Option<u16>,
    /// Applications without load: they connect and wait.
    pub no_load: bool,
    /// This binary, when it is not the running program itself.
    pub program: Option<PathBuf>,
    /// Where to leave the note for a second terminal; else the user's usual place.
    pub registry: Option<Registry>,
}

/// What to connect to.
#[derive(Clone, Debug)]
pub struct DemoTarget {
    /// A keyword string without the password.
    pub conninfo: String,
    /// The password of [`MONITOR`].
    pub password: Secret,
    /// The applications.
    pub apps: Vec<Endpoint>,
    /// Where its backups and its WAL are kept, under the name [`keeping::NAME`].
    pub repository: PathBuf,
    /// A configuration with this target, reached as superuser.
    pub config: PathBuf,
}

/// A server that outlives its demo.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its sandbox folder.
    pub folder: PathBuf,
    /// A keyword string for the superuser, without the password.
    pub conninfo: String,
    /// The file that holds the superuser's password.
    pub password_file: PathBuf,
    /// A shell command that stops it and removes the folder.
    pub stop_command: String,
}

/// A running demo. Dropping it ends and removes everything; so does the end of this process, however
/// it comes about.
#[derive(Debug)]
pub struct Demo {
    // In the order in which they must end: the applications first, so that they do not see the server
    // vanish, the guard last; it finds nothing left but the note.
    apps: Vec<AppProcess>,
    keeping: Option<Keeping>,
    cluster: Cluster,
    registry: Registry,
    handle: DemoHandle,
    monitor_password: Secret,
    keep: bool,
    guard: Guard,
}

impl Demo {
    /// Makes and starts everything; takes some seconds. Leftovers of earlier demos that died are put
    /// away on the way.
    pub fn start(options: &DemoOptions) -> Result<Self, SandboxError> {
        let binaries = Binaries::find()?;
        let program = match &options.program {
            Some(program) => program.clone(),
            None => env::current_exe().map_err(SandboxError::io("cannot find our own program"))?,
        };
        let registry = match &options.registry {
            Some(registry) => registry.clone(),
            None => Registry::usual()?,
        };
        registry.running();

        let mut guard = Guard::start(&program)?;
        let folder = PrivateFolder::create()?;
        let mut handle = DemoHandle {
            owner: Identity::own(),
            folder: folder.path().to_owned(),
            apps: Vec::new(),
            token: random_word(),
        };
        // Known to the guard before there is anything in it.
        guard.folder(&handle.folder)?;
        guard.file(&registry.path_of(&handle.folder))?;
        registry.write(&handle)?;

        // One that stays is removed by a shell command, which cannot unmount.
        let keeper = Keeper::prepare(&folder, &program, !options.keep)?;
        let account = folder.account().cloned();
        let command = keeper.archive_command();
        let cluster = Cluster::start_in(
            folder,
            binaries,
            &Options {
                durability: Durability::Honest,
                settings: settings(&command),
                port: options.port,
                template: None,
                binaries: None,
                // The demo has its own.
                guard: None,
            },
        )?;
        let (monitor_password, app_password) = (random_word(), random_word());
        cluster.psql(&filling(&monitor_password, &app_password))?;

        let mut demo = Self {
            apps: Vec::new(),
            keeping: Some(Keeping::start(keeper, &cluster, account)?),
            cluster,
            registry,
            handle: handle.clone(),
            monitor_password,
            keep: options.keep,
            guard,
        };
        for (name, pool_size, rate) in APPS {
            let log = fs::File::create(demo.handle.folder.join(format!("{name}.log")))
                .map_err(SandboxError::io("cannot make the application's log"))?;
            let app = AppProcess::start(
                &program,
                &AppOptions {
                    name: name.into(),
                    conninfo: demo.conninfo(APPLICATION),
                    password: app_password.clone(),
                    pool_size,
                    rate: if options.no_load { 0.0 } else { rate },
                    control: settings_file::control(&demo.handle.folder, name),
                    token: handle.token.clone(),
                },
                Stdio::from(log),
            )?;
            if let Some(identity) = app.identity() {
                demo.guard.process(identity)?;
            }
            demo.apps.push(app);
        }
        // Both are starting at the same time; now each says where it listens.
        for app in &mut demo.apps {
            handle.apps.push(app.endpoint()?);
        }
        settings_file::write(&demo.cluster, &handle.apps)?;
        demo.registry.write(&handle)?;
        demo.handle = handle;
        Ok(demo)
    }

    /// What the console connects to.
    pub fn target(&self) -> DemoTarget {
        DemoTarget {
            conninfo: self.conninfo(MONITOR),
            password: self.monitor_password.clone(),
            apps: self.handle.apps.clone(),
            repository: keeping::repository(self.cluster.folder()),
            config: self.handle.config(),
        }
    }

    /// What [`Incident::inject`] wants.
    pub fn handle(&self) -> &DemoHandle {
        &self.handle
    }

    /// The cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The process numbers of the guard and of the applications.
    pub fn helpers(&self) -> Vec<i32> {
        let apps = self.apps.iter().filter_map(AppProcess::identity).map(|identity| identity.pid);
        std::iter::once(self.guard.pid()).chain(apps).collect()
    }

    /// Does something bad to it, or undoes it.
    pub fn inject(&self, incident: Incident) -> Result<(), SandboxError> {
        incident.inject(&self.handle)
    }

    /// Ends the demo: removes everything, or leaves the server when it was to be kept.
    pub fn finish(self) -> Result<Option<Kept>, SandboxError> {
        if !self.keep {
            return Ok(None);
        }
        let Self { mut apps, keeping, cluster, registry, handle, guard, .. } = self;
        // First, so that a failure further down does not take the server away.
        guard.release()?;
        if let Some(keeping) = keeping {
            keeping.keep();
        }
        apps.clear();
        // Without applications there is nothing to control; a file that still names them says that nobody
        // answers there.
        let _ = settings_file::write(&cluster, &[]);
        let server = cluster.keep();
        registry.write(&DemoHandle { owner: None, apps: Vec::new(), ..handle })?;
        Ok(Some(Kept {
            folder: server.folder().to_owned(),
            conninfo: server.conninfo(Via::Tcp),
            password_file: server.folder().join("password"),
            stop_command: server.stop_command(),
        }))
    }

    fn conninfo(&self, role: &str) -> String {
        let port = self.cluster.port();
        format!("host=127.0.0.1 port={port} user={role} dbname={DATABASE} sslmode=disable")
    }
}

/// Ends and removes every kept demo of this user; returns how many there were.
pub fn remove_kept(registry: &Registry) -> usize {
    let kept = registry.running().into_iter().filter(|demo| demo.owner.is_none());
    kept.map(|demo| {
        guard::remove_sandbox(&demo.folder);
        registry.forget(&demo.folder);
    })
    .count()
}

fn random_word() -> Secret {
    Secret::new(Alphanumeric.sample_string(&mut rand::rng(), 32))
}

fn settings(archive_command: &str) -> Vec<(String, String)> {
    [
        ("cluster_name", "demo"),
        ("max_connections", "40"),
        ("shared_buffers", "64MB"),
        ("archive_mode", "on"),
        ("archive_command", archive_command),
        ("archive_timeout", "60"),
        ("track_io_timing", "on"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

/// Roles, database and tables: pgbench's TPC-B-like bank, 100,000 accounts in ten branches.
fn filling(monitor_password: &Secret, app_password: &Secret) -> String {
    format!(
        r"
create role {MONITOR} login password '{}' in role pg_monitor;
create role {APPLICATION} login password '{}';
create database {DATABASE} owner {APPLICATION};
\connect {DATABASE}
grant select on pg_file_settings to {MONITOR};
grant execute on function pg_show_all_file_settings() to {MONITOR};
set role {APPLICATION};
begin;
create table branches (bid int primary key, balance bigint not null default 0) with (fillfactor = 10);
create table tellers (tid int primary key, bid int not null, balance bigint not null default 0)
    with (fillfactor = 10);
create table accounts (aid int not null, bid int not null, balance bigint not null default 0);
create table history (tid int, bid int, aid int, delta int, at timestamptz not null default now());
create table customers (
    id int primary key,
    name text not null,
    email text not null unique,
    since date not null
);
comment on table customers is 'who banks here';
create index customers_since on customers (since);
insert into customers
    select n, 'customer ' || n, 'c' || n || '@bank.example', date '2020-01-01' + n % 2000
    from generate_series(1, 5000) as n;
insert into branches (bid) select generate_series(1, 10);
insert into tellers (tid, bid) select n, 1 + n % 10 from generate_series(1, 100) as n;
insert into accounts (aid, bid) select n, 1 + n % 10 from generate_series(1, 100000) as n;
alter table accounts add primary key (aid);
commit;
analyze branches, tellers, accounts, customers;
",
        monitor_password.expose(),
        app_password.expose(),
    )
}
