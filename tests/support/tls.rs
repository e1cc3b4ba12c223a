//! Certificates, and servers that show them.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::Path,
    process::Command,
};

use howdah::cluster::Cluster;

/// Runs `openssl` in that folder.
pub fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .output()
        .expect("openssl is installed");
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Has the server show `NAME.crt` of that folder, with the key `NAME.key`.
pub fn serve(cluster: &Cluster, folder: &Path, name: &str) {
    for kind in ["crt", "key"] {
        let there = cluster.data_dir().join(format!("server.{kind}"));
        fs::copy(folder.join(format!("{name}.{kind}")), &there).expect("copied");
        let owner = fs::metadata(cluster.data_dir()).expect("there");
        chown(&there, Some(owner.uid()), Some(owner.gid())).expect("given");
        fs::set_permissions(&there, fs::Permissions::from_mode(0o600)).expect("mode set");
    }
    cluster.set("ssl", "on").expect("set");
    // The server takes new files with the next reload, each new session of it a moment later.
    cluster.restart().expect("restarted");
}
