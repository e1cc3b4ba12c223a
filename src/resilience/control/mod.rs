//! A door to an application's breakers: who operates it reads their state, and takes one out of the rules'
//! hands for a while.
//!
//! It is off until an application opens it, and there is no door to the network: a socket file that only its
//! owner may use (0600), or a loopback port with a bearer token.
//!
//! ```no_run
//! use howdah::resilience::{Database, control::{Control, Door}};
//!
//! # async fn open(db: Database) -> Result<(), Box<dyn std::error::Error>> {
//! let door = Door::Unix("/run/api-1/control".into());
//! let control = Control::open(&door, vec![db]).await?;
//! tokio::spawn(control.serve());
//! # Ok(())
//! # }
//! ```
//!
//! | request | answer |
//! |---|---|
//! | `GET /breakers` | 200 and [`Page`]: state, since when, why; mode, by whom, why, until when; rates; next try |
//! | `POST /mode` with [`Wish`] | 200 and the breaker as it is then ([`Told`]) |
//! | anything that is wrong | 400, 401, 404, 405, 413 and `{"error": "what is wrong"}` |
//!
//! Each change is logged and counted by the breaker itself ([`Stats::mode_changes`]); what was refused is logged here.
//!
//! [`Stats::mode_changes`]: super::breaker::Stats::mode_changes

mod call;
mod door;
mod serve;
mod wire;

pub use self::{
    call::{CallError, ask, set},
    door::{Door, DoorError},
    serve::Control,
    wire::{LONGEST, Page, Probes, Told, Wish},
};
