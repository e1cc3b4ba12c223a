//! What an application embeds to live with a database that fails now and then.

pub mod connect;
pub mod conninfo;
pub mod tls;
