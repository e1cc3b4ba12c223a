//! Whether the server's account can bring WAL back: `restore_command` runs as that account, and not as ours.
//!
//! A repository is for its owner alone. Root can read it and plan from it, and the server, which never runs as
//! root, would then find nothing in it: so one segment is fetched beforehand, just as the server will.

use super::{archive::Archive, chain::Chain};
use crate::{
    base::text::Text,
    cluster::folder::{Account, PrivateFolder, command},
    recover::{Fault, Kind, Result},
};

/// Fetches the newest segment of a chain as the account that the server will run as. Nothing is done where
/// that is ours, or where no archived WAL is needed.
///
/// # Errors
/// [`Kind::Config`], with what the command said, when that account cannot: it says nothing about the backup.
pub fn by_the_server(archive: &dyn Archive, chain: &Chain) -> Result<()> {
    let (Some(account), Some(newest)) = (Account::for_servers()?, chain.links.last()) else {
        return Ok(());
    };
    let folder = PrivateFolder::create()?;
    let name = newest.segment.name(chain.segment_size);
    let to = folder.path().join(&name);
    let script = archive.once(&name, &to)?;
    let tried = command("sh".as_ref(), Some(&account), folder.path())
        .args(["-c", &script])
        .output()
        .map_err(Fault::io("cannot run 'sh'"))?;
    if tried.status.success() && to.is_file() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&tried.stderr);
    let said = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("without a word");
    let what = format!(
        "the server would run as '{}', and that account cannot fetch {name} from {}: {}",
        account.name,
        archive.describe(),
        Text::foreign(said)
    );
    Err(Fault::new(Kind::Config, what).remedy(format!(
        "run this as '{0}', or let '{0}' read what it names: files of a repository are for their owner alone, \
         and `chown -R {0}` gives them away",
        account.name
    )))
}
