//! A real S3 server in the test's own process, and a network in front of it that can fail.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use howdah::{
    base::secret::Secret,
    recover::repository::{
        address::{Address, Place},
        bucket::{Bucket, Credentials},
    },
};
use hyper_util::rt::TokioIo;
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};

/// The keys that the server takes.
pub const KEYS: (&str, &str) = ("AKIDTEST", "wrong-for-others");

/// A server with one bucket, `backups`, kept in a folder.
pub struct Server {
    pub home: tempfile::TempDir,
    pub address: SocketAddr,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Server {
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// The same behind TLS, when it is given a certificate and its key.
    pub fn start_with(tls: Option<tokio_rustls::TlsAcceptor>) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(home.path().join("backups")).expect("a bucket");
        let service = {
            let files = s3s_fs::FileSystem::new(home.path()).expect("a file system");
            let mut builder = S3ServiceBuilder::new(files);
            builder.set_auth(SimpleAuth::from_single(KEYS.0, KEYS.1));
            builder.build()
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .expect("a port");
        let address = listener.local_addr().expect("its address");
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (service, tls) = (service.clone(), tls.clone());
                let http = hyper::server::conn::http1::Builder::new();
                tokio::spawn(async move {
                    // Who does not like our certificate leaves.
                    let _ = match tls {
                        None => http.serve_connection(TokioIo::new(socket), service).await,
                        Some(tls) => match tls.accept(socket).await {
                            Ok(socket) => {
                                http.serve_connection(TokioIo::new(socket), service).await
                            }
                            Err(_) => return,
                        },
                    };
                });
            }
        });
        Self { home, address, runtime: Some(runtime) }
    }

    /// What stands in the bucket's folder, without the server's own files.
    pub fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        let root = self.home.path().join("backups");
        let mut open = vec![root.clone()];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    let name = path.strip_prefix(&root).expect("below").to_string_lossy();
                    found.push(name.into_owned());
                }
            }
        }
        found.sort();
        found
    }

    /// Parts of uploads that were neither completed nor given up.
    pub fn parts(&self) -> usize {
        let entries = std::fs::read_dir(self.home.path()).expect("a folder");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        names.filter(|name| name.to_string_lossy().contains(".upload_id-")).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Where a bucket is, behind this address. The server is not optimized: large objects take it seconds.
pub fn words(address: SocketAddr) -> String {
    format!(
        "s3://backups/deep/inside?region=eu-test-1&endpoint=http://{address}&path_style=true&timeout=30s"
    )
}

pub fn place(words: &str) -> Place {
    match Address::parse(words).expect("an address") {
        Address::Bucket(place) => place,
        Address::Folder(path) => unreachable!("'{words}' is a bucket, not {}", path.display()),
    }
}

/// A bucket with keys of our own: the environment is not ours to change.
pub fn bucket(words: &str, keys: (&str, &str)) -> Bucket {
    let (key, secret) = (keys.0.to_owned(), Secret::new(keys.1));
    Bucket::with(place(words), Credentials::Keys { key, secret, token: None }).expect("a bucket")
}

/// A network between us and a server.
pub struct Network {
    pub address: SocketAddr,
    wires: Arc<Wires>,
}

struct Wires {
    server: SocketAddr,
    /// Bytes that still go to the server before every connection breaks; negative for no end.
    credit: AtomicI64,
    /// Milliseconds that each piece of an answer is held back; `u64::MAX` for ever.
    delay: AtomicU64,
}

impl Network {
    pub fn before(server: &Server) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("its address");
        let wires = Arc::new(Wires {
            server: server.address,
            credit: AtomicI64::new(-1),
            delay: AtomicU64::new(0),
        });
        let shared = Arc::clone(&wires);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let wires = Arc::clone(&shared);
                thread::spawn(move || wires.join(&near));
            }
        });
        Self { address, wires }
    }

    /// Breaks every connection after so many more bytes to the server, and refuses new ones.
    pub fn break_after(&self, bytes: i64) {
        self.wires.credit.store(bytes, Ordering::SeqCst);
    }

    /// It works again.
    pub fn heal(&self) {
        self.break_after(-1);
        self.hold_back(Duration::ZERO);
    }

    /// Each piece of an answer comes so much later.
    pub fn hold_back(&self, delay: Duration) {
        self.wires.delay.store(delay.as_millis() as u64, Ordering::SeqCst);
    }
}

impl Wires {
    fn join(&self, near: &TcpStream) {
        if self.credit.load(Ordering::SeqCst) == 0 {
            return;
        }
        let Ok(far) = TcpStream::connect(self.server) else { return };
        thread::scope(|scope| {
            scope.spawn(|| {
                self.there(near, &far);
                let _ = near.shutdown(Shutdown::Both);
                let _ = far.shutdown(Shutdown::Both);
            });
            self.back(&far, near);
            let _ = near.shutdown(Shutdown::Both);
        });
    }

    fn there(&self, mut near: &TcpStream, mut far: &TcpStream) {
        let mut buffer = vec![0; 1 << 14];
        while let Ok(read) = near.read(&mut buffer) {
            let credit = self.credit.load(Ordering::SeqCst);
            if read == 0 || credit == 0 {
                return;
            }
            let passes = if credit < 0 { read } else { read.min(credit as usize) };
            if credit > 0 {
                self.credit.store(credit - passes as i64, Ordering::SeqCst);
            }
            if far.write_all(&buffer[..passes]).is_err() || passes < read {
                return;
            }
        }
    }

    fn back(&self, mut far: &TcpStream, mut near: &TcpStream) {
        let mut buffer = vec![0; 1 << 14];
        while let Ok(read) = far.read(&mut buffer) {
            let delay = self.delay.load(Ordering::SeqCst);
            thread::sleep(Duration::from_millis(delay));
            if read == 0 || near.write_all(&buffer[..read]).is_err() {
                return;
            }
        }
    }
}
