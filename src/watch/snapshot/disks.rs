//! Disks of this machine that must not run full.

use std::time::Duration;

use serde::Serialize;

use super::Known;
use crate::base::text::Text;

/// A folder of this machine that must not run out of room.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Folder {
    /// What it is: `data`, `pg_wal`, `spool`, `repository`, `state`.
    pub name: Text,
    /// Where it is.
    pub path: Text,
    /// The disk below it.
    pub disk: Known<Disk>,
}

/// A file system.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Disk {
    /// Which one, for as long as it is mounted.
    pub device: u64,
    /// Its size in bytes.
    pub size: u64,
    /// What an ordinary account may still write to it, in bytes.
    pub free: u64,
    /// How many of a hundred bytes are used, as df counts.
    pub used_percent: f64,
    /// When it will be full, if it goes on as in the last minutes; none while it does not fill.
    pub full_in: Option<Duration>,
}
