//! A network that can swallow every packet, without a word: two network namespaces, a pair of
//! virtual cards, and a wrong neighbour address on both sides.
//!
//! Unlike a frozen server, a black hole acknowledges nothing: what was sent is sent again and again.

use std::{
    env,
    fs::File,
    io,
    net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream},
    os::{fd::AsFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use howdah::cluster::{Server, Via};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Tells the test's second self, which runs as root of its own namespaces, where the server is.
const SECOND_SELF: &str = "HOWDAH_TEST_BLACK_HOLE";
/// A card that nobody has (locally administered).
const NOBODY: &str = "02:00:00:00:00:99";
/// How many this process has made.
static MADE: AtomicU32 = AtomicU32::new(0);

/// A server behind a network that can swallow everything. The network is gone on drop.
pub struct BlackHole {
    namespace: String,
    card: String,
    near: (Ipv4Addr, String),
    far: (Ipv4Addr, String),
    port: u16,
}

/// Runs the test `name` with a cluster behind such a network. Making networks needs root: without it
/// the test runs itself once more, as root of namespaces of its own.
pub fn with_black_hole(name: &str, body: impl FnOnce(&Server, &BlackHole)) {
    if let Some(folder) = env::var_os(SECOND_SELF) {
        ip("link set lo up");
        let server = Server::open(Path::new(&folder)).expect("the first self's server");
        return body(&server, &BlackHole::before(&server));
    }
    let cluster = super::cluster();
    if rustix::process::geteuid().is_root() {
        return body(&cluster, &BlackHole::before(&cluster));
    }
    let test = env::current_exe().expect("our own program");
    let status = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--mount", "sh", "-c"])
        .arg("mount -t tmpfs none /run && exec \"$@\"")
        .arg("sh")
        .arg(test)
        .args(["--exact", name, "--nocapture"])
        .env(SECOND_SELF, cluster.folder())
        .status()
        .expect("unshare (util-linux) runs");
    assert!(status.success(), "the test in namespaces of its own: {status}");
}

impl BlackHole {
    fn before(server: &Server) -> Self {
        // Several tests may do this on one machine, and in one process: process number and count tell
        // them apart.
        let (pid, count) = (std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let namespace = format!("howdah-{pid}-{count}");
        let (card, far_card) = (format!("hwn{pid}-{count}"), format!("hwf{pid}-{count}"));
        let base = u32::from(Ipv4Addr::new(10, 83, 0, 0)) + ((pid * 4 + count) % 16_384) * 4;
        let (near, far) = (Ipv4Addr::from(base + 1), Ipv4Addr::from(base + 2));

        ip(&format!("netns add {namespace}"));
        ip(&format!("link add {card} type veth peer name {far_card} netns {namespace}"));
        ip(&format!("address add {near}/30 dev {card}"));
        ip(&format!("-n {namespace} address add {far}/30 dev {far_card}"));
        ip(&format!("link set {card} up"));
        ip(&format!("-n {namespace} link set {far_card} up"));
        let near_address = hardware_address(&ip(&format!("link show {card}")));
        let far_address = hardware_address(&ip(&format!("-n {namespace} link show {far_card}")));
        let socket = server.folder().join(format!(".s.PGSQL.{}", server.port()));
        let port = forward(&namespace, far, socket);
        let hole =
            Self { namespace, card, near: (near, near_address), far: (far, far_address), port };
        hole.heal();
        hole
    }

    /// Where the server is to be found behind the network.
    pub fn address(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.far.0, self.port)
    }

    /// Settings for the driver, as superuser, through the network.
    pub fn settings(&self, server: &Server) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        let direct = server.settings(Via::Tcp);
        config
            .host(self.far.0.to_string())
            .port(self.port)
            .user(direct.get_user().expect("set"))
            .password(direct.get_password().expect("set"))
            .dbname("postgres")
            .ssl_mode(tokio_postgres::config::SslMode::Disable);
        config
    }

    /// From now on every packet vanishes, in both directions.
    pub fn swallow(&self) {
        self.neighbours(NOBODY, NOBODY);
    }

    /// Packets arrive again.
    pub fn heal(&self) {
        self.neighbours(&self.near.1, &self.far.1);
    }

    fn neighbours(&self, near: &str, far: &str) {
        let Self { namespace, card, .. } = self;
        let far_card = card.replace("hwn", "hwf");
        ip(&format!("neigh replace {} lladdr {far} dev {card} nud permanent", self.far.0));
        let near_ip = self.near.0;
        ip(&format!(
            "-n {namespace} neigh replace {near_ip} lladdr {near} dev {far_card} nud permanent"
        ));
    }
}

impl Drop for BlackHole {
    fn drop(&mut self) {
        // The pair of cards goes when one of them does.
        let _ = Command::new("ip").args(["link", "delete", &self.card]).status();
        let _ = Command::new("ip").args(["netns", "delete", &self.namespace]).status();
    }
}

/// Accepts connections inside the namespace and passes them on to the server's unix socket, which
/// belongs to the file system and not to any network.
fn forward(namespace: &str, address: Ipv4Addr, socket: PathBuf) -> u16 {
    let place = File::open(format!("/run/netns/{namespace}")).expect("the namespace");
    let listener = thread::spawn(move || {
        move_into_link_name_space(place.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("in the namespace");
        TcpListener::bind((address, 0)).expect("a port")
    })
    .join()
    .expect("it listens");
    let port = listener.local_addr().expect("bound").port();
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            // With the server down the connection ends, as it would without us.
            if let Ok(server) = UnixStream::connect(&socket) {
                pass_on(near, server);
            }
        }
    });
    port
}

fn pass_on(near: TcpStream, server: UnixStream) {
    let (mut to_server, mut from_near) =
        (server.try_clone().expect("a socket"), near.try_clone().expect("a socket"));
    let (mut from_server, mut to_near) = (server, near);
    thread::spawn(move || {
        let _ = io::copy(&mut from_near, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Both);
    });
    thread::spawn(move || {
        let _ = io::copy(&mut from_server, &mut to_near);
        let _ = to_near.shutdown(Shutdown::Both);
    });
}

/// The word after `link/ether`.
fn hardware_address(shown: &str) -> String {
    let mut words = shown.split_whitespace().skip_while(|word| *word != "link/ether");
    words.nth(1).expect("a hardware address").to_owned()
}

fn ip(arguments: &str) -> String {
    let output =
        Command::new("ip").args(arguments.split(' ')).output().expect("ip (iproute2) runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
