//! The trial: the server runs our program as its own account, on its own machine, with the words that it
//! would archive with; and that tells what this account can do, and how the server's next start would go.
//!
//! `COPY … FROM PROGRAM` is the way: it runs as the account of the server, in the server's environment, just
//! as the archiver does (PostgreSQL documentation, "COPY").

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    archiver::Archiver,
    survey::{Server, Setting},
};
use crate::{
    base::{account, cancel::Cancel, exec::Tool, text::Text},
    recover::{
        Fault, Kind, Repository, Result,
        repository::checkup::{self, Finding, Verdict},
        session::{Session, literal},
    },
};

/// The last line of the trial's output; the program's exit code follows.
const EXIT: &str = "howdah-exit ";
/// A data folder that a server starts on (`checkDataDir`): for its owner alone, or readable for the group.
const MODES: [u32; 2] = [0o700, 0o750];

/// What a trial needs to try the server's next start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextStart {
    /// The server's program.
    pub postgres: PathBuf,
    /// Its data folder.
    pub data: PathBuf,
    /// Its configuration file.
    pub config_file: PathBuf,
    /// The settings whose values are asked for.
    pub names: Vec<String>,
}

impl NextStart {
    /// That of a server.
    pub fn of(server: &Server, settings: &[Setting]) -> Self {
        Self {
            postgres: PathBuf::from(&server.programs).join("postgres"),
            data: server.data.clone().into(),
            config_file: server.config_file.clone().into(),
            names: settings.iter().map(|setting| setting.name.clone()).collect(),
        }
    }

    fn words(&self) -> Vec<String> {
        let path = |path: &PathBuf| path.to_string_lossy().into_owned();
        vec![
            "--postgres".into(),
            path(&self.postgres),
            "--data".into(),
            path(&self.data),
            "--config-file".into(),
            path(&self.config_file),
            "--settings".into(),
            self.names.join(","),
        ]
    }
}

/// What the trial saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// The version of the program that ran.
    pub howdah: String,
    /// The account that it ran as.
    pub account: String,
    /// Where it would archive.
    pub repository: String,
    /// For whom it would encrypt.
    pub recipients: Vec<String>,
    /// Why it could not archive.
    pub fault: Option<String>,
    /// The data folder's mode.
    pub mode: Option<u32>,
    /// The values that the next start would have.
    pub next: BTreeMap<String, String>,
    /// Why the next start would fail.
    pub next_fault: Option<String>,
}

/// Does what the trial does: in the process that the server started. `opened` is the repository as `wal
/// archive` would have opened it.
pub fn look(opened: Result<Repository>, next: &NextStart) -> Trial {
    let mut trial = Trial {
        howdah: env!("CARGO_PKG_VERSION").to_owned(),
        account: account::user_name().unwrap_or_else(|| "an account without a name".to_owned()),
        ..Trial::default()
    };
    match opened.and_then(|repository| {
        trial.repository = repository.storage().describe().to_string();
        trial.recipients = repository.recipients();
        // What stands in the way of every segment.
        repository.claimed()?;
        checkup::writing(&repository, &repository.wal_key()?)
    }) {
        Ok(finding) if finding.verdict == Verdict::Good => {}
        Ok(finding) => trial.fault = Some(finding.detail.to_string()),
        Err(fault) => trial.fault = Some(fault.to_string()),
    }
    let about = fs::metadata(&next.data).ok();
    trial.mode = about.map(|about| about.permissions().mode() & 0o7777);
    for name in &next.names {
        match value_at_next_start(next, name) {
            Ok(value) => drop(trial.next.insert(name.clone(), value)),
            Err(fault) => {
                trial.next_fault = Some(fault.to_string());
                break;
            }
        }
    }
    trial
}

/// `postgres -C` reads the configuration as the next start would, and touches nothing.
fn value_at_next_start(next: &NextStart, name: &str) -> Result<String> {
    let config = format!("config_file={}", next.config_file.display());
    let tool = Tool::new(&next.postgres).arg("-D").arg(&next.data);
    let said = tool.args(["-c", &config, "-C", name]).run(&Cancel::new(), &mut |_| {})?;
    let said = String::from_utf8_lossy(&said);
    Ok(said.strip_suffix('\n').unwrap_or(&said).to_owned())
}

