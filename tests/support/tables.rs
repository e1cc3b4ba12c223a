//! A shop that was backed up, whose tables come back beside the live ones.

use std::process::{Command, Stdio};

use howdah::{
    base::progress::Silent,
    cluster::{Cluster, Via},
    recover::{
        Fault, Repository,
        restore::{
            Source, Target, Which,
            closure::{Name, parse_name},
            copy_back::{self, Mode, Script},
            diff::{Difference, diff},
            record::Record,
            side::Side,
            tables::{self, Place, Plan, Wish},
        },
    },
};

use super::{
    backups::{back_up, on, repository, shop},
    cluster,
    database::target as settings,
};

pub const SIDE: &str = "howdah_restore_test";

pub struct Stage {
    pub server: Cluster,
    pub repository: Repository,
    pub home: tempfile::TempDir,
}

impl Stage {
    /// A shop that was backed up.
    pub fn new() -> Self {
        let server = cluster();
        shop(&server);
        let home = tempfile::tempdir().expect("a folder");
        let repository = repository(&home.path().join("repo"));
        back_up(&server, "app", &repository);
        Self { server, repository, home }
    }

    pub fn on(&self, sql: &str) -> String {
        on(&self.server, "app", sql)
    }

    pub fn target(&self) -> Target {
        Target::open(&settings(&self.server, Via::Unix)).expect("a server")
    }

    pub fn source(&self) -> Source {
        Source::find(&self.repository, &Which::Newest, "app").expect("a backup")
    }

    pub fn plan(&self, wish: &Wish) -> Plan {
        tables::plan(&self.repository, &self.source(), &self.target(), wish).expect("a plan")
    }

    pub fn restore(&self, wish: &Wish) -> Result<Record, Fault> {
        let (source, target) = (self.source(), self.target());
        tables::restore(
            &self.repository,
            &source,
            &target,
            wish,
            self.home.path(),
            &Silent::default(),
        )
    }

    pub fn side(&self, tables: &[&str]) -> Record {
        let record = self.restore(&wish(tables)).expect("restored");
        assert_eq!(record.findings, Vec::<String>::new());
        record
    }

    pub fn diff(&self) -> Vec<Difference> {
        let session = self.target().database("app").expect("a session");
        diff(&session, &Side::read(&session, SIDE).expect("a side schema")).expect("compared")
    }

    pub fn script(&self, table: &str, mode: Mode) -> Result<Script, Fault> {
        let session = self.target().database("app").expect("a session");
        let side = Side::read(&session, SIDE).expect("a side schema");
        copy_back::plan(&session, &side, &name(table), mode)
    }

    pub fn run(&self, script: &Script) -> Result<Record, Fault> {
        copy_back::run(&self.repository, &self.target(), "app", script, &Silent::default())
    }

    pub fn copy(&self, table: &str, mode: Mode) -> Record {
        self.run(&self.script(table, mode).expect("a script")).expect("copied")
    }

    pub fn undo(&self, record: &Record) -> Record {
        let session = self.target().database("app").expect("a session");
        self.run(&copy_back::undo(&session, record).expect("a script")).expect("undone")
    }

    /// Number of rows and a hash of them, as text.
    pub fn rows(&self, table: &str) -> String {
        self.on(&format!(
            "SELECT count(*), md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM {table} t"
        ))
    }
}

pub fn name(words: &str) -> Name {
    parse_name(words).expect("a name")
}

pub fn wish(tables: &[&str]) -> Wish {
    Wish {
        tables: tables.iter().map(|table| name(table)).collect(),
        into: "app".to_owned(),
        place: Place::Side(SIDE.to_owned()),
        with_roles: false,
        without_leftovers: false,
        jobs: 2,
    }
}

/// Deletes, changes and adds rows in the live table.
pub fn accident(stage: &Stage) {
    stage.on(
        "DELETE FROM shop.order_line WHERE order_id <= 20; DELETE FROM shop.orders WHERE id <= 20; \
         ALTER TABLE shop.orders DISABLE TRIGGER USER; UPDATE shop.orders SET total = 0 WHERE id BETWEEN 21 AND 30; \
         ALTER TABLE shop.orders ENABLE TRIGGER USER; \
         INSERT INTO shop.orders (customer_id, note) SELECT 1, 'since then' FROM generate_series(1, 7)",
    );
}

/// A call of the program with a home of its own.
pub fn command(stage: &Stage, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_howdah"));
    command
        .args(words)
        .args(["--target", &stage.server.conninfo(Via::Unix), "--name", "app", "--repository"])
        .arg(stage.home.path().join("repo"))
        .env("HOME", stage.home.path())
        .env("PGPASSWORD", stage.server.password().expose())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Its exit code, standard output, standard error.
pub fn call(stage: &Stage, words: &[&str]) -> (i32, String, String) {
    ended(&mut command(stage, words))
}

/// The same without a target and a repository.
pub fn call_bare(stage: &Stage, words: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_howdah"));
    ended(command.args(words).env("HOME", stage.home.path()))
}

fn ended(command: &mut Command) -> (i32, String, String) {
    let output = command.output().expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("a code"), text(output.stdout), text(output.stderr))
}
