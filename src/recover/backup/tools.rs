//! PostgreSQL's tools for backups, and whether they are new enough for the server.

use std::path::PathBuf;

use crate::{
    base::{cancel::Cancel, exec::Tool},
    cluster::{Binaries, binaries::major_of},
    recover::{Fault, Kind, Result},
};

/// One of PostgreSQL's client programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    path: PathBuf,
    /// Those that it was found among; none where it is left to `PATH`.
    binaries: Option<Binaries>,
    /// As it names itself: `pg_dump (PostgreSQL) 15.18`.
    pub says: String,
    /// Its major version.
    pub major: u32,
}

impl Program {
    /// Finds it for a server (`server_version_num`), beside the programs of that server's version or in `PATH`,
    /// and asks for its version.
    pub fn find(name: &str, server: u32) -> Result<Self> {
        // A machine with the client's programs only will do.
        let binaries = Binaries::for_server(server / 10_000).ok();
        let path = place(binaries.as_ref(), name);
        let out = Tool::new(&path).arg("--version").run(&Cancel::new(), &mut |_| {})?;
        let says = String::from_utf8_lossy(&out).trim().to_owned();
        let major = major_of(&says).ok_or_else(|| {
            Fault::new(Kind::Unavailable, format!("'{name} --version' says '{says}': no version"))
        })?;
        Ok(Self { path, binaries, says, major })
    }

    /// It, ready to be given arguments.
    pub fn tool(&self) -> Tool {
        Tool::new(&self.path)
    }

    /// Another program, from where this one was looked for.
    pub fn beside(&self, name: &str) -> Tool {
        Tool::new(place(self.binaries.as_ref(), name))
    }

    /// Refuses a program that is older than the server (`server_version_num`): PostgreSQL's documentation
    /// of `pg_dump` and of `pg_basebackup` promises servers of the same or an earlier major version only.
    pub fn fits(&self, server: u32) -> Result<()> {
        if self.major >= server / 10_000 {
            return Ok(());
        }
        let (of, minor) = (server / 10_000, server % 10_000);
        Err(Fault::new(
            Kind::Unavailable,
            format!("{} is older than the server, which is {of}.{minor}", self.says),
        )
        .remedy(format!(
            "install the programs of PostgreSQL {of} and set HOWDAH_PG_BIN to their folder"
        )))
    }
}

fn place(binaries: Option<&Binaries>, name: &str) -> PathBuf {
    binaries.map_or_else(|| PathBuf::from(name), |binaries| binaries.program(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_program_is_refused_with_both_versions() {
        let says = "pg_dump (PostgreSQL) 13.4".to_owned();
        let program = Program { path: "pg_dump".into(), binaries: None, says, major: 13 };
        program.fits(130_022).expect("the same");
        program.fits(120_001).expect("an earlier server");
        let fault = program.fits(150_018).expect_err("older").to_string();
        assert!(fault.contains("13.4") && fault.contains("15.18"), "{fault}");
    }
}
