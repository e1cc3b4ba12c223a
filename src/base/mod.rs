//! What every room stands on and what knows no PostgreSQL: clean text, the clock, human units,
//! secrets, folders, configuration and logs; the wish to stop, and what long work says about itself.

pub mod cancel;
pub mod clock;
pub mod config;
pub mod digest;
pub mod exec;
pub mod log;
pub mod paths;
pub mod process;
pub mod progress;
pub mod secret;
pub mod text;
pub mod units;
