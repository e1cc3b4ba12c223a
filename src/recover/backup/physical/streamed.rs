//! Straight into the repository: one archive, compressed on this side.

use serde_json::json;

use super::{cleanup, shown::Shown};
use crate::{
    base::exec::Tool,
    recover::{
        Result,
        backup::{
            pump::{Tee, pump},
            run::Run,
        },
        base_backup::Members,
        repository::{
            manifest::{File, Role},
            sealed::Compression,
        },
    },
};

/// Runs `pg_basebackup`, and keeps what it prints.
pub(super) fn take(run: &Run<'_>, tool: &Tool) -> Result<(Vec<File>, Members)> {
    let key = run.repository.backup_key(&run.id)?.join("base.tar.zst")?;
    let tool = tool.clone().args(["-D", "-"]);
    run.step("base", "copy the data folder", &cleanup(run, None), || {
        let sealing = run.repository.seal_as(&key, Compression::Zstd, run.threads)?;
        let mut shown = Shown::default();
        let (sealing, members) = pump(
            &tool,
            run.observer.cancel(),
            |output| {
                let mut tee = Tee::new(output, sealing);
                let mut members = Members::default();
                let read = members.read(&mut tee, None);
                tee.finish(read.map(|()| members))
            },
            &mut |bytes, lines| run.observer.progress(&shown.progress(bytes, lines)),
        )
        .map_err(|fault| shown.explain(fault))?;
        let stored = sealing.finish()?;
        let details = json!({ "bytes": stored.size, "unpacked": stored.content_size });
        Ok(((vec![File { role: Role::Base, stored }], members), details))
    })
}
