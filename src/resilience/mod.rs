//! What an application embeds to live with a database that fails now and then.

pub mod breaker;
pub mod classify;
pub mod connect;
pub mod conninfo;
pub mod retry;
pub mod tls;
