//! The canary: a tiny record, the segment around it ended, and then that very segment waited for in the
//! archive, fetched back and compared. What this measures is what `pg_stat_archiver` cannot know: whether WAL
//! arrives, is whole, and how long that takes.
//!
//! The steps stand alone, for whoever walks a person through them: [`Canary::prepare`], [`Canary::switch`],
//! [`Canary::wait`], [`Canary::continuity`], [`Canary::compare`], [`Canary::verdict`].

use std::{thread, time::Duration};

use rand::distr::{Alphanumeric, SampleString as _};
use serde::Serialize;

use super::{
    archive::{Archive, Kept},
    chain::{self, Window},
    dump::{Dump, End, Scratch},
    fetch::read_checked,
    segment::{Segment, WalFile},
};
use crate::{
    base::{
        cancel::Cancel,
        clock::{Clock, Stamp},
        digest::sha256,
        progress::{Observer, Progress},
        text::Text,
        units,
    },
    recover::{
        Fault, Kind, Repository, Result,
        repository::{claim::Cluster, manifest::parse_lsn},
        session::{Session, identifier},
    },
};

/// How often the archive is looked at: at first, and at most; each look is a twentieth of the wait so far.
const LOOK: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Everything that the steps need.
pub struct Canary<'a> {
    session: &'a Session,
    archive: Archive,
    repository: &'a Repository,
    cluster: Cluster,
    /// After this time the server ends a segment that is not full; none when it waits until it is.
    pub timeout: Option<Duration>,
    means: Means,
    failed_before: i64,
    clock: Clock,
}

/// The record by which a segment is known again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Means {
    /// `pg_logical_emit_message`.
    Message,
    /// `pg_create_restore_point`.
    RestorePoint,
}

/// A segment that was ended with a record of ours in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Switched {
    /// The segment.
    pub segment: Segment,
    /// The word in the record.
    pub word: String,
    /// What kind of record it is.
    pub means: Means,
    /// The position behind it.
    pub position: u64,
    #[serde(skip)]
    at: Stamp,
}

/// The segment in the archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Arrived {
    /// From the end of the segment until it was seen in the archive.
    pub latency: Duration,
    /// Attempts of the server that failed meanwhile.
    pub failed: i64,
    #[serde(skip)]
    kept: Kept,
}

/// How far back the archive is whole from that segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Continuity {
    /// The first position of the stretch that it is in.
    pub from: u64,
    /// The position behind it.
    pub to: u64,
    /// Segments of that stretch.
    pub segments: u64,
    /// What is missing before it, on this timeline or another.
    pub gaps: Vec<Window>,
}

/// The segment that came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// Its size in bytes.
    pub bytes: u64,
    /// The fingerprint of its content; it is also in its name in the archive.
    pub sha256: String,
    /// Who says that it is what the server wrote.
    pub witness: Witness,
}

/// Who says that what came back is what the server wrote. Headers, system identifier and fingerprint are
/// checked in any case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Witness {
    /// The server: its own file in `pg_wal` has the same SHA-256.
    Server,
    /// `pg_waldump`: our record is in it.
    Record,
    /// Nobody could, for these reasons.
    Nobody(Text),
}

/// The measured figure beside the promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// What can be lost at most while archiving goes on like this: the time until a segment is ended, and
    /// then until it is archived. None when nothing ends a segment that is not full.
    pub worst: Option<Duration>,
    /// The promise.
    pub target: Duration,
}

impl Verdict {
    /// True when the promise is kept.
    pub fn kept(&self) -> bool {
        self.worst.is_some_and(|worst| worst <= self.target)
    }
}

