//! Machine, journal and hands together, on a thread of their own: whoever draws sends inputs and is shown
//! views, and never waits.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{
    evidence::Evidence,
    guard::{self, Guard, Sight, Watched},
    hands::{Came, Glimpse, Hands},
    machine,
    page::{Page, page},
    run::{Card, Run, Untaken},
    state::{CriterionId, Event, Input, Phase, State},
    told,
};
use crate::{
    base::{cancel::Cancel, text::Text},
    jobs::Job,
};

/// How often a running job is shown anew, and a journal that could not be written is tried again.
const BEAT: Duration = Duration::from_millis(500);

/// What there is to draw.
#[derive(Clone, Debug)]
pub struct View {
    /// The run's name.
    pub run: Text,
    /// What the run is.
    pub card: Arc<Card>,
    /// Where it stands.
    pub state: State,
    /// The job that runs, as it is.
    pub job: Option<Job>,
    /// What a look that waits has seen so far.
    pub glimpse: Option<Glimpse>,
    /// What was seen last of the criteria to stop by.
    pub sights: Vec<Sight>,
    /// Why the last input was not taken.
    pub refusal: Option<Text>,
}

impl View {
    /// What there is to draw, as a page.
    pub fn page(&self) -> Page {
        let page = page(&self.card, &self.state, self.job.as_ref()).sighted(&self.sights);
        match &self.glimpse {
            Some(glimpse) => page.glimpsed(glimpse),
            None => page,
        }
    }
}

/// Who is told that there is something new to draw.
pub type Tell = Box<dyn Fn(&Arc<View>) + Send>;

enum Said {
    Person(Input),
    Hands(Came),
    Guard(guard::Seen),
    /// What a look has seen so far, for this ticket.
    Glimpse(u64, Glimpse),
    Stop,
}

/// A run that is being driven. Dropping it leaves the run where it stands; its job goes on.
#[derive(Debug)]
pub struct Driver {
    say: Sender<Said>,
    view: Arc<Mutex<Arc<View>>>,
    thread: Option<JoinHandle<()>>,
}

impl Driver {
    /// Drives a run; `by` is in whose name.
    pub fn start(run: Run, hands: Hands, by: Text, tell: Tell) -> Self {
        let (say, said) = mpsc::channel();
        let first = View {
            run: run.id().into(),
            card: Arc::new(run.card().clone()),
            state: run.state().clone(),
            job: None,
            glimpse: None,
            sights: Vec::new(),
            refusal: None,
        };
        let view = Arc::new(Mutex::new(Arc::new(first)));
        let mut drive = Drive {
            run,
            hands,
            by,
            tell,
            say: say.clone(),
            view: Arc::clone(&view),
            busy: None,
            glimpse: None,
            guard: None,
            sights: Vec::new(),
            owed: None,
        };
        let thread = thread::spawn(move || drive.serve(&said));
        Self { say, view, thread: Some(thread) }
    }

    /// What a person does. Whether it was taken stands in the next view.
    pub fn input(&self, input: Input) {
        // A driver that has ended shows its last view.
        let _ = self.say.send(Said::Person(input));
    }

    /// What there is to draw.
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.say.send(Said::Stop);
        if let Some(thread) = self.thread.take() {
            // It ends within the time that a command needs to be cancelled.
            let _ = thread.join();
        }
    }
}

struct Drive {
    run: Run,
    hands: Hands,
    by: Text,
    tell: Tell,
    say: Sender<Said>,
    view: Arc<Mutex<Arc<View>>>,
    /// What the hands are at: for this ticket.
    busy: Option<(u64, Cancel, JoinHandle<()>)>,
    /// What a look that waits has seen so far, for this ticket.
    glimpse: Option<(u64, Glimpse)>,
    /// Watches the criteria to stop by.
    guard: Option<Guard>,
    /// What it has seen last of each.
    sights: Vec<Sight>,
    /// What has happened and could not be written down yet.
    owed: Option<(Event, Option<Evidence>)>,
}

impl Drive {
    fn serve(&mut self, said: &Receiver<Said>) {
        self.take(Input::Reopened, None);
        self.read_post();
        self.follow();
        loop {
            match said.recv_timeout(BEAT) {
                Ok(Said::Person(input)) => self.take(input, None),
                Ok(Said::Hands(came) | Said::Guard(guard::Seen::Met(came))) => {
                    self.take(came.input, came.evidence);
                }
                Ok(Said::Guard(guard::Seen::Sight(sight))) => self.sighted(sight),
                Ok(Said::Glimpse(ticket, glimpse)) => {
                    self.glimpse = Some((ticket, glimpse));
                    self.publish(self.refusal());
                }
                Ok(Said::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    self.read_post();
                    if let Some((event, evidence)) = self.owed.take() {
                        self.take_event(event, evidence);
                    } else if matches!(self.run.state().phase, Phase::Acting { .. }) {
                        self.publish(self.refusal());
                    }
                }
            }
            self.follow();
        }
        self.leave(said);
    }

