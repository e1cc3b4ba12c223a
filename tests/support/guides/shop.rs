//! A demo to walk on, and its configuration.

use std::{fs, path::PathBuf};

use howdah::{
    cluster::Via,
    sandbox::{Demo, DemoOptions, Registry},
};
use tempfile::TempDir;
use tokio::{runtime::Runtime, task::JoinHandle};

use super::{PROGRAM, SOON, printed};
use crate::support::bouncer::Bouncer;
use crate::support::{self, eventually};

pub struct Shop {
    pub demo: Demo,
    config: PathBuf,
    bouncer: Option<Bouncer>,
    runtime: Runtime,
    notes: TempDir,
}

/// A session that sits on something: its process, and how what it runs will have ended.
pub struct Sitting {
    pub pid: i32,
    pub task: JoinHandle<Option<String>>,
}

impl Drop for Sitting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shop {
    /// With the demo's load, or without.
    pub fn open(load: bool) -> Self {
        let shop = Self::opened(load);
        eventually("both backups", SOON, || {
            let listed = shop.said(&["backup", "list", "--json"]);
            listed.contains("\"physical\"") && listed.contains("\"logical\"")
        });
        shop
    }

    /// Without load and without backups, behind a PgBouncer.
    pub fn behind_bouncer() -> Self {
        let mut shop = Self::opened(false);
        let bouncer = Bouncer::start(shop.demo.cluster());
        let text = fs::read_to_string(&shop.config).expect("its configuration");
        let console =
            format!("pgbouncer = \"{}\"\nenvironment =", bouncer.conninfo("pgbouncer", "admin"));
        shop.config = shop.notes.path().join("howdah.toml");
        fs::write(&shop.config, text.replacen("environment =", &console, 1)).expect("written");
        shop.bouncer = Some(bouncer);
        shop
    }

    fn opened(load: bool) -> Self {
        let notes = tempfile::tempdir().expect("a folder");
        let options = DemoOptions {
            program: Some(PathBuf::from(PROGRAM)),
            registry: Some(Registry::at(notes.path().join("demo"))),
            no_load: !load,
            ..DemoOptions::default()
        };
        let demo = Demo::start(&options).expect("started");
        let config = demo.target().config;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        Self { demo, config, bouncer: None, runtime, notes }
    }

    pub fn config(&self) -> &str {
        self.config.to_str().expect("UTF-8")
    }

    /// What howdah says of it to somebody else.
    #[track_caller]
    pub fn said(&self, words: &[&str]) -> String {
        printed(self.notes.path(), &[&["--config", self.config()], words].concat())
    }

    #[track_caller]
    pub fn json(&self, words: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.said(words)).expect("JSON")
    }

    /// What SQL answers in the demo's database.
    #[track_caller]
    pub fn sql(&self, sql: &str) -> String {
        self.demo.cluster().psql(&format!("\\connect demo\n{sql}")).expect("ran")
    }

    /// Rows of a table; none when it is not there.
    pub fn rows(&self, table: &str) -> Option<i64> {
        let sql = format!("\\connect demo\nselect count(*) from {table}");
        self.demo.cluster().psql(&sql).ok().and_then(|count| count.parse().ok())
    }

    /// What is typed to confirm a severe act.
    pub fn challenge(&self) -> String {
        let sql = "select right(system_identifier::text, 4) from pg_control_system()";
        format!("demo/{}", self.demo.cluster().psql(sql).expect("answered"))
    }

    /// A session of that name that has run `first`, and now runs `then`.
    pub fn sits(&self, name: &str, first: &str, then: &str) -> Sitting {
        let (first, then) = (format!("set application_name = '{name}'; {first}"), then.to_owned());
        self.runtime.block_on(async {
            let client = support::connect(self.demo.cluster(), Via::Unix).await;
            let pid = client.query_one("select pg_backend_pid()", &[]).await.expect("asked").get(0);
            client.batch_execute(&first).await.expect("done");
            let task = tokio::spawn(async move {
                match client.batch_execute(&then).await {
                    // The session stays until somebody ends it.
                    Ok(()) => std::future::pending().await,
                    Err(error) => {
                        Some(error.code().map_or("closed", |code| code.code()).to_owned())
                    }
                }
            });
            Sitting { pid, task }
        })
    }
}
