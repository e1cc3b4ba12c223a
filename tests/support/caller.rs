//! Somebody who calls the program on one target, in a home of their own.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

/// Who calls; their name is anna.
pub struct Caller {
    pub home: TempDir,
    /// What is called with, unless another one is named.
    pub config: PathBuf,
}

impl Caller {
    /// A call, with that configuration.
    pub fn command(&self, config: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_howdah"));
        command.args(words).arg("--config").arg(config).args(["--as", "anna"]);
        for variable in ["HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"] {
            command.env(variable, self.home.path());
        }
        command
    }

    pub fn howdah(&self, words: &[&str]) -> Output {
        self.command(&self.config, words).output().expect("it runs")
    }

    /// What it printed; it has to end well.
    #[track_caller]
    pub fn good(&self, words: &[&str]) -> String {
        let output = self.howdah(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// What it complained of; it has to end with that code.
    #[track_caller]
    pub fn refused(&self, words: &[&str], code: i32) -> String {
        let output = self.howdah(words);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {output:?}");
        String::from_utf8(output.stderr).expect("text")
    }

    #[track_caller]
    pub fn json(&self, words: &[&str]) -> Value {
        serde_json::from_str(&self.good(words)).expect("JSON")
    }

    /// Walks through a guide with those lines.
    #[track_caller]
    pub fn walk(&self, guide: &str, lines: &str) -> String {
        use std::{io::Write as _, process::Stdio};
        let mut walk = self
            .command(&self.config, &["guide", "run", guide])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        let mut input = walk.stdin.take().expect("a pipe");
        input.write_all(lines.as_bytes()).expect("told");
        drop(input);
        let output = walk.wait_with_output().expect("it ends");
        let said = String::from_utf8(output.stdout).expect("text");
        assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
        said
    }
}

/// The mark of a plan.
#[track_caller]
pub fn mark(plan: &str) -> &str {
    let line = plan.lines().find_map(|line| line.strip_prefix("plan "));
    line.expect("a plan has a mark").trim()
}
