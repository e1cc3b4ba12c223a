//! Where a command sits that asks the server itself.

use clap::Args;

use super::{Cli, Failure, aim::TargetArgs, setup, target};
use crate::{base::text::Text, recover::session::Session};

/// What lists take.
#[derive(Args, Clone, Debug)]
pub struct ListArgs {
    /// Which target
    #[command(flatten)]
    pub target: TargetArgs,
    /// Print them as JSON
    #[arg(long)]
    pub json: bool,
}

/// A target with a session of our own on it.
pub(super) struct Seat {
    pub(super) target: Text,
    pub(super) read_only: bool,
    pub(super) session: Session,
}

impl Seat {
    /// Opens a session on the target that these words name.
    pub(super) fn take(cli: &Cli, words: Option<&str>) -> Result<Self, Failure> {
        let plan = target::plan(&setup::config(cli)?, words)?;
        let session = Session::open(&plan.settings)?;
        let target = plan.frame.target;
        Ok(Self { target: target.name, read_only: target.read_only, session })
    }
}
