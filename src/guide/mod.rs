//! Walking a person through: guides as data, a pure machine, a journal, and what they draw.
//!
//! A guide is a TOML file. Everything it looks at and everything it does is a command of howdah itself, so
//! that what stands on the screen is what a person could have typed, and nothing can be done in a guide that
//! cannot be done without one. The machine is pure: it takes an event, and says what is wished for. Whoever
//! drives it writes the event into the journal before anything comes of it; so a guide whose terminal died
//! goes on at the step where it stood, and a step that was begun is never begun again.
//!
//! | file | its duty |
//! |---|---|
//! | [`spec`] | a guide as it is written |
//! | [`library`] | the guides that come with howdah, and a person's own |
//! | [`values`] | what is known in a run, and its place in words |
//! | [`facts`] | values read out of what a command printed |
//! | [`state`] | where a run stands, what can happen, what is wished for |
//! | [`machine`] | from state and event to state |
//! | [`page`] | a state as it is to be drawn |
//! | [`run`] | a run's folder: what it is, its journal, who drives it |
//! | [`hands`] | carries out what is wished for: commands to look, jobs to act |
//! | [`driver`] | machine, journal and hands together, on a thread |
//! | [`plain`] | the same line by line, for screen readers, dumb terminals and scripts |

pub mod driver;
pub mod facts;
pub mod hands;
pub mod library;
pub mod machine;
pub mod page;
pub mod plain;
pub mod run;
pub mod spec;
pub mod state;
pub mod values;

mod error;

pub use error::GuideError;
