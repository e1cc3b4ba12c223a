//! The guides as the console shows them: those that there are, runs that wait, and the page of the one that is
//! open.

use std::sync::Arc;

use crate::{
    base::{clock::Timestamp, text::Text},
    guide::{
        page::{Ask, Line, Page},
        spec::Grade,
        walked::Walked,
    },
};

/// What there is to begin, and to go on with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shelf {
    /// The guides.
    pub guides: Vec<Offered>,
    /// Runs that are not over, the latest first.
    pub runs: Vec<Waiting>,
    /// Why they cannot be read.
    pub trouble: Option<Text>,
}

/// A guide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// Its name.
    pub id: Text,
    /// What it is called.
    pub title: Text,
    /// What it is for.
    pub about: Text,
    /// Checks whose alerts it answers.
    pub answers: Vec<Text>,
    /// The values that the subject of such an alert is offered for.
    pub subject: Vec<Text>,
    /// When it was walked last on this target; none when it never was.
    pub walked: Option<Walked>,
}

/// A run that is not over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its name.
    pub id: Text,
    /// What its guide is called.
    pub title: Text,
    /// On what.
    pub on: Text,
    /// The step where it stands.
    pub step: Text,
    /// When it began.
    pub began: Timestamp,
    /// Who drives it; none when nobody does.
    pub driver: Option<Text>,
    /// What it needs to go on and is not there any more.
    pub gone: Option<Text>,
}

impl Shelf {
    /// The guide that answers the alerts of a check.
    pub fn answer(&self, check: &str) -> Option<&Offered> {
        self.guides.iter().find(|guide| guide.answers.iter().any(|known| **known == *check))
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.runs.len() + self.guides.len()
    }

    /// True without a row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row that is chosen before anybody chooses: the first run that can go on, else the first guide.
    pub fn first(&self) -> usize {
        self.runs.iter().position(|run| run.gone.is_none()).unwrap_or(self.runs.len())
    }
}

/// The page of the run that is open.
#[derive(Clone, Debug, PartialEq)]
pub struct Sheet {
    /// The run's name.
    pub run: Text,
    /// What is to be drawn.
    pub page: Page,
    /// How it stands, for whoever takes over.
    pub handover: Vec<Line>,
    /// Why the last input was not taken.
    pub refusal: Option<Text>,
    /// Who drives the run.
    pub seat: Seat,
}

/// Who drives a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Seat {
    /// We do.
    #[default]
    Ours,
    /// Somebody else does, and we look on.
    Theirs(Text),
    /// Nobody does, and we look on.
    Free,
}

impl Sheet {
    /// True when another question stands there than on the one before.
    pub fn asks_anew(&self, before: Option<&Self>) -> bool {
        before.is_none_or(|before| {
            self.run != before.run
                || self.seat != before.seat
                || self.page.number != before.page.number
                || self.page.ask != before.page.ask
        })
    }

    /// True when the answer is typed, and ours to give.
    pub fn is_typed(&self) -> bool {
        let typed = matches!(
            self.page.ask,
            Ask::Enter(_) | Ask::Confirm { grade: Grade::Moderate | Grade::Severe, .. }
        );
        typed && self.seat == Seat::Ours && self.page.rests.is_none()
    }
}

/// What the person has done to the guides' screen.
#[derive(Clone, Debug, Default)]
pub struct Guides {
    /// What there is.
    pub shelf: Arc<Shelf>,
    /// The run that is open.
    pub sheet: Option<Arc<Sheet>>,
    /// The chosen row of the shelf, or the choice of the page.
    pub choice: usize,
    /// The first line of the page that is shown.
    pub scroll: u16,
    /// What was typed to confirm, while the reason is typed.
    pub typed: Option<String>,
}

/// What is being typed for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answering {
    /// The answer to the page's question.
    Answer,
    /// Why a deed is done, behind its confirmation.
    Reason,
    /// Why a step is left out.
    Skip,
    /// Why the run rests.
    Pause,
    /// Why the run ends here.
    Abort,
    /// A word for the record.
    Note,
    /// What is still to be done, for the record.
    Todo,
}

/// What is wished of the engine about guides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuideWish {
    /// To be told anew what there is.
    List,
    /// Begin a guide, with answers that are offered where they are asked for.
    Begin(Text, Vec<(String, String)>),
    /// Go on with a run.
    Resume(Text),
    /// What the person does in the run that is open.
    Input(crate::guide::state::Input),
    /// Leave the run where it stands.
    Leave,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_cannot_go_on_is_not_chosen_before_anybody_chooses() {
        let run = |gone: bool| Waiting {
            id: "20261123-091244".into(),
            title: "Bring lost data back".into(),
            on: "prod-eu".into(),
            step: "Which table?".into(),
            began: Timestamp::UNIX_EPOCH,
            driver: None,
            gone: gone.then(|| "its configuration is gone".into()),
        };
        let first = |runs: Vec<Waiting>| Shelf { runs, ..Shelf::default() }.first();
        assert_eq!(first(vec![run(false), run(true)]), 0);
        assert_eq!(first(vec![run(true), run(true)]), 2, "the first guide");
        assert_eq!(first(Vec::new()), 0);
    }
}