    /// What others say comes from processes of their own, through the run's folder: the word of a second person,
    /// notes.
    fn read_post(&mut self) {
        for (file, event) in self.run.post() {
            if self.take_event(event, None) {
                // It stands in the journal, or was refused: if it cannot be removed now, it is refused then.
                let _ = std::fs::remove_file(file);
            }
        }
    }

    fn take(&mut self, input: Input, evidence: Option<Evidence>) {
        let event = Event { at: self.run.now(), by: self.by.clone(), input };
        self.take_event(event, evidence);
    }

    /// False when it could not be written down.
    fn take_event(&mut self, event: Event, evidence: Option<Evidence>) -> bool {
        let persons = event.input.is_a_persons();
        let was_over = self.is_over();
        let mut settled = true;
        let refusal = match self.run.take(&event, evidence.clone()) {
            Ok(()) if self.is_over() && !was_over => self.record(),
            Ok(()) => None,
            Err(Untaken::Refused(refusal)) => persons.then_some(refusal.0),
            Err(Untaken::Unwritten(error)) => {
                settled = false;
                if !persons {
                    self.owed = Some((event, evidence));
                }
                Some(format!("it cannot be recorded, so it does not happen: {error}").into())
            }
        };
        self.publish(refusal);
        settled
    }

    fn sighted(&mut self, sight: Sight) {
        self.sights.retain(|known| known.id != sight.id);
        self.sights.push(sight);
        self.publish(self.refusal());
    }

    fn is_over(&self) -> bool {
        matches!(self.run.state().phase, Phase::Over(_))
    }

    /// Records that the run is over, with the fingerprint of its journal; why that could not be done.
    fn record(&self) -> Option<Text> {
        let told = told::tell(&self.run, &self.hands.ledger, false);
        told.err().map(|error| format!("the ledger does not have this run: {error}").into())
    }

    /// Sets the hands to what is wished for now.
    fn follow(&mut self) {
        let state = self.run.state();
        let ticket = state.ticket;
        let at_it = self.busy.as_ref().is_some_and(|(busy, ..)| *busy == ticket);
        if !at_it {
            if let Some((_, cancel, _)) = self.busy.take() {
                cancel.cancel();
            }
            self.set_to(ticket);
        }
        self.keep_guard();
    }

    /// Has watched what is to be watched where the run stands.
    fn keep_guard(&mut self) {
        let (card, state) = (self.run.card(), self.run.state());
        let watched = |id: CriterionId| {
            let criterion = machine::criterion(&card.guide, id)?.clone();
            let words = state.values.words(&criterion.command);
            Some(Watched { id, criterion, words })
        };
        let all = machine::watched(&card.guide, state).into_iter();
        let all: Vec<Watched> = all.filter_map(watched).collect();
        if self.guard.as_ref().map_or(&[][..], Guard::watched) == all {
            return;
        }
        self.sights.retain(|sight| all.iter().any(|one| one.id == sight.id));
        self.guard = (!all.is_empty())
            .then(|| Guard::watch(all, self.hands.clone(), self.say.clone(), Said::Guard));
    }

    fn set_to(&mut self, ticket: u64) {
        let guide = &self.run.card().guide;
        let state = self.run.state();
        let (Some(effect), Some(step)) = (machine::wish(guide, state), guide.steps.get(state.at))
        else {
            return;
        };
        let (step, hands, say) = (step.clone(), self.hands.clone(), self.say.clone());
        let cancel = Cancel::new();
        let wish = cancel.clone();
        let work = move || {
            let glimpsed = |glimpse| {
                let _ = say.send(Said::Glimpse(ticket, glimpse));
            };
            if let Some(came) = hands.perform(&step, &effect, ticket, &wish, &glimpsed) {
                let _ = say.send(Said::Hands(came));
            }
        };
        self.busy = Some((ticket, cancel, thread::spawn(work)));
    }

    /// A job that is just being started is waited for: its name belongs into the journal.
    fn leave(&mut self, said: &Receiver<Said>) {
        if let Some(guard) = self.guard.take() {
            guard.end();
        }
        if let Some((_, cancel, thread)) = self.busy.take() {
            let starting = matches!(self.run.state().phase, Phase::Starting { .. });
            if !starting {
                cancel.cancel();
            }
            let _ = thread.join();
            while let Ok(said) = said.try_recv() {
                if let Said::Hands(Came { input: input @ Input::Started(..), evidence }) = said {
                    self.take(input, evidence);
                }
            }
        }
    }

    /// What the last view refused.
    fn refusal(&self) -> Option<Text> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner).refusal.clone()
    }

    fn publish(&self, refusal: Option<Text>) {
        let state = self.run.state().clone();
        let job = match &state.phase {
            Phase::Acting { job, .. } => {
                job.parse().ok().and_then(|id| self.hands.jobs.get(&id).ok())
            }
            _ => None,
        };
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        let glimpse = self.glimpse.clone().filter(|(ticket, _)| *ticket == state.ticket);
        let glimpse = glimpse.map(|(_, glimpse)| glimpse);
        let sights = self.sights.clone();
        *view = Arc::new(View { state, job, glimpse, sights, refusal, ..View::clone(&view) });
        let new = Arc::clone(&view);
        drop(view);
        (self.tell)(&new);
    }
}
