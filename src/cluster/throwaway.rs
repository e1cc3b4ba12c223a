//! Makes a throw-away cluster and removes it, whatever happens to the owner's code.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    net::TcpListener,
    ops::Deref,
    path::{Path, PathBuf},
    process::Stdio,
};

use rand::{
    RngExt,
    distr::{Alphanumeric, SampleString},
};

use super::{
    ClusterError,
    binaries::Binaries,
    folder::{self, PrivateFolder, command},
    guard::Guard,
    server::{self, HOST, PASSWORD_FILE, SETTINGS_FILE, SUPERUSER, Server, setting, write_private},
};
use crate::base::secret::Secret;

/// What a crash of the machine would do to the data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// As in production: commits reach the disk.
    #[default]
    Honest,
    /// For tests: nothing is flushed (`fsync` off). A crash of the server alone loses nothing.
    Fast,
}

/// How a cluster is made.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What a crash of the machine would do.
    pub durability: Durability,
    /// Server settings on top of ours, in order.
    pub settings: Vec<(String, String)>,
    /// A fixed port; else a free one is found.
    pub port: Option<u16>,
    /// A folder in which one fresh data folder is kept and copied from: half a second is saved each
    /// time, at the price of the same system identifier and superuser password in all copies.
    pub template: Option<PathBuf>,
    /// The programs; else those that [`Binaries::find`] finds.
    pub binaries: Option<Binaries>,
    /// This crate's binary, to run as the cluster's guard: server and folder then go also when this process
    /// is killed. A demo has a guard of its own.
    pub guard: Option<PathBuf>,
}

/// A running cluster that is stopped and removed on drop, even when it is hung.
#[derive(Debug)]
pub struct Cluster {
    server: Server,
    // Only `keep` takes it out; its own drop removes the folder.
    folder: Option<PrivateFolder>,
    guard: Option<Guard>,
}

/// How often another free port is tried.
const PORT_ATTEMPTS: usize = 20;
/// Below the range from which systems give ports to outgoing connections (Linux from 32768, the IANA's
/// own from 49152), so that a stopped cluster's port is still free when it starts again.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// Part of a template's name: raise it when `initdb`'s arguments change.
const TEMPLATE_FORMAT: u32 = 1;

impl Cluster {
    /// Makes a cluster in a fresh private folder and starts it.
    pub fn start(options: &Options) -> Result<Self, ClusterError> {
        let binaries = options.binaries.clone().map_or_else(Binaries::find, Ok)?;
        Self::start_in(PrivateFolder::create()?, binaries, options)
    }

