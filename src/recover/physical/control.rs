//! What `pg_control` of a restored data folder says: whose it is, and what its server needs at the least.

use std::path::Path;

use super::configure;
use crate::{
    base::{exec::Tool, progress::Observer},
    cluster::Binaries,
    recover::{Fault, Kind, Result, repository::manifest::Manifest},
};

/// What `pg_controldata` tells of a data folder.
#[derive(Debug)]
pub(super) struct Control(Vec<(String, String)>);

impl Control {
    pub(super) fn read(data: &Path, binaries: &Binaries, observer: &dyn Observer) -> Result<Self> {
        let printed = Tool::new(binaries.program("pg_controldata"))
            .arg("-D")
            .arg(data)
            .run(observer.cancel(), &mut |_| {})?;
        let text = String::from_utf8_lossy(&printed);
        let pairs = text.lines().filter_map(|line| line.split_once(':'));
        let pairs = pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
        Ok(Self(pairs.collect()))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Refuses the data folder of another cluster than the backup is of.
    pub(super) fn belongs_to(&self, manifest: &Manifest) -> Result<()> {
        let wanted = manifest.cluster.system_identifier.to_string();
        let found = self.get("Database system identifier").unwrap_or("none");
        if found == wanted {
            return Ok(());
        }
        let what = format!(
            "the backup {} holds another cluster: system identifier {found} instead of {wanted}",
            manifest.id
        );
        Err(Fault::new(Kind::Damaged, what).remedy("choose another backup"))
    }

    /// The settings that a standby must not set lower than its primary did (PostgreSQL documentation, "Hot
    /// Standby: Administrator's Overview"), `times` as high.
    pub(super) fn settings(&self, times: u64) -> String {
        let pairs = [
            ("max_connections setting", "max_connections"),
            ("max_worker_processes setting", "max_worker_processes"),
            ("max_wal_senders setting", "max_wal_senders"),
            ("max_prepared_xacts setting", "max_prepared_transactions"),
            ("max_locks_per_xact setting", "max_locks_per_transaction"),
        ];
        let number = |name: &str| self.get(name)?.parse::<u64>().ok();
        let line = |(name, setting): &(&str, &str)| {
            Some(configure::line(setting, &(number(name)? * times).to_string()))
        };
        pairs.iter().filter_map(line).collect()
    }
}