impl<'a> Canary<'a> {
    /// Looks whether it can be done here at all.
    ///
    /// # Errors
    /// [`Kind::Refused`] for a standby, a server that does not archive, another cluster's archive, or a role
    /// that may not end a segment.
    pub fn prepare(session: &'a Session, repository: &'a Repository) -> Result<Self> {
        let refused = |what: String, remedy: &str| {
            Err(Fault::new(Kind::Refused, what).remedy(remedy.to_owned()))
        };
        let row = session.one(
            "SELECT pg_is_in_recovery(), current_setting('archive_mode'), \
             (SELECT setting::bigint FROM pg_settings WHERE name = 'archive_timeout'), \
             has_function_privilege('pg_switch_wal()', 'EXECUTE'), \
             (SELECT bool_or(has_function_privilege(oid, 'EXECUTE')) FROM pg_proc \
              WHERE proname = 'pg_logical_emit_message'), \
             has_function_privilege('pg_create_restore_point(text)', 'EXECUTE'), \
             failed_count, current_user::text FROM pg_stat_archiver",
            &[],
        )?;
        if row.get(0) {
            let what = "this server is a standby: it writes no WAL of its own".into();
            return refused(what, "let the canary fly from the primary");
        }
        if row.get::<_, &str>(1) == "off" {
            let what = "archive_mode is off: nothing would arrive".into();
            return refused(what, "`howdah wal setup` shows what is needed");
        }
        let role = row.get::<_, &str>(7);
        let grant = |function: &str| {
            format!("GRANT EXECUTE ON FUNCTION {function} TO {}", identifier(role))
        };
        if !row.get::<_, bool>(3) {
            let what = format!("the role {} may not end a segment", Text::foreign(role));
            return refused(what, &grant("pg_switch_wal()"));
        }
        let means = match (row.get::<_, Option<bool>>(4), row.get::<_, bool>(5)) {
            (Some(true), _) => Means::Message,
            (_, true) => Means::RestorePoint,
            _ => {
                let what = format!("the role {} may not write a record", Text::foreign(role));
                return refused(what, &grant("pg_create_restore_point(text)"));
            }
        };
        let cluster = session.cluster()?;
        if let Some(claim) = repository.claimed()?
            && let Some(why) = claim.cluster.differs(&cluster)
        {
            let what = format!("the archive '{}' is another cluster's: {why}", claim.name);
            return refused(what, "name this one's with --name");
        }
        let timeout = u64::try_from(row.get::<_, i64>(2)).ok().filter(|seconds| *seconds > 0);
        Ok(Self {
            session,
            archive: Archive::Repository(repository.clone()),
            repository,
            cluster,
            timeout: timeout.map(Duration::from_secs),
            means,
            failed_before: row.get(6),
            clock: Clock::system(),
        })
    }

    /// Writes a record of some sixty bytes and ends the segment that it is in.
    pub fn switch(&self) -> Result<Switched> {
        let word = format!("howdah-canary-{}", Alphanumeric.sample_string(&mut rand::rng(), 16));
        let written = match self.means {
            Means::Message => "SELECT pg_logical_emit_message(false, $1, ''::text)",
            Means::RestorePoint => "SELECT pg_create_restore_point($1)",
        };
        let written =
            format!("SELECT at::text, pg_walfile_name(at) FROM ({written} AS at) AS written");
        let row = self.session.one(&written, &[&word])?;
        let position = parse_lsn(row.get(0)).unwrap_or_default();
        let segment = row.get::<_, &str>(1).parse()?;
        self.session.one("SELECT pg_switch_wal()::text", &[])?;
        Ok(Switched { segment, word, means: self.means, position, at: self.clock.now() })
    }

    /// Waits for the segment in the archive.
    ///
    /// # Errors
    /// [`Kind::Failed`] when it has not arrived within the limit, with what the server says of its archiver;
    /// [`Kind::Cancelled`]; [`Kind::Damaged`] when the archive holds something else under its name, too.
    pub fn wait(
        &self,
        switched: &Switched,
        limit: Duration,
        observer: &dyn Observer,
    ) -> Result<Arrived> {
        let file = WalFile::Segment(switched.segment);
        loop {
            let kept = self.archive.find_one(file)?;
            let latency = self.clock.now().since(switched.at);
            let failed = self.failed()?;
            if let Some(kept) = kept {
                return Ok(Arrived { latency, failed, kept });
            }
            if observer.cancelled() {
                return Err(Fault::new(Kind::Cancelled, "the canary was called back"));
            }
            if latency >= limit {
                return Err(lost(switched.segment, limit, failed));
            }
            let phase = format!("waiting for {file} in the archive");
            let waited = Progress::items(phase, latency.as_secs(), Some(limit.as_secs()));
            observer.progress(&waited.with_note(match failed {
                0 => "the server has reported no failure".to_owned(),
                failed => format!("{failed} attempts of the server failed meanwhile"),
            }));
            thread::sleep((latency / 20).clamp(LOOK.0, LOOK.1).min(limit.saturating_sub(latency)));
        }
    }

    fn failed(&self) -> Result<i64> {
        let row = self.session.one("SELECT failed_count FROM pg_stat_archiver", &[])?;
        Ok(row.get::<_, i64>(0).saturating_sub(self.failed_before).max(0))
    }

