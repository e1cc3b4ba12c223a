//! A small file system of its own for the demo's repository, so that it can run full without filling the
//! machine. Only root can mount one, and only Linux has it.

use std::path::Path;

/// Bytes that it holds: some hours of the demo's backups and WAL.
#[cfg(target_os = "linux")]
const SIZE: &str = "size=512m,mode=0700";

/// Mounts one on `folder`; false where that cannot be had.
#[cfg(target_os = "linux")]
pub fn mount(folder: &Path) -> bool {
    use rustix::mount::{MountFlags, mount};

    let Ok(data) = std::ffi::CString::new(SIZE) else { return false };
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::process::geteuid().is_root()
        && mount("tmpfs", folder, "tmpfs", flags, Some(data.as_c_str())).is_ok()
}

/// Mounts one on `folder`; false where that cannot be had.
#[cfg(not(target_os = "linux"))]
pub fn mount(_: &Path) -> bool {
    false
}
