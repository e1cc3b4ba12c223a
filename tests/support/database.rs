//! Our own library on a test's cluster.

use howdah::{
    resilience::{
        Database, Options,
        conninfo::{Environment, Settings},
    },
    sandbox::{Server, Via},
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
