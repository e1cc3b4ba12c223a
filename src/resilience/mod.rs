//! What an application embeds to live with a database that fails now and then.

pub mod breaker;
pub mod classify;
pub mod connect;
pub mod conninfo;
pub mod export;
pub mod failure;
pub mod guarded;
pub mod pool;
pub mod retry;
pub mod tls;
pub mod transaction;

pub use self::guarded::{Database, Error, Options};
