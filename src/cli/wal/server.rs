//! The two commands that the server itself runs, once for each file.

use std::{
    env,
    ffi::OsString,
    os::unix::process::CommandExt as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    Cli, Exit, Failure,
    args::{AheadArgs, ArchiveArgs, FetchArgs},
};
use crate::recover::wal::{
    WalFile,
    fetch::{self, Came},
    put,
    spool::Spool,
};

/// The folder of segments that are fetched ahead, beside the file that was asked for.
const SPOOL: &str = "howdah-spool";
/// A server with this file in its data folder (in which it runs its commands) asks again for what it did
/// not get, and takes what it can from its primary meanwhile.
const STANDBY: &str = "standby.signal";

/// `archive_command`. Every failure is an exit code from 1 to 125: the server keeps the file and asks again.
pub fn archive(cli: &Cli, args: &ArchiveArgs) -> Result<Exit, Failure> {
    let repository = super::repository(cli, &args.place)?;
    put::put(&repository, &args.path)?;
    Ok(Exit::Ok)
}

/// `restore_command`.
pub fn fetch(cli: &Cli, args: &FetchArgs) -> Result<Exit, Failure> {
    let work = AssertUnwindSafe(|| fetch_one(cli, args));
    // A panic's own code, 101, would mean "not there".
    let fetched = catch_unwind(work)
        .unwrap_or_else(|_| Err(Failure::new(Exit::Failure, "an error of howdah itself")));
    match fetched {
        Err(failure) if failure.exit == Exit::Unavailable && Path::new(STANDBY).exists() => {
            Err(Failure::new(NOT_THERE, failure))
        }
        fetched => fetched,
    }
}

fn fetch_one(cli: &Cli, args: &FetchArgs) -> Result<Exit, Failure> {
    let archive = super::archive(cli, &args.source)?;
    let file: WalFile = args.file.parse()?;
    let spool = spool(args);
    let came = fetch::fetch(&archive, file, &args.path, spool.as_ref())?;
    match (spool, came, file) {
        // The archive has no more; or recovery ends before that, and the server looks for a timeline of its own.
        (Some(spool), Came::NotThere, WalFile::Segment(_) | WalFile::History(_)) => spool.remove(),
        // What cannot be fetched ahead is fetched when it is asked for.
        (Some(spool), Came::Archive | Came::Spool, WalFile::Segment(segment))
            if spool.wants_more(segment) =>
        {
            let _ = start_ahead(cli, args, &spool);
        }
        _ => {}
    }
    Ok(exit(came))
}

/// What a server takes for "not there".
const NOT_THERE: Exit = Exit::Code(1);

fn exit(came: Came) -> Exit {
    if came == Came::NotThere { NOT_THERE } else { Exit::Ok }
}

fn spool(args: &FetchArgs) -> Option<Spool> {
    if args.ahead == 0 || args.source.from_folder.is_some() {
        return None;
    }
    let beside = || args.path.parent().unwrap_or(Path::new("")).join(SPOOL);
    Some(Spool::new(&args.spool.clone().unwrap_or_else(beside), args.ahead))
}

/// Starts the process that fetches ahead, and does not wait for it.
fn start_ahead(cli: &Cli, args: &FetchArgs, spool: &Spool) -> std::io::Result<()> {
    let mut command = Command::new(env::current_exe()?);
    let place = &args.source.place;
    let named = [
        ("--config", cli.config.as_ref().map(|path| path.clone().into_os_string())),
        ("--target", place.target.as_ref().map(OsString::from)),
        ("--repository", place.repository.clone().map(OsString::from)),
        ("--name", place.name.clone().map(OsString::from)),
    ];
    command.args(["wal", "ahead"]);
    for (option, value) in named {
        if let Some(value) = value {
            command.arg(option).arg(value);
        }
    }
    command
        .arg("--ahead")
        .arg(spool.ahead.to_string())
        .arg("--spool")
        .arg(spool.folder())
        .arg(&args.file)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(drop)
}

/// Fetches ahead.
pub fn ahead(cli: &Cli, args: &AheadArgs) -> Result<Exit, Failure> {
    let archive = crate::recover::wal::Archive::Repository(super::repository(cli, &args.place)?);
    let folder: PathBuf = args.spool.clone();
    Spool::new(&folder, args.ahead).fill(&archive, args.file.parse()?)?;
    Ok(Exit::Ok)
}

/// Failures of a `restore_command` other than "not there" end with 128 and the usual code: beyond 125 the
/// server stops instead of ending recovery in silence.
pub fn for_recovery(result: Result<Exit, Failure>) -> Result<Exit, Failure> {
    result.map_err(|failure| match failure.exit {
        NOT_THERE => failure,
        // EX_SOFTWARE: 128 and a number below 65 would look like a signal.
        Exit::Failure => Failure::new(Exit::Code(128 + 70), failure),
        exit => Failure::new(Exit::Code(128 + exit.code()), failure),
    })
}

/// True when these words call `wal fetch`, whatever else is wrong with them.
pub fn asks_for_fetch(arguments: &[OsString]) -> bool {
    arguments.windows(2).any(|pair| pair[0] == "wal" && pair[1] == "fetch")
}
