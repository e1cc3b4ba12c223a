//! Long work that outlives the terminal: a process of its own with a journal.
//!
//! A job is this program started again in a session of its own. Its folder, `STATE/jobs/ID/`, holds
//! `job.json` (what, for whom, since when, as which process), `journal.jsonl` (each step's intent before
//! the act, its result after; progress in between), `log` (what it printed) and, once it has ended,
//! `result.json`. Everything a reader says about a job comes from these files and from whether that very
//! process still runs; so any number may look on, from any terminal, during and after.
//!
//! | file | what |
//! |---|---|
//! | `card` | what stands in `job.json` and `result.json` |
//! | `room` | the folder of all jobs: list, find, remove |
//! | `spawn` | starts one |
//! | `work` | what the job's own process does: enter, journal, result |
//! | `journal` | the journal, written and read |
//! | `state` | how a job is, judged from outside |
//! | `cancel` | ends one, harder each time |

mod cancel;
mod card;
mod error;
mod journal;
mod room;
mod spawn;
mod state;
mod work;

pub use cancel::{Patience, Stage};
pub use card::{Card, End, JobId, Outcome};
pub use error::JobError;
pub use journal::{Follow, Journal, Line, OpenStep, Said, Story};
pub use room::{Job, Jobs};
pub use spawn::JobSpec;
pub use state::State;
pub use work::Work;
