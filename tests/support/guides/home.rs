//! A home whose configuration leads to a cluster, with a guide of its own.

use std::fs;

use howdah::cluster::{Cluster, Via};
use tempfile::TempDir;

/// A home with that guide and a configuration for a cluster.
pub fn home_for(cluster: &Cluster, guide: &str) -> TempDir {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join(".config/howdah");
    fs::create_dir_all(folder.join("guides")).expect("made");
    fs::create_dir(home.path().join("repository")).expect("made");
    fs::write(folder.join("guides/own.toml"), guide).expect("written");
    let passfile = home.path().join("passfile");
    fs::write(&passfile, format!("*:*:*:*:{}\n", cluster.password().expose())).expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&passfile, mode).expect("private");
    let url = format!("{} passfile='{}'", cluster.conninfo(Via::Tcp), passfile.display());
    let repository = home.path().join("repository");
    let text = format!(
        "default_target = 't'\n[target.t]\nurl = \"{url}\"\nrepository = '{}'\n",
        repository.display()
    );
    fs::write(folder.join("config.toml"), text).expect("written");
    home
}
