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
//! | [`criterion`] | what must not become true once an act is begun |
//! | [`library`] | the guides that come with howdah, and a person's own |
//! | [`values`] | what is known in a run, and its place in words |
//! | [`facts`] | values read out of what a command printed |
//! | [`state`] | where a run stands, what can happen, what is wished for |
//! | [`machine`] | from state and event to state |
//! | [`page`] | a state as it is to be drawn |
//! | [`run`] | a run's folder: what it is, its journal, who drives it |
//! | [`journal`] | the lines of that journal, and where they happened |
//! | [`post`] | what is said to a run by those who do not drive it |
//! | [`evidence`] | what is kept of a command that was run for a step |
//! | [`record`] | a run's record for others: Markdown and JSON |
//! | [`handover`] | how a run stands, for whoever takes over |
//! | [`walked`] | how old a list is: who walked it last, and how that went |
//! | [`command`] | runs a command that only looks or plans |
//! | [`guard`] | watches the criteria to stop by, while a run is driven |
//! | [`hands`] | carries out what is wished for: commands to look, jobs to act |
//! | [`told`] | that a run is over stands in the ledger, once |
//! | [`driver`] | machine, journal and hands together, on a thread |
//! | [`plain`] | the same line by line, for screen readers, dumb terminals and scripts |

pub mod command;
pub mod criterion;
pub mod driver;
pub mod evidence;
pub mod facts;
pub mod guard;
pub mod handover;
pub mod hands;
pub mod journal;
pub mod library;
pub mod machine;
pub mod page;
pub mod plain;
pub mod post;
mod reach;
pub mod record;
pub mod run;
pub mod spec;
pub mod state;
pub mod told;
pub mod values;
pub mod walked;

mod error;

pub use error::GuideError;
