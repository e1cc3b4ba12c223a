//! What a repository asks of the place where it is kept.

use std::{
    io::{Read, Write},
    ops::Range,
    path::PathBuf,
    time::Duration,
};

use super::key::Key;
use crate::{
    base::{
        clock::{Timestamp, passed},
        text::Text,
    },
    recover::Result,
};

/// A place that keeps objects by name: a folder, or a bucket. Objects appear whole or not at all, and do not
/// change. Every method may be called from several threads at once.
pub trait Storage: Send + Sync {
    /// Where it is, without secrets.
    fn describe(&self) -> Text;

    /// Begins an object. It appears, for good (flushed to the disk, or acknowledged by the bucket), when
    /// [`Upload::finish`] returns, and leaves nothing behind when the upload is dropped.
    fn create(&self, key: &Key, overwrite: Overwrite) -> Result<Box<dyn Upload>>;

    /// Reads an object from its beginning.
    ///
    /// # Errors
    /// [`Kind::Unavailable`](crate::recover::Kind) when there is none.
    fn open(&self, key: &Key) -> Result<Box<dyn Read + Send>>;

    /// Reads a part of an object.
    fn open_range(&self, key: &Key, range: Range<u64>) -> Result<Box<dyn Read + Send>>;

    /// Everything below a name, ordered by name; without what is still being written.
    fn list(&self, below: &Key) -> Result<Vec<Object>>;

    /// The names one level below, ordered: folders, so to speak.
    fn children(&self, below: Option<&Key>) -> Result<Vec<String>>;

    /// What is known of one object; none when it is not there.
    fn stat(&self, key: &Key) -> Result<Option<Object>>;

    /// Removes an object. Nothing when it is not there.
    fn remove(&self, key: &Key) -> Result<()>;

    /// What writers have not finished below a name, be they interrupted or still at it: names of the objects
    /// it was to become.
    fn leftovers(&self, below: &Key) -> Result<Vec<Leftover>>;

    /// False where they cannot be listed, as in a bucket: an empty list then says nothing.
    fn knows_leftovers(&self) -> bool {
        true
    }

    /// Removes one of them.
    fn remove_leftover(&self, leftover: &Leftover) -> Result<()>;

    /// Free and total bytes, where that is known.
    fn space(&self) -> Result<Option<Space>>;

    /// The path of an object, for tools that must read a file by themselves: only a folder has one.
    fn path(&self, key: &Key) -> Option<PathBuf>;
}

/// What happens when the object is already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// [`Kind::Refused`](crate::recover::Kind): what is kept does not change.
    Never,
    /// The new one takes its place at once. Only for what is meant to change, such as a lock.
    Replace,
}

/// An object that is being written.
pub trait Upload: Write + Send {
    /// Publishes it.
    fn finish(self: Box<Self>) -> Result<()>;
}

/// What is known of an object without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its name.
    pub key: Key,
    /// Its size in bytes, as stored.
    pub size: u64,
    /// When it was published, by the storage's own clock.
    pub modified: Timestamp,
}

/// What a writer has not finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// The object that it was to become.
    pub key: Key,
    /// The storage's own handle: a file name, or an upload's number.
    pub handle: String,
    /// Its size in bytes, where that is known.
    pub size: Option<u64>,
    /// When it was last written to, where that is known.
    pub modified: Option<Timestamp>,
    /// True when it is known that its writer does not run any more.
    pub ended: bool,
}

/// What a writer has not finished may belong to one that still runs, as long as nothing else is known of that
/// one, until it is so old.
const STALE: Duration = Duration::from_hours(24);

impl Leftover {
    /// How long nothing was written to it, where that is known.
    pub fn age(&self, now: Timestamp) -> Option<Duration> {
        self.modified.map(|at| passed(at, now))
    }

    /// True when it belongs to nobody any more: its writer has ended, or cannot be asked and has written
    /// nothing for a day.
    pub fn abandoned(&self, now: Timestamp) -> bool {
        self.ended || self.age(now).is_some_and(|age| age >= STALE)
    }
}

/// Room in a storage, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What we may still write.
    pub free: u64,
    /// All of it.
    pub total: u64,
}
