//! Where to connect and as whom: connection settings by libpq's rules.
//!
//! A target is a URL, a keyword string, a bare database name or nothing at all; what it leaves open
//! comes from the service file, then from the `PG*` variables, then from libpq's defaults. The rules
//! are those of PostgreSQL's documentation, chapter "libpq: Database Connection Control Functions";
//! `psql` is the oracle of the tests. A keyword that is not honoured is refused with a reason,
//! never ignored.

mod choice;
mod environment;
mod error;
mod keywords;
mod options;
mod passfile;
mod resolve;
mod service;
mod settings;
mod uri;
mod values;

pub use self::{
    choice::{ChannelBinding, SslMode, SslNegotiation, TargetSession, TlsVersion},
    environment::Environment,
    error::ConninfoError,
    options::{Keyword, Treatment, keywords},
    passfile::{PassfileAnswer, PassfileIgnored},
    settings::{
        Entry, Host, KEEPALIVES_COUNT, KEEPALIVES_IDLE, KEEPALIVES_INTERVAL, Origin, Place, Roots,
        Settings, TCP_USER_TIMEOUT, Tcp, Tls,
    },
};
