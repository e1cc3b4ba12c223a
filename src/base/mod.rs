//! What every room stands on and what knows no PostgreSQL: clean text, the clock, human units,
//! secrets, folders, configuration and logs; the wish to stop, what long work says about itself, and the
//! ledger of all that was changed.

pub mod account;
pub mod ahead;
pub mod cancel;
pub mod clock;
pub mod config;
pub mod digest;
pub mod disk;
pub mod exec;
pub mod ledger;
pub mod log;
pub mod paths;
pub mod plan;
pub mod process;
pub mod progress;
pub mod secret;
pub mod text;
pub mod units;
