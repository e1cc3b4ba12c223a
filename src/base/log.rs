//! The log: a file under the state folder, never the screen.

use std::{fs, io, path::Path, sync::Mutex};

use tracing_subscriber::{EnvFilter, fmt::time::FormatTime};

use super::{clock::Clock, paths};

/// A log larger than this is set aside as `howdah.log.1` when the next one is opened.
const ROTATE_AT: u64 = 5 << 20;

/// Sends every event at `level` or above (`error`, `warn`, `info`, `debug`, `trace`, or an
/// [`EnvFilter`] directive) to `file`. Only the first call of a process counts.
pub fn to_file(file: &Path, level: &str) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        paths::private_folder(folder)?;
    }
    if fs::metadata(file).is_ok_and(|meta| meta.len() > ROTATE_AT) {
        fs::rename(file, file.with_extension("log.1"))?;
    }
    let writer = Mutex::new(paths::private_file(file)?);
    let filter = EnvFilter::try_new(level)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
    // A second subscriber is refused; the first goes on.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_timer(Wall(Clock::system()))
        .with_ansi(false)
        .with_writer(writer)
        .try_init();
    Ok(())
}

struct Wall(Clock);

impl FormatTime for Wall {
    fn format_time(&self, w: &mut tracing_subscriber::fmt::format::Writer<'_>) -> std::fmt::Result {
        write!(w, "{:.3}", self.0.wall())
    }
}
