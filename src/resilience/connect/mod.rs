//! From settings to a live session, within a deadline, or an error that says what to do.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use howdah::resilience::{conninfo::{Environment, Settings}, connect::connect};
//!
//! let settings = Settings::parse("service=billing", &Environment::current())?;
//! let connection = connect(&settings, Duration::from_secs(5)).await?;
//! let row = connection.client.query_one("SELECT version()", &[]).await?;
//! # let _: String = row.get(0);
//! # Ok(())
//! # }
//! ```

mod attempt;
mod cancel;
mod error;
mod explain;
mod fate;
mod here;
mod hosts;
mod progress;
mod retrying;
mod session;
mod socket;

pub use self::{
    attempt::Connection,
    cancel::Cancel,
    error::{ConnectError, Slots, Unready},
    fate::{Cause, Fate},
    here::is_here,
    hosts::connect,
    progress::Stage,
    retrying::connect_with_retry,
};
