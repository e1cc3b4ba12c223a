//! What an application embeds to live with a database that fails now and then.
//!
//! ```no_run
//! use std::time::Duration;
//! use howdah::resilience::{Database, Error, Options, conninfo::{Environment, Settings}, export, transaction::Mode};
//!
//! # async fn serve(_: String) {}
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let target = Settings::parse("service=billing", &Environment::current())?;
//!     let db = Database::new(target, Options::default())?;
//!
//!     // A deadline, the breaker and a pooled session; repeated when that is right.
//!     let due = db.call().within(Duration::from_secs(1)).idempotent();
//!     for row in due.query("SELECT id, cents FROM invoice WHERE due < now()", &[]).await? {
//!         let (id, cents): (i64, i64) = (row.get(0), row.get(1));
//!         // Serialization failures and deadlocks run it again, as a whole.
//!         let paid = db.transaction(Mode::serializable(), |tx| async move {
//!             tx.execute("UPDATE account SET cents = cents - $1", &[&cents]).await?;
//!             tx.execute("DELETE FROM invoice WHERE id = $1", &[&id]).await
//!         });
//!         match paid.await {
//!             Ok(_) => {}
//!             Err(Error::Refused(refused)) => println!("later: {refused}"),
//!             Err(error) => println!("{error} ({:?})", error.class()),
//!         }
//!     }
//!     serve(export::text(&[db])?).await; // as the body of /metrics
//!     Ok(())
//! }
//! ```
//!
//! | file | its duty |
//! |---|---|
//! | [`conninfo`] | connection settings by libpq's rules |
//! | [`tls`], [`connect`] | from settings to a session, within a deadline, or an error that says what to do |
//! | [`classify`] | SQLSTATE to what it means for breaker, retry and connection |
//! | [`breaker`] | refuses at once while the server is away |
//! | [`retry`] | full jitter, one deadline, a budget |
//! | [`pool`] | fair, clean leases with a name and a lifetime |
//! | [`failure`] | a failed statement, explained |
//! | [`error`] | a call that gave no answer |
//! | [`guarded`] | the call: deadline, breaker, session, record |
//! | [`transaction`] | repeated as a whole, committed once |
//! | [`export`] | all of it for Prometheus |
//! | [`control`] | a door for who operates it: read and set the mode of breakers |

pub mod breaker;
pub mod classify;
pub mod connect;
pub mod conninfo;
pub mod control;
pub mod error;
pub mod export;
pub mod failure;
pub mod guarded;
pub mod pool;
pub mod retry;
mod seat;
pub mod tls;
pub mod transaction;

pub use self::{
    error::Error,
    guarded::{Database, Options},
};
