//! Our own library on a test's cluster.

use std::net::SocketAddrV4;

use howdah::{
    cluster::{Server, Via},
    resilience::{
        Database, Options,
        conninfo::{Environment, Settings},
    },
};

/// Connection settings to a cluster, as superuser.
pub fn target(server: &Server, via: Via) -> Settings {
    let mut settings = Settings::parse(&server.conninfo(via), &Environment::default())
        .expect("a sandbox's own settings");
    settings.password = Some(server.password().clone());
    settings
}

/// A guarded handle on a cluster over its unix socket.
pub fn database(server: &Server, options: Options) -> Database {
    Database::new(target(server, Via::Unix), options).expect("a database")
}

/// The same over another way to the server.
pub fn database_at(server: &Server, address: SocketAddrV4, options: Options) -> Database {
    Database::new(target_at(server, address), options).expect("a database")
}

/// Connection settings for another way to the server, as superuser.
pub fn target_at(server: &Server, address: SocketAddrV4) -> Settings {
    let (host, port) = (address.ip(), address.port());
    let words = format!("host={host} port={port} user=postgres dbname=postgres sslmode=disable");
    let mut settings = Settings::parse(&words, &Environment::bare()).expect("settings");
    settings.password = Some(server.password().clone());
    settings
}
