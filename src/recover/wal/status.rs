//! The archive beside the server: what would be lost if it died now.

use std::time::Duration;

use super::{
    archive::Archive,
    chain::{self, Chain},
    dump::Dump,
    segment::{Segment, WalFile},
    verified::Memory,
    verify::commits_in,
};
use crate::{
    base::{cancel::Cancel, clock::Timestamp, text::Text},
    recover::{
        Repository, Result,
        repository::manifest::{lsn, parse_lsn},
        session::Session,
    },
};

/// A page header is written when a segment is begun: that much holds no commit.
const EMPTY_SEGMENT: u64 = 40;

/// What the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Where its WAL stands; for a standby, what it has replayed.
    pub position: u64,
    /// Its timeline.
    pub timeline: u32,
    /// Its clock.
    pub now: Timestamp,
    /// `archive_mode`.
    pub mode: Text,
    /// Files archived, by its own word.
    pub archived: i64,
    /// Attempts that failed, by its own word.
    pub failed: i64,
    /// The last file that failed, when that is newer than the last success.
    pub failing: Option<Text>,
    /// Files that wait; none where our role may not look.
    pub waiting: Option<i64>,
}

/// What would be lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposed {
    /// Bytes of WAL behind the archive's end.
    pub bytes: u64,
    /// How old the oldest commit that is not archived can be at most; none when that is not known.
    pub at_most: Option<Duration>,
}

/// Both together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The server.
    pub server: Server,
    /// What is archived.
    pub chain: Chain,
    /// The position to which the server's timeline is archived; none when nothing of it is.
    pub safe: Option<u64>,
    /// What would be lost; none when nothing of the server's timeline is archived.
    pub exposed: Option<Exposed>,
}

/// Compares a repository with the server.
pub fn status(repository: &Repository, session: &Session) -> Result<Status> {
    let server = ask(session)?;
    let archive = Archive::Repository(repository.clone());
    let listing = archive.list()?;
    let chain = chain::of(&archive, &listing, &Memory::load(repository)?)?;
    let last = chain.timeline(server.timeline).and_then(|timeline| timeline.ranges.last());
    let safe = last.map(|range| range.end);
    let exposed = match last {
        None => None,
        Some(range) => {
            let bytes = server.position.saturating_sub(range.end);
            let at_most = if bytes <= EMPTY_SEGMENT {
                Some(Duration::ZERO)
            } else {
                let last = Segment::at(server.timeline, range.end - 1, chain.segment_size);
                let since = last_commit(&archive, last, session.version / 10_000)?;
                since
                    .map(|at| Duration::try_from(server.now.duration_since(at)).unwrap_or_default())
            };
            Some(Exposed { bytes, at_most })
        }
    };
    Ok(Status { server, chain, safe, exposed })
}

/// The last commit in a segment: everything behind it is younger. None when it holds none, or no program can
/// read it.
fn last_commit(archive: &Archive, segment: Segment, major: u32) -> Result<Option<Timestamp>> {
    let dump = Dump::find(major).ok();
    let kept = archive.find_one(WalFile::Segment(segment))?;
    let (Some(dump), Some(kept)) = (dump, kept) else { return Ok(None) };
    let content = archive.read(&kept)?;
    commits_in(&dump, segment, &content, &Cancel::new()).map(|(_, last)| last)
}

fn ask(session: &Session) -> Result<Server> {
    let row = session.one(
        "SELECT coalesce(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() \
                              ELSE pg_current_wal_insert_lsn() END, '0/0')::text, \
                (SELECT timeline_id FROM pg_control_checkpoint()), \
                extract(epoch FROM clock_timestamp())::float8, \
                current_setting('archive_mode'), archived_count, failed_count, \
                CASE WHEN last_failed_time > coalesce(last_archived_time, '-infinity') \
                     THEN last_failed_wal END, \
                CASE WHEN pg_is_in_recovery() THEN NULL \
                     ELSE pg_walfile_name(pg_current_wal_insert_lsn()) END \
         FROM pg_stat_archiver",
        &[],
    )?;
    let timeline: i32 = row.get(1);
    // After a promotion the control file tells the old timeline until the next checkpoint.
    let writing = row.get::<_, Option<&str>>(7).and_then(|name| name.parse::<Segment>().ok());
    let now = Duration::from_secs_f64(row.get::<_, f64>(2).max(0.0));
    // Refused without pg_monitor: then it is not known.
    let queue = session
        .one("SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'", &[]);
    Ok(Server {
        position: parse_lsn(row.get(0)).unwrap_or_default(),
        timeline: writing.map_or(timeline.unsigned_abs(), |segment| segment.timeline),
        now: Timestamp::from_second(now.as_secs() as i64).unwrap_or_default(),
        mode: row.get::<_, &str>(3).into(),
        archived: row.get(4),
        failed: row.get(5),
        failing: row.get::<_, Option<&str>>(6).map(Text::from),
        waiting: queue.ok().map(|row| row.get(0)),
    })
}

impl Status {
    /// True when nothing stands in the way: archiving is on, nothing fails, and the archive has no gap.
    pub fn sound(&self) -> bool {
        self.safe.is_some()
            && self.server.mode.as_str() != "off"
            && self.server.failing.is_none()
            && self.chain.gaps().is_empty()
            && self.chain.unexpected().is_empty()
    }

    /// Where the archive ends on the server's timeline, in words.
    pub fn safe_text(&self) -> String {
        self.safe.map_or_else(|| "—".to_owned(), lsn)
    }
}
