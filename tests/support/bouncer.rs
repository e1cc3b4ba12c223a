//! A PgBouncer of the test's own, in front of the test's own cluster.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::{
    fmt::Write as _,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};

use howdah::{
    base::process,
    cluster::{
        Cluster,
        folder::{PrivateFolder, command},
    },
};
use rustix::process::Signal;

/// A running PgBouncer: database `app` (one connection, as `postgres`), roles `app`, `watcher` (may SHOW), `admin`.
/// Gone when dropped, even when it is stopped.
pub struct Bouncer {
    child: Child,
    _folder: PrivateFolder,
    /// Where it listens on 127.0.0.1.
    pub port: u16,
}

impl Bouncer {
    /// Starts one on a free port and waits until it listens.
    pub fn start(cluster: &Cluster) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        Self::start_on(cluster, port)
    }

    /// The same on that port.
    pub fn start_on(cluster: &Cluster, port: u16) -> Self {
        let folder = PrivateFolder::create().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            folder.give(&path).expect("given");
            path
        };
        let users = write("users.txt", "\"app\" \"\"\n\"watcher\" \"\"\n\"admin\" \"\"\n");
        let mut ini = String::new();
        let _ = writeln!(
            ini,
            "[databases]\n\
             app = host={} port={} dbname=postgres user=postgres password='{}' pool_size=1\n\
             [pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\nunix_socket_dir={}\n\
             auth_type=trust\nauth_file={}\nadmin_users=admin\nstats_users=watcher\n\
             pool_mode=transaction\nmax_client_conn=40\nlogfile={}\npidfile={}",
            cluster.folder().display(),
            cluster.port(),
            cluster.password().expose(),
            folder.path().display(),
            users.display(),
            folder.path().join("log").display(),
            folder.path().join("pid").display(),
        );
        let ini = write("pgbouncer.ini", &ini);
        let usual = Path::new("/usr/sbin/pgbouncer");
        let program = if usual.exists() { usual } else { Path::new("pgbouncer") };
        let child = command(program, folder.account(), folder.path())
            .arg(&ini)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("PgBouncer is installed (Debian: apt-get install pgbouncer)");
        let bouncer = Self { child, _folder: folder, port };
        crate::support::eventually("PgBouncer listens", Duration::from_secs(10), || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        bouncer
    }

    /// A connection string for that database as that role.
    pub fn conninfo(&self, dbname: &str, user: &str) -> String {
        format!("host=127.0.0.1 port={} dbname={dbname} user={user} sslmode=disable", self.port)
    }

    /// Freezes it.
    pub fn hang(&self) {
        assert!(self.signal(Signal::STOP));
    }

    /// Lets it go on.
    pub fn resume(&self) {
        assert!(self.signal(Signal::CONT));
    }

    /// Kills it at once.
    pub fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }

    fn signal(&self, signal: Signal) -> bool {
        process::signal(i32::try_from(self.child.id()).expect("a pid"), signal)
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        // SIGKILL ends a stopped process too. Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
