//! Watches the criteria to stop by while a run is driven, on a thread of its own: no person has to.

use std::{
    sync::mpsc::Sender,
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{
    command::rest,
    criterion::Criterion,
    facts::Observed,
    hands::{Came, Hands},
    state::{CriterionId, Input},
};
use crate::base::{
    cancel::Cancel,
    clock::{Clock, Stamp},
    text::Text,
};

/// How often it is looked whether a criterion is due.
const BEAT: Duration = Duration::from_millis(200);

/// A criterion that is watched, with the words of its command.
#[derive(Clone, Debug, PartialEq)]
pub struct Watched {
    /// Which one.
    pub id: CriterionId,
    /// What it says.
    pub criterion: Criterion,
    /// The words behind `howdah`, or the value that is not known.
    pub words: Result<Vec<String>, String>,
}

/// What was seen last of a criterion, or why nothing was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Which one.
    pub id: CriterionId,
    /// What was seen.
    pub seen: Result<Observed, Text>,
}

/// What a guard tells.
#[derive(Clone, Debug)]
pub enum Seen {
    /// What was seen of one, and is no reason to stop.
    Sight(Sight),
    /// One is met.
    Met(Came),
}

/// A thread that watches. Dropping it ends the watch; it does not wait for the look that is on its way.
#[derive(Debug)]
pub struct Guard {
    watched: Vec<Watched>,
    cancel: Cancel,
    thread: Option<JoinHandle<()>>,
}

impl Guard {
    /// Begins to watch these; `say` is how what is seen is told.
    pub fn watch<T: Send + 'static>(
        watched: Vec<Watched>,
        hands: Hands,
        tell: Sender<T>,
        say: fn(Seen) -> T,
    ) -> Self {
        let cancel = Cancel::new();
        let (ends, all) = (cancel.clone(), watched.clone());
        let thread = thread::spawn(move || {
            let mut due = vec![Stamp::default(); all.len()];
            while rest(&ends, BEAT) {
                for (one, due) in all.iter().zip(&mut due) {
                    let now = Clock::system().now();
                    if now < *due {
                        continue;
                    }
                    *due = now.plus(Duration::from_secs(one.criterion.every));
                    let Some(seen) = look(one, &hands, &ends) else { return };
                    // Whoever drives may have ended.
                    if tell.send(say(seen)).is_err() {
                        return;
                    }
                }
            }
        });
        Self { watched, cancel, thread: Some(thread) }
    }

    /// What it watches.
    pub fn watched(&self) -> &[Watched] {
        &self.watched
    }

    /// Ends it, and waits for that.
    pub fn end(mut self) {
        self.cancel.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

fn look(one: &Watched, hands: &Hands, cancel: &Cancel) -> Option<Seen> {
    let unseen = |why: Text| Seen::Sight(Sight { id: one.id, seen: Err(why) });
    let words = match &one.words {
        Ok(words) => words,
        Err(unknown) => return Some(unseen(format!("'{unknown}' is not known").into())),
    };
    let (seen, evidence) = hands.judge(&one.criterion, words, cancel)?;
    Some(match seen {
        Ok(seen) if Criterion::is_met(&seen) => {
            Seen::Met(Came { input: Input::Met(one.id, seen), evidence: Some(evidence) })
        }
        Ok(seen) if seen.value.is_none() => unseen(Text::ours("its command does not tell")),
        Ok(seen) => Seen::Sight(Sight { id: one.id, seen: Ok(seen) }),
        Err(why) => unseen(why),
    })
}
