//! The guides of the console: one run at a time, driven on a thread of its own.

use std::{
    iter,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use tokio::sync::mpsc::UnboundedSender;

use crate::{
    base::text::Text,
    cli::{
        Failure,
        guide::{self, Ground, runs},
        place, setup,
    },
    console::{
        app::effects::{Notice, Told},
        model::{GuideWish, Offered, Seat, Sheet, Shelf, Tone, Waiting},
    },
    guide::{
        GuideError,
        driver::{Driver, View},
        handover, library,
        page::page,
        run::{Run, Seen},
        state::Phase,
        walked,
    },
};

/// The guides are read when the server has had so long to answer: on two processors, reading them beside
/// it would delay the first facts.
const HEAD_START: Duration = Duration::from_millis(150);

/// The way to the thread that keeps them.
#[derive(Debug)]
pub struct Guides(mpsc::Sender<GuideWish>);

impl Guides {
    /// Starts the thread. It ends, and leaves its run where it stands, when this is dropped.
    pub fn start(ground: Ground, say: UnboundedSender<Told>) -> Self {
        let (send, wishes) = mpsc::channel();
        thread::spawn(move || {
            let mut desk = Desk { ground, say, driver: None, looking: None };
            let first = wishes.recv_timeout(HEAD_START).ok();
            // Without being asked: alerts name the guide that answers them.
            for wish in iter::once(GuideWish::List).chain(first).chain(wishes) {
                if let Err(failure) = desk.grant(wish) {
                    let text = Text::one_line(&failure.to_string());
                    desk.tell(Told::Notice(Notice { text, tone: Tone::Refusal }));
                }
            }
        });
        Self(send)
    }

    /// Passes a wish on.
    pub fn wish(&self, wish: &GuideWish) {
        // The thread ends with us, never before.
        let _ = self.0.send(wish.clone());
    }
}

struct Desk {
    ground: Ground,
    say: UnboundedSender<Told>,
    driver: Option<Driver>,
    looking: Option<Looking>,
}

/// Looks on at a run that somebody else drives. Ends when it is dropped.
struct Looking(Arc<AtomicBool>);

/// How often a run of somebody else's is looked at.
const LOOK: Duration = Duration::from_millis(500);

impl Looking {
    fn on(id: Text, say: UnboundedSender<Told>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        thread::spawn(move || {
            let mut shown = None;
            while !ends.load(Ordering::Relaxed) {
                let seen = runs().and_then(|runs| runs.look(&id).map_err(guide::wrong));
                let Ok(seen) = seen else { return };
                let sheet = Some(Arc::new(looked_on(&seen)));
                if sheet != shown {
                    // Told only while we look on.
                    if ends.load(Ordering::Relaxed) || say.send(Told::Sheet(sheet.clone())).is_err()
                    {
                        return;
                    }
                    shown = sheet;
                }
                thread::sleep(LOOK);
            }
        });
        Self(over)
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Desk {
    fn tell(&self, told: Told) {
        // A console that has ended needs no more.
        let _ = self.say.send(told);
    }

    fn grant(&mut self, wish: GuideWish) -> Result<(), Failure> {
        match wish {
            GuideWish::List => self.list(),
            GuideWish::Begin(id, offered) => {
                let mut card = guide::card(&self.ground, &id)?;
                card.values.extend(offered);
                let run = runs()?.begin(&card).map_err(guide::wrong)?;
                self.drive(run)?;
            }
            GuideWish::Resume(id) => match runs()?.drive(&id, &self.ground.who()) {
                Ok(run) => self.drive(run)?,
                Err(GuideError::Driven { .. }) => {
                    self.driver = None;
                    self.looking = Some(Looking::on(id, self.say.clone()));
                }
                Err(error) => return Err(guide::wrong(error)),
            },
            GuideWish::Input(input) => {
                if let Some(driver) = &self.driver {
                    driver.input(input);
                }
            }
            GuideWish::Leave => {
                (self.driver, self.looking) = (None, None);
                self.tell(Told::Sheet(None));
                self.list();
            }
        }
        Ok(())
    }

    /// Shows the shelf, behind what the ledger still lacked.
    fn list(&self) {
        let Ground { config, place, .. } = &self.ground;
        let lacks = match guide::catch_up(config, &self.ground.who()) {
            Ok(caught_up) => caught_up.err(),
            Err(failure) => Some(Text::one_line(&failure.to_string())),
        };
        let on = place::whereabouts(config, place).map_or("", |(_, name)| name);
        let shelf = shelf(on);
        let trouble = shelf.trouble.clone().or(lacks);
        self.tell(Told::Shelf(Arc::new(Shelf { trouble, ..shelf })));
    }

    fn drive(&mut self, run: Run) -> Result<(), Failure> {
        // One at a time: the one before waits where it stands.
        (self.driver, self.looking) = (None, None);
        let who = self.ground.who();
        let hands = guide::hands(&self.ground.config, &who, &run)?;
        let by = Text::from(who.in_words());
        let say = self.say.clone();
        let tell = move |view: &Arc<View>| {
            let _ = say.send(Told::Sheet(Some(Arc::new(sheet(view)))));
        };
        self.driver = Some(Driver::start(run, hands, by, Box::new(tell)));
        Ok(())
    }
}

fn sheet(view: &View) -> Sheet {
    Sheet {
        run: view.run.clone(),
        page: view.page(),
        handover: handover::note(&view.run, &view.card, &view.state, view.job.as_ref()),
        refusal: view.refusal.clone(),
        seat: Seat::Ours,
    }
}

fn looked_on(seen: &Seen) -> Sheet {
    let job = guide::job_of(seen);
    Sheet {
        run: seen.id.as_str().into(),
        page: page(&seen.card, &seen.state, job.as_ref()),
        handover: handover::note(&seen.id, &seen.card, &seen.state, job.as_ref()),
        refusal: None,
        seat: seen.driver.clone().map_or(Seat::Free, Seat::Theirs),
    }
}

/// What there is, with the age of the guides on that target.
fn shelf(on: &str) -> Shelf {
    let read = || -> Result<Shelf, Failure> {
        let guides = library::guides(&setup::paths()?.guides()).map_err(guide::wrong)?;
        let all = runs()?.list().map_err(guide::wrong)?;
        let (runs, bad): (Vec<_>, Vec<_>) = all.into_iter().partition(Result::is_ok);
        let runs: Vec<Seen> = runs.into_iter().flatten().collect();
        let offered = |guide: crate::guide::spec::Guide| Offered {
            walked: walked::last(&runs, &guide.id, on),
            id: guide.id.as_str().into(),
            title: guide.title.as_str().into(),
            about: guide.about.as_str().into(),
            subject: guide.subject.iter().map(|value| value.as_str().into()).collect(),
            answers: guide.answers.iter().map(|check| check.as_str().into()).collect(),
        };
        let trouble = bad.into_iter().find_map(Result::err);
        let guides = guides.into_iter().map(offered).collect();
        let mut runs: Vec<Waiting> = runs.into_iter().filter_map(waiting).collect();
        // What cannot go on stands in nobody's way.
        runs.sort_by_key(|run| run.gone.is_some());
        Ok(Shelf { guides, runs, trouble: trouble.map(|error| Text::one_line(&error.to_string())) })
    };
    read().unwrap_or_else(|failure| Shelf {
        trouble: Some(Text::one_line(&failure.to_string())),
        ..Shelf::default()
    })
}

fn waiting(run: Seen) -> Option<Waiting> {
    if let Phase::Over(_) = run.state.phase {
        return None;
    }
    let page = page(&run.card, &run.state, None);
    Some(Waiting {
        id: run.id.as_str().into(),
        title: page.title,
        on: page.on,
        step: page.line,
        began: page.began,
        driver: run.driver,
        gone: run.gone,
    })
}
