//! How far `pg_basebackup` is.

use crate::base::{progress::Progress, text::Text};

/// What `pg_basebackup -P` says: `41956/41956 kB (100%), 2/2 tablespaces`. Both are bytes of the cluster, not
/// of what comes: a server that compresses tells how much it has read (from 15 on, "progress report" of
/// `BASE_BACKUP`).
#[derive(Default)]
pub(super) struct Shown {
    done: u64,
    total: Option<u64>,
}

impl Shown {
    /// The progress after `unpacked` bytes were taken and these lines heard.
    pub fn progress(&mut self, unpacked: u64, lines: &[Text]) -> Progress {
        for line in lines {
            if let Some((done, total)) = told(line) {
                (self.done, self.total) = (done * 1024, Some(total * 1024));
            }
        }
        let done = unpacked.max(self.done);
        if done == 0 {
            return Progress::bytes("waiting for the checkpoint", 0, None)
                .with_note("silence is normal until the server has written its checkpoint");
        }
        Progress::bytes("copying the data folder", done, self.total)
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
}