/// Lets the server run the trial, and reads what it saw.
///
/// # Errors
/// [`Kind::Refused`] when the server's account cannot run the program at all.
pub fn ask(session: &Session, archiver: &Archiver, next: &NextStart) -> Result<Trial> {
    let command = archiver.trial_command(&next.words());
    let output = run_on_server(session, &command)?;
    let (said, code) = output
        .rsplit_once(EXIT)
        .and_then(|(said, code)| Some((said, code.trim().parse::<i32>().ok()?)))
        .ok_or_else(|| unclear(&command, &output))?;
    if code != 0 {
        let said = Text::one_line(said.trim());
        let what =
            format!("the server's account cannot run '{command}': {said} (exit code {code})");
        return Err(Fault::new(Kind::Refused, what).remedy(
            "put the program, and the configuration if one is named, where that account may read them, and \
             name the program with --program",
        ));
    }
    serde_json::from_str(said.trim()).map_err(|_| unclear(&command, &output))
}

fn unclear(command: &str, output: &str) -> Fault {
    let said = Text::one_line(output.trim());
    Fault::new(Kind::Failed, format!("'{command}', run by the server, said: {said}"))
        .remedy("is it this version of howdah?")
}

/// What a shell command prints, run by the server; its messages, too, and its exit code at last.
fn run_on_server(session: &Session, command: &str) -> Result<String> {
    let command = format!("{{ {command}; }} 2>&1; echo \"{EXIT}$?\"");
    // Lines as they are: with a delimiter and a quote that no line holds.
    session.run(&format!(
        "BEGIN; SET LOCAL search_path = pg_temp; \
         CREATE TEMP TABLE howdah_trial (n int GENERATED ALWAYS AS IDENTITY, line text) ON COMMIT DROP; \
         COPY howdah_trial (line) FROM PROGRAM {} \
         WITH (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02', NULL E'\\x03')",
        literal(&command)
    ))
    .inspect_err(|_| {
        // The fault is what matters; the transaction is over with the session at the latest.
        let _ = session.run("ROLLBACK");
    })?;
    let rows = session.query("SELECT line FROM howdah_trial ORDER BY n", &[]);
    session.run("ROLLBACK")?;
    let lines: Vec<String> = rows?.iter().map(|row| row.get(0)).collect();
    Ok(lines.join("\n"))
}

/// What a trial says of the next archiving and of the next start. `ours` is the repository as it is opened
/// here.
pub fn judge(trial: &Trial, ours: &Repository) -> Vec<Finding> {
    let account = &trial.account;
    let mut found = Vec::new();
    found.push(if trial.howdah == env!("CARGO_PKG_VERSION") {
        let detail = format!("the server's account, {account}, runs howdah {}", trial.howdah);
        Finding::new("program", Verdict::Good, detail)
    } else {
        let detail = format!("{account} runs howdah {}, this is another version", trial.howdah);
        Finding::new("program", Verdict::Warning, detail)
    });
    found.push(match &trial.fault {
        None => {
            let detail =
                format!("{account} wrote, read and removed a file in {}", trial.repository);
            Finding::new("repository", Verdict::Good, detail)
        }
        Some(why) => Finding::bad("repository", Kind::Refused, format!("for {account}: {why}")),
    });
    found.push(encryption(trial, &ours.recipients()));
    found.push(match trial.mode {
        Some(mode) if MODES.contains(&mode) => {
            Finding::new("data folder", Verdict::Good, format!("its mode is {mode:04o}"))
        }
        Some(mode) => {
            let detail = format!(
                "its mode is {mode:04o}: the server runs on, and would not start again; chmod 0700"
            );
            Finding::bad("data folder", Kind::Refused, detail)
        }
        None => Finding::new("data folder", Verdict::Unknown, "its mode cannot be seen"),
    });
    found.push(match &trial.next_fault {
        None => {
            let detail = "postgres -C reads the configuration as it will be";
            Finding::new("next start", Verdict::Good, detail)
        }
        Some(why) => Finding::bad("next start", Kind::Refused, format!("it would fail: {why}")),
    });
    found
}

/// Nothing may come in readable where it is to be encrypted, nor be encrypted for others than we know.
fn encryption(trial: &Trial, ours: &[String]) -> Finding {
    let sorted = |names: &[String]| {
        let mut names = names.to_vec();
        names.sort();
        names
    };
    let bad = |detail: String| Finding::bad("encryption", Kind::Refused, detail);
    match (trial.recipients.as_slice(), ours) {
        ([], []) => Finding::new("encryption", Verdict::Good, "none is configured"),
        (theirs, ours) if sorted(theirs) == sorted(ours) => {
            let detail = format!("for {}", ours.join(", "));
            Finding::new("encryption", Verdict::Good, detail)
        }
        ([], ours) => bad(format!(
            "{} would archive without it: recover.recipients ({}) must stand in a configuration that this \
             account can read, named with --config",
            trial.account,
            ours.join(", ")
        )),
        (theirs, _) => bad(format!(
            "{} would encrypt for {}, the configuration here names {}",
            trial.account,
            theirs.join(", "),
            if ours.is_empty() { "nobody".to_owned() } else { ours.join(", ") }
        )),
    }
}