    /// Looks how far back the archive is whole.
    pub fn continuity(&self, switched: &Switched) -> Result<Continuity> {
        let chain = chain::chain(self.repository)?;
        let size = chain.segment_size.max(1);
        let start = switched.segment.start(size);
        let holds = |range: &&chain::Range| range.start <= start && start < range.end;
        let range = chain
            .timeline(switched.segment.timeline)
            .and_then(|timeline| timeline.ranges.iter().find(holds));
        let Some(range) = range else {
            let what = format!("{} is in no stretch of the archive", switched.segment);
            return Err(Fault::new(Kind::Damaged, what).remedy("`howdah wal verify` says more"));
        };
        Ok(Continuity {
            from: range.start,
            to: range.end,
            segments: (range.end - range.start) / size,
            gaps: chain.gaps(),
        })
    }

    /// Fetches the segment back, checks everything that it says of itself, and compares it with what the
    /// server has, or looks for our record in it.
    ///
    /// # Errors
    /// [`Kind::Damaged`] when it is not what the server wrote.
    pub fn compare(&self, switched: &Switched, arrived: &Arrived) -> Result<Compared> {
        let content = read_checked(&self.archive, &arrived.kept)?;
        let own = super::page::head(&content).ok().and_then(|head| head.cluster());
        let differs = own.and_then(|own| self.cluster.differs(&own));
        if let Some(why) = differs {
            return Err(Fault::new(Kind::Damaged, format!("{}: {why}", switched.segment)));
        }
        let sha256 = sha256(&content);
        let bytes = content.len() as u64;
        let witness = match self.ask_server(switched.segment) {
            Ok(theirs) if theirs == sha256 => Witness::Server,
            Ok(theirs) => {
                let what = format!(
                    "{} came back as something else than what the server has ({}…, not {}…)",
                    switched.segment,
                    sha256.get(..12).unwrap_or_default(),
                    theirs.get(..12).unwrap_or_default()
                );
                return Err(Fault::new(Kind::Damaged, what));
            }
            Err(server) => match self.look_for_record(switched, &content) {
                Ok(true) => Witness::Record,
                Ok(false) => {
                    let what = format!("our record is not in {}", switched.segment);
                    return Err(Fault::new(Kind::Damaged, what));
                }
                Err(fault) if fault.kind == Kind::Damaged => return Err(fault),
                Err(dump) => Witness::Nobody(format!("{}; {}", server.what(), dump.what()).into()),
            },
        };
        Ok(Compared { bytes, sha256, witness })
    }

    /// The SHA-256 of the server's own file: it stays in `pg_wal` until a checkpoint or two later.
    fn ask_server(&self, segment: Segment) -> Result<String> {
        let path = format!("pg_wal/{segment}");
        let sql = "SELECT encode(sha256(pg_read_binary_file($1)), 'hex')";
        self.session.one(sql, &[&path]).map(|row| row.get(0))
    }

    fn look_for_record(&self, switched: &Switched, content: &[u8]) -> Result<bool> {
        let dump = Dump::find(self.cluster.major())?;
        let scratch = Scratch::new()?;
        scratch.put(switched.segment, content)?;
        let mut found = false;
        let (segment, word) = (switched.segment, switched.word.as_str());
        let end =
            dump.read(scratch.path(), (segment, segment), &[], &Cancel::new(), &mut |record| {
                found |= record.what.contains(word);
            })?;
        match end {
            End::Whole => Ok(found),
            End::Broken(why) => Err(Fault::new(Kind::Damaged, format!("{segment}: {why}"))),
        }
    }

    /// Holds the measured latency against a promise.
    pub fn verdict(&self, arrived: &Arrived, target: Duration) -> Verdict {
        Verdict { worst: self.timeout.map(|timeout| timeout + arrived.latency), target }
    }
}

/// What is said of a segment that did not arrive.
fn lost(segment: Segment, limit: Duration, failed: i64) -> Fault {
    let limit = units::age(limit);
    let what = format!("{segment} has not arrived in the archive within {limit}");
    let fault = |what: String| Fault::new(Kind::Failed, what);
    if failed > 0 {
        let what = format!("{what}; {failed} attempts of the server failed meanwhile");
        return fault(what).remedy("the server's log says why");
    }
    fault(format!("{what}, and the server has reported no failure")).remedy(
        "a command that hangs, a queue (`howdah wal status`), or an archive_command that leads elsewhere",
    )
}
