//! Accounts of the operating system.

use std::{fs, process::Command};

/// The name of the user that owns this process, not `USER`, which anybody may set.
pub fn user_name() -> Option<String> {
    let uid = rustix::process::geteuid().as_raw();
    account_name(uid).or_else(ask_id)
}

/// The name of a local account.
pub fn account_name(uid: u32) -> Option<String> {
    let accounts = fs::read_to_string("/etc/passwd").ok()?;
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, id) = (fields.next()?, fields.next()?, fields.next()?);
        (id.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// Accounts of a directory service are not in `/etc/passwd`; `id` asks the system's resolver.
fn ask_id() -> Option<String> {
    let output = Command::new("id").arg("-un").output().ok()?;
    let name = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !name.is_empty()).then_some(name)
}
