//! `howdah restore room`: the room that is left where something is brought back to; asks no server.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::{
    base::units::bytes,
    cli::{Exit, Failure, say},
    recover::physical::plan::free,
};

/// What `restore room` takes.
#[derive(Args, Clone, Debug)]
pub struct RoomArgs {
    /// The folder; it need not be there yet
    pub folder: PathBuf,
    /// Print it as JSON
    #[arg(long)]
    pub json: bool,
}

/// Prints it.
pub(super) fn run(args: &RoomArgs) -> Result<Exit, Failure> {
    let free = free(&args.folder)?;
    let text = if args.json {
        super::json(&json!({ "folder": args.folder, "free": free, "free_mb": free / 1_000_000 }))?
    } else {
        format!("{} are free where {} is\n", bytes(free), args.folder.display())
    };
    say(&text)?;
    Ok(Exit::Ok)
}