    /// Makes a cluster in that folder, with those programs, and starts it.
    pub fn start_in(
        folder: PrivateFolder,
        binaries: Binaries,
        options: &Options,
    ) -> Result<Self, ClusterError> {
        // Told before the work is done, where it can be.
        if let Some(port) = options.port.filter(|&port| TcpListener::bind((HOST, port)).is_err()) {
            return Err(ClusterError::PortTaken(port));
        }
        let mut guard = options.guard.as_deref().map(Guard::start).transpose()?;
        if let Some(guard) = &mut guard {
            guard.folder(folder.path())?;
        }
        let password = make_data(&folder, &binaries, options.template.as_deref())?;
        let server = Server {
            folder: folder.path().to_owned(),
            binaries,
            account: folder.account().cloned(),
            port: 0,
            password,
        };
        // From here on a drop ends what was started.
        let mut cluster = Self { server, folder: Some(folder), guard };
        include_settings(&cluster.data_dir())?;
        for attempt in 1.. {
            cluster.server.port = match options.port {
                Some(port) => port,
                None => free_port()?,
            };
            cluster.configure(options)?;
            match cluster.server.start() {
                // Somebody took the port after we looked.
                Err(ClusterError::PortTaken(_))
                    if options.port.is_none() && attempt < PORT_ATTEMPTS => {}
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        cluster.server.record()?;
        Ok(cluster)
    }

    /// Leaves the server running and the folder where it is.
    pub fn keep(mut self) -> Server {
        self.folder.take().map(PrivateFolder::keep);
        self.dismiss_guard();
        self.server.clone()
    }

    /// Nothing is left for it to do.
    fn dismiss_guard(&mut self) {
        if let Some(Err(error)) = self.guard.take().map(Guard::release) {
            tracing::warn!(%error, "a sandbox's guard ended before its cluster");
        }
    }

    fn configure(&self, options: &Options) -> Result<(), ClusterError> {
        let mut text = String::new();
        for (name, value) in base_settings(options.durability) {
            text += &setting(name, value);
        }
        text += &setting("port", &self.port.to_string());
        text += &setting("unix_socket_directories", &self.server.folder.to_string_lossy());
        for (name, value) in &options.settings {
            text += &setting(name, value);
        }
        let path = self.data_dir().join(SETTINGS_FILE);
        write_private(&path, &text)?;
        self.folder.as_ref().map_or(Ok(()), |folder| folder.give(&path))
    }
}

impl Deref for Cluster {
    type Target = Server;
    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(folder) = self.folder.take() {
            server::end_all(folder.path());
            drop(folder);
            self.dismiss_guard();
        }
    }
}

fn base_settings(durability: Durability) -> Vec<(&'static str, &'static str)> {
    let mut settings = vec![
        ("listen_addresses", HOST),
        ("unix_socket_permissions", "0700"),
        ("logging_collector", "off"),
        ("log_destination", "stderr"),
        ("log_line_prefix", "%m [%p] %q%u@%d "),
        ("lc_messages", "C"),
        ("shared_buffers", "32MB"),
        // In the data folder rather than in /dev/shm: a killed server leaves nothing behind, and a
        // container's small /dev/shm is enough.
        ("dynamic_shared_memory_type", "mmap"),
        ("huge_pages", "off"),
    ];
    if durability == Durability::Fast {
        settings.extend([
            ("fsync", "off"),
            ("synchronous_commit", "off"),
            ("full_page_writes", "off"),
        ]);
    }
    settings
}

fn include_settings(data: &Path) -> Result<(), ClusterError> {
    let path = data.join("postgresql.conf");
    OpenOptions::new()
        .append(true)
        .open(&path)
        .and_then(|mut file| writeln!(file, "\ninclude = '{SETTINGS_FILE}'"))
        .map_err(ClusterError::io(format!("cannot write {}", path.display())))
}

/// A loopback port that nobody listens on at this moment.
///
/// # Errors
/// [`ClusterError::PortTaken`] when none was found.
pub fn free_port() -> Result<u16, ClusterError> {
    let mut random = rand::rng();
    (0..1000)
        .map(|_| random.random_range(PORTS))
        .find(|&port| TcpListener::bind((HOST, port)).is_ok())
        .ok_or(ClusterError::PortTaken(PORTS.start))
}

/// Puts a fresh data folder into `folder`, copied from the template if there is one; returns the
/// superuser's password.
fn make_data(
    folder: &PrivateFolder,
    binaries: &Binaries,
    templates: Option<&Path>,
) -> Result<Secret, ClusterError> {
    let Some(templates) = templates else { return initdb(folder, binaries) };
    let version = binaries.version()?;
    let number = version.split_whitespace().nth(2).unwrap_or("unknown");
    let template = templates.join(format!("cluster-{TEMPLATE_FORMAT}-{number}"));
    if !template.exists() {
        let password = initdb(folder, binaries)?;
        save_template(folder, &template)?;
        return Ok(password);
    }
    folder.copy_in(&template.join("data"), "data")?;
    let password = folder.copy_in(&template.join(PASSWORD_FILE), PASSWORD_FILE)?;
    fs::read_to_string(&password)
        .map(|text| Secret::new(text.trim()))
        .map_err(ClusterError::io(format!("cannot read {}", password.display())))
}

/// Keeps a copy of the fresh data folder. Several processes may do so at once: it appears whole or not
/// at all, and the first wins.
fn save_template(folder: &PrivateFolder, template: &Path) -> Result<(), ClusterError> {
    let cannot = || ClusterError::io(format!("cannot make {}", template.display()));
    let parent = template.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(cannot())?;
    let draft = tempfile::tempdir_in(parent).map_err(cannot())?;
    for name in ["data", PASSWORD_FILE] {
        folder::copy_tree(&folder.path().join(name), &draft.path().join(name), &|_| Ok(()))?;
    }
    let draft = draft.keep();
    if fs::rename(&draft, template).is_err() {
        fs::remove_dir_all(&draft).map_err(cannot())?;
    }
    Ok(())
}

fn initdb(folder: &PrivateFolder, binaries: &Binaries) -> Result<Secret, ClusterError> {
    let password = Alphanumeric.sample_string(&mut rand::rng(), 24);
    let password_file = folder.path().join(PASSWORD_FILE);
    write_private(&password_file, &password)?;
    folder.give(&password_file)?;
    let program = binaries.program("initdb");
    let output = command(&program, folder.account(), folder.path())
        .arg("-D")
        .arg(folder.path().join("data"))
        .arg("--pwfile")
        .arg(&password_file)
        .args(["-U", SUPERUSER, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C"])
        // Nothing of value is in it yet, and a checkpoint will flush it.
        .args(["--data-checksums", "--no-sync"])
        .stdin(Stdio::null())
        .output()
        .map_err(ClusterError::io(format!("cannot run {}", program.display())))?;
    if output.status.success() {
        Ok(Secret::new(password))
    } else {
        let output = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(ClusterError::Failed { program: "initdb".into(), output })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_in_a_setting_stays_inside() {
        assert_eq!(
            setting("archive_command", r"cp 'a' \b"),
            "archive_command = 'cp ''a'' \\\\b'\n"
        );
    }

    #[test]
    fn a_free_port_can_be_bound() {
        // Another test may take it, or hold it for a moment in a process that is being started; servers
        // are started again on another port then.
        let bound = (0..10).any(|_| {
            let port = free_port().expect("a port");
            assert!(PORTS.contains(&port));
            TcpListener::bind((HOST, port)).is_ok()
        });
        assert!(bound, "none of ten was free");
    }
}
