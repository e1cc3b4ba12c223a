//! What a restore must never touch: a live cluster, its tablespaces, a port in use, a folder with something
//! in it.

use std::{
    ffi::OsStr,
    fs, io,
    net::TcpListener,
    path::{Component, Path, PathBuf},
};

use crate::{
    base::process,
    cluster::LockFile,
    recover::{Fault, Kind, Result},
};

/// A cluster that runs on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// Its postmaster, or one of its processes.
    pub pid: i32,
    /// Its data folder.
    pub data: PathBuf,
    /// Where its tablespaces really stand.
    pub tablespaces: Vec<PathBuf>,
}

/// The clusters that run here: every server process works in its data folder.
pub fn live() -> Vec<Live> {
    let mut found: Vec<Live> = Vec::new();
    for process in process::all() {
        let program = process.command.split_whitespace().next().unwrap_or_default();
        let program = program.rsplit('/').next().unwrap_or_default().trim_end_matches(':');
        if !process.alive() || !matches!(program, "postgres" | "postmaster" | "postgresql") {
            continue;
        }
        let Ok(data) = fs::read_link(format!("/proc/{}/cwd", process.pid)) else { continue };
        if data.join("PG_VERSION").is_file() && !found.iter().any(|live| live.data == data) {
            found.push(Live { pid: process.pid, tablespaces: tablespaces(&data), data });
        }
    }
    found
}

/// Where the links of `pg_tblspc` lead.
pub fn tablespaces(data: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(data.join("pg_tblspc")) else { return Vec::new() };
    entries.flatten().filter_map(|entry| fs::canonicalize(entry.path()).ok()).collect()
}

/// The path without links: of what exists, and the rest behind it.
pub fn resolved(path: &Path) -> Result<PathBuf> {
    let path =
        std::path::absolute(path).map_err(Fault::io(format!("'{}' is no path", path.display())))?;
    if path.components().any(|part| part == Component::ParentDir) {
        let what = format!("'{}' has '..' in it", path.display());
        return Err(Fault::new(Kind::Usage, what).remedy("write the path without it"));
    }
    let mut rest = Vec::new();
    let mut existing = path.as_path();
    loop {
        match fs::canonicalize(existing) {
            Ok(real) => {
                return Ok(rest.iter().rev().fold(real, |whole, part: &&OsStr| whole.join(part)));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // A link that leads nowhere yet would lead somewhere later.
                if fs::symlink_metadata(existing).is_ok() {
                    let what = format!("'{}' is a link that leads nowhere", existing.display());
                    return Err(Fault::new(Kind::Refused, what));
                }
                let (Some(parent), Some(name)) = (existing.parent(), existing.file_name()) else {
                    return Ok(path);
                };
                rest.push(name);
                existing = parent;
            }
            Err(error) => {
                return Err(Fault::io(format!("cannot look at '{}'", existing.display()))(error));
            }
        }
    }
}

/// A folder that a cluster may be restored into: new or empty, and outside of every cluster. Returns it
/// without links.
pub fn free_folder(path: &Path, live: &[Live]) -> Result<PathBuf> {
    let folder = resolved(path)?;
    let refused = |why: String| {
        Err(Fault::new(Kind::Refused, format!("'{}' {why}", path.display()))
            .remedy("choose a new folder outside of any cluster"))
    };
    for cluster in live {
        let places = std::iter::once(&cluster.data).chain(&cluster.tablespaces);
        for place in places {
            if folder.starts_with(place) || place.starts_with(&folder) {
                return refused(format!(
                    "touches the running cluster in '{}' (process {})",
                    place.display(),
                    cluster.pid
                ));
            }
        }
    }
    for parent in folder.ancestors() {
        if parent.join("PG_VERSION").is_file() {
            return refused(format!("lies in the data folder '{}'", parent.display()));
        }
        if holds_tablespace(parent) {
            return refused(format!("lies in the tablespace '{}'", parent.display()));
        }
    }
    match fs::read_dir(&folder) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                return refused("is not empty".to_owned());
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return refused("is not a folder".to_owned());
        }
        Err(error) => {
            return Err(Fault::io(format!("cannot look at '{}'", folder.display()))(error));
        }
    }
    Ok(folder)
}

/// A tablespace's folder holds one folder for each catalogue version: `PG_15_202209061` (PostgreSQL
/// documentation, "Database Physical Storage").
fn holds_tablespace(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| {
        let name = entry.file_name();
        let mut parts =
            name.to_str().unwrap_or_default().strip_prefix("PG_").unwrap_or_default().split('_');
        let number = |part: Option<&str>| {
            part.is_some_and(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
        };
        number(parts.next()) && number(parts.next()) && parts.next().is_none()
    })
}

