//! A file system of some megabytes, to run full. Only root can mount one.

use std::{path::Path, process::Command};

/// Mounted on a folder of its own; gone when dropped.
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Mounts one.
    pub fn mount(megabytes: u32) -> Self {
        let disk = Self(tempfile::tempdir().expect("a folder"));
        disk.call(&format!("size={megabytes}m"));
        disk
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Gives it another size.
    pub fn resize(&self, megabytes: u32) {
        self.call(&format!("remount,size={megabytes}m"));
    }

    /// Lets nobody write to it, or lets them again.
    pub fn read_only(&self, yes: bool) {
        self.call(if yes { "remount,ro" } else { "remount,rw" });
    }

    fn call(&self, options: &str) {
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(self.path()).status();
        assert!(mounted.expect("mount").success(), "a small file system can be mounted");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
