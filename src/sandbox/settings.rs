//! The demo's own configuration file: with it a second terminal, and a guide's commands, find the demo as they
//! would find any configured target.

use std::path::{Path, PathBuf};

use super::{SandboxError, demo::DATABASE, keeping, running::Endpoint};
use crate::{
    base::paths::write_private,
    cluster::{Cluster, Via},
};

/// Its name, in the sandbox folder.
const FILE: &str = "howdah.toml";
/// The superuser's password, as libpq reads it.
const PASSFILE: &str = "passfile";

/// The configuration file of a sandbox folder.
pub fn file(sandbox: &Path) -> PathBuf {
    sandbox.join(FILE)
}

/// The socket file at which an application's circuit breaker is controlled.
pub fn control(sandbox: &Path, app: &str) -> PathBuf {
    sandbox.join(format!("{app}.control"))
}

/// Writes it: one target, reached as superuser, with its repository, and the control and metrics endpoints of
/// its applications.
pub fn write(cluster: &Cluster, apps: &[Endpoint]) -> Result<(), SandboxError> {
    let folder = cluster.folder();
    let passfile = folder.join(PASSFILE);
    let cannot = |path: &Path| SandboxError::io(format!("cannot write {}", path.display()));
    let password = cluster.password().expose().to_owned();
    write_private(&passfile, format!("*:*:*:*:{password}\n").as_bytes())
        .map_err(cannot(&passfile))?;
    let url = format!(
        "{} dbname={DATABASE} passfile='{}'",
        cluster.conninfo(Via::Tcp),
        passfile.display()
    );
    let mut text = format!(
        "default_target = {name}\n\n[target.{name}]\nurl = {url}\nenvironment = \"development\"\nrepository = {repository}\n",
        name = quoted(keeping::NAME),
        url = quoted(&url),
        repository = quoted(&keeping::repository(folder).to_string_lossy()),
    );
    let door = |app: &Endpoint| format!("unix:{}", control(folder, &app.name).display());
    text += &table("control", apps, door);
    text += &table("metrics", apps, |app| app.url.clone());
    let file = file(folder);
    write_private(&file, text.as_bytes()).map_err(cannot(&file))
}

/// One table of the target, with a text for each application; none without applications.
fn table(name: &str, apps: &[Endpoint], value: impl Fn(&Endpoint) -> String) -> String {
    if apps.is_empty() {
        return String::new();
    }
    let line = |app: &Endpoint| format!("{} = {}\n", quoted(&app.name), quoted(&value(app)));
    let lines: String = apps.iter().map(line).collect();
    format!("\n[target.{}.{name}]\n{lines}", quoted(keeping::NAME))
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
