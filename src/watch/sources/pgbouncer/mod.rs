//! The watch on PgBouncer's admin console.
//!
//! The console is no database: it speaks only the simple protocol (the extended one closes the
//! connection), knows no `SELECT 1` (the ping is `SHOW VERSION`) and answers 08P01 to commands that its
//! version does not know.

pub mod admin;

mod console;
mod tables;

use std::time::Duration;

pub use self::console::{Bouncer, ConsoleError};
use self::console::{Console, Told};
use super::{
    Reading,
    pace::{Line, Look, keep_asking},
};
use crate::{
    base::{
        clock::{Clock, Stamp},
        text::Text,
    },
    watch::snapshot::{Problem, Source, SourceKind},
};

/// Asks the console every period and sends what it tells. The connection is kept; after a failure a new
/// one is made. A failed attempt sends the source with its problem and no pools: the last ones stay
/// known, and grow old.
pub async fn run(bouncer: Bouncer, clock: Clock, line: Line) {
    let period = bouncer.period;
    let watch = Watch { bouncer, clock, console: None, last_good: None };
    keep_asking(watch, period, line).await;
}

struct Watch {
    bouncer: Bouncer,
    clock: Clock,
    console: Option<Console>,
    last_good: Option<Stamp>,
}

impl Look for Watch {
    async fn look(&mut self) -> Reading {
        let asked = self.clock.now();
        // Taken out, so that a console that failed or whose answer is late is never asked again.
        let told = match self.console.take() {
            Some(console) => self.ask(console).await,
            None => match Console::open(&self.bouncer).await {
                Ok(console) => self.ask(console).await,
                Err(error) => Err(error),
            },
        };
        match told {
            Err(error) => {
                let problem = error.problem(&self.bouncer);
                Reading::failed(self.source(Some(problem), None))
            }
            Ok(Told { pools, databases, max_clients }) => {
                let now = self.clock.now();
                self.last_good = Some(now);
                let pools =
                    tables::pools(&self.bouncer.name, &pools, databases.as_ref(), max_clients);
                let source = self.source(None, Some(now.since(asked)));
                Reading { pools, ..Reading::answered(source) }
            }
        }
    }
}

impl Watch {
    async fn ask(&mut self, mut console: Console) -> Result<Told, ConsoleError> {
        let told = console.look(self.bouncer.answer_within).await?;
        self.console = Some(console);
        Ok(told)
    }

    fn source(&self, problem: Option<Problem>, latency: Option<Duration>) -> Source {
        Source {
            name: self.bouncer.name.clone(),
            kind: SourceKind::PgBouncer,
            address: Text::from(self.bouncer.settings.describe()),
            period: self.bouncer.period,
            last_good: self.last_good,
            problem,
            latency,
            unreadable: 0,
        }
    }
}