/// A port that nobody listens on, neither by TCP nor by a socket in the usual folders.
pub fn free_port(port: u16) -> Result<()> {
    let first = first_port();
    if port < first {
        return Err(Fault::new(
            Kind::Refused,
            format!("port {port} is not for a server's account"),
        )
        .remedy(format!("choose one from {first} on with --port")));
    }
    let taken = TcpListener::bind(("127.0.0.1", port)).is_err()
        || ["/tmp", "/run/postgresql", "/var/run/postgresql"]
            .iter()
            .any(|folder| Path::new(folder).join(format!(".s.PGSQL.{port}")).exists());
    if taken {
        return Err(Fault::new(Kind::Refused, format!("port {port} is in use"))
            .remedy("choose another one with --port"));
    }
    Ok(())
}

/// The first port that is not root's alone: servers do not run as root (`ip_unprivileged_port_start` in ip(7)).
fn first_port() -> u16 {
    fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .map_or(1024, |first: u16| first.max(1))
}

/// A stopped cluster's data folder, to be moved aside. Returns it without links.
pub fn stopped(data: &Path, live: &[Live]) -> Result<PathBuf> {
    let folder = resolved(data)?;
    if !folder.join("PG_VERSION").is_file() {
        let what = format!("'{}' is no data folder: it has no PG_VERSION", data.display());
        return Err(Fault::new(Kind::Refused, what));
    }
    let noted = LockFile::in_folder(&folder).map(|file| file.pid);
    let noted = noted.filter(|pid| process::alive(*pid));
    let running =
        live.iter().find(|cluster| cluster.data == folder).map(|cluster| cluster.pid).or(noted);
    if let Some(pid) = running {
        let what = format!("the cluster in '{}' is running (process {pid})", data.display());
        return Err(Fault::new(Kind::Refused, what).remedy("stop it first"));
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn refusal(path: &Path, live: &[Live]) -> String {
        let fault = free_folder(path, live).expect_err("refused");
        assert_eq!(fault.kind, Kind::Refused, "{fault}");
        fault.to_string()
    }

    #[test]
    fn nothing_that_belongs_to_a_cluster_is_free() {
        let home = tempfile::tempdir().expect("a folder");
        let home = fs::canonicalize(home.path()).expect("real");
        let (data, space) = (home.join("data"), home.join("fast"));
        for folder in [&data, &space, &space.join("PG_15_202209061")] {
            fs::create_dir(folder).expect("made");
        }
        let live = [Live { pid: 7, data: data.clone(), tablespaces: vec![space.clone()] }];
        assert!(refusal(&data, &live).contains("running cluster"));
        assert!(refusal(&data.join("new/deep"), &live).contains("running cluster"));
        assert!(refusal(&home, &live).contains("running cluster"), "a parent holds it");
        assert!(refusal(&space.join("new"), &live).contains("running cluster"));
        assert!(refusal(&space.join("new"), &[]).contains("tablespace"), "of a stopped one, too");
        fs::write(data.join("PG_VERSION"), "15").expect("written");
        assert!(refusal(&data.join("new"), &[]).contains("data folder"));
        symlink(&data, home.join("link")).expect("linked");
        assert!(
            refusal(&home.join("link/new"), &live).contains("running cluster"),
            "through a link"
        );
        symlink(home.join("nowhere"), home.join("dangling")).expect("linked");
        assert!(refusal(&home.join("dangling"), &[]).contains("leads nowhere"));
        assert_eq!(free_folder(&home.join("new"), &live).expect("free"), home.join("new"));
    }

    #[test]
    fn a_folder_with_something_in_it_is_not_free() {
        let home = tempfile::tempdir().expect("a folder");
        fs::write(home.path().join("x"), "").expect("written");
        assert!(refusal(home.path(), &[]).contains("not empty"));
        assert!(refusal(&home.path().join("x"), &[]).contains("not a folder"));
    }

    #[test]
    fn only_a_stopped_cluster_is_moved_aside() {
        let home = tempfile::tempdir().expect("a folder");
        assert!(stopped(home.path(), &[]).is_err());
        fs::write(home.path().join("PG_VERSION"), "15").expect("written");
        assert!(stopped(home.path(), &[]).is_ok());
        fs::write(home.path().join("postmaster.pid"), std::process::id().to_string())
            .expect("written");
        assert!(stopped(home.path(), &[]).expect_err("alive").to_string().contains("is running"));
        fs::write(home.path().join("postmaster.pid"), "999999999").expect("written");
        assert!(stopped(home.path(), &[]).is_ok(), "a file that a dead server left");
    }

    #[test]
    fn a_port_in_use_or_of_root_alone_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        assert_eq!(free_port(port).expect_err("taken").kind, Kind::Refused);
        for port in [0, first_port() - 1] {
            let fault = free_port(port).expect_err("not for a server");
            assert!(fault.to_string().contains("not for a server's account"), "{fault}");
        }
    }
}
