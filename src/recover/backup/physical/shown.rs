//! How far `pg_basebackup` is, and what it says of the cluster.

use crate::{
    base::{progress::Progress, text::Text},
    recover::{Fault, Kind},
};

/// How the server tells of a page that is not what it wrote (basebackup.c). The backup fails with it.
const DAMAGED: &str = "checksum verification failed in ";

/// What `pg_basebackup -P` says: `41956/41956 kB (100%), 2/2 tablespaces`. Both are bytes of the cluster, not
/// of what comes: a server that compresses tells how much it has read (from 15 on, "progress report" of
/// `BASE_BACKUP`).
#[derive(Default)]
pub(super) struct Shown {
    done: u64,
    total: Option<u64>,
    /// The first page of the cluster that is damaged.
    damaged: Option<Text>,
}

impl Shown {
    /// The progress after `unpacked` bytes were taken and these lines heard.
    pub fn progress(&mut self, unpacked: u64, lines: &[Text]) -> Progress {
        for line in lines {
            if let Some((done, total)) = told(line) {
                (self.done, self.total) = (done * 1024, Some(total * 1024));
            }
            if self.damaged.is_none() {
                self.damaged = line.find(DAMAGED).and_then(|at| line.get(at..)).map(Text::foreign);
            }
        }
        let done = unpacked.max(self.done);
        if done == 0 {
            return Progress::bytes("waiting for the checkpoint", 0, None)
                .with_note("silence is normal until the server has written its checkpoint");
        }
        Progress::bytes("copying the data folder", done, self.total)
    }

    /// Why it failed: because of the cluster, where it has said so.
    pub fn explain(&self, fault: Fault) -> Fault {
        let Some(damaged) = self.damaged.as_ref().filter(|_| fault.kind != Kind::Cancelled) else {
            return fault;
        };
        let what = format!("the cluster itself is damaged, so no backup was made of it: {damaged}");
        Fault::new(Kind::Damaged, what).remedy(
            "keep the backups that there are; pg_filenode_relation(0, FILE) in its database names the table or index: \
             REINDEX an index, bring a table back by `howdah restore table`",
        )
    }
}

fn told(line: &str) -> Option<(u64, u64)> {
    let (figures, _) = line.split_once(" kB")?;
    let (done, total) = figures.trim().split_once('/')?;
    Some((done.parse().ok()?, total.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_and_silence_before_it_is_explained() {
        let mut shown = Shown::default();
        let waiting =
            shown.progress(0, &["pg_basebackup: waiting for checkpoint to complete".into()]);
        assert!(waiting.note.is_some_and(|note| note.contains("silence is normal")));
        let running = shown.progress(5000, &[" 8732/41943 kB (20%), 0/2 tablespaces".into()]);
        assert_eq!((running.done, running.total), (8732 * 1024, Some(41943 * 1024)));
        assert_eq!(told("pg_basebackup: write-ahead log start point: 0/2"), None);
    }

    #[test]
    fn damage_of_the_cluster_is_told_by_the_servers_words() {
        let failed = || Fault::new(Kind::Failed, "pg_basebackup failed");
        let mut shown = Shown::default();
        assert_eq!(shown.explain(failed()), failed());
        let page = "checksum verification failed in file \"./base/5/16384\", block 0";
        shown.progress(0, &[format!("WARNING:  {page}: calculated A5 but expected B6").into()]);
        shown.progress(0, &["WARNING:  checksum verification failed in file \"./x\"".into()]);
        let fault = shown.explain(failed());
        assert!(fault.kind == Kind::Damaged && fault.what().contains(page), "{fault}");
        let cancelled = Fault::new(Kind::Cancelled, "it was cancelled");
        assert_eq!(shown.explain(cancelled.clone()), cancelled);
    }
}
