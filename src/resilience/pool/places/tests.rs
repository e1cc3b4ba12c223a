//! The queue against a model of a few lines, and under threads.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use proptest::prelude::*;

use super::*;

/// Whether the one who waits was woken since it was looked at last.
#[derive(Default)]
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

/// What one may do to the places; numbers choose among those whom it concerns.
#[derive(Clone, Copy, Debug)]
enum Deed {
    /// Takes what lies ready, or joins the queue.
    Ask,
    GiveUp(usize),
    PutBack(usize),
    Lose(usize),
    Replace(usize),
    Made(usize),
    NotMade(usize),
    Weed,
    Close,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        8 => Just(Deed::Ask),
        2 => any::<usize>().prop_map(Deed::GiveUp),
        5 => any::<usize>().prop_map(Deed::PutBack),
        1 => any::<usize>().prop_map(Deed::Lose),
        1 => any::<usize>().prop_map(Deed::Replace),
        4 => any::<usize>().prop_map(Deed::Made),
        1 => any::<usize>().prop_map(Deed::NotMade),
        1 => Just(Deed::Weed),
        1 => prop_oneof![30 => Just(None), 1 => Just(Some(Deed::Close))]
            .prop_map(|close| close.unwrap_or(Deed::Ask)),
    ]
}

type Waiting<'a> = Pin<Box<dyn Future<Output = Result<Turn<'a, u32>, Closed>> + 'a>>;

/// Those who use the places, and what they must find by the rules.
struct World<'a> {
    places: &'a Places<u32>,
    max: usize,
    waiting: VecDeque<(Waiting<'a>, Arc<Bell>)>,
    lent: Vec<u32>,
    opening: Vec<Opening<'a, u32>>,
    made: u32,
    closed: bool,
}

impl<'a> World<'a> {
    fn new(places: &'a Places<u32>, max: usize) -> Self {
        Self {
            places,
            max,
            waiting: VecDeque::new(),
            lent: Vec::new(),
            opening: Vec::new(),
            made: 0,
            closed: false,
        }
    }

    fn does(&mut self, deed: Deed) {
        match deed {
            Deed::Ask => self.ask(),
            Deed::GiveUp(n) if !self.waiting.is_empty() => {
                drop(self.waiting.remove(n % self.waiting.len()));
            }
            Deed::PutBack(n) if !self.lent.is_empty() => {
                self.places.put(self.lent.swap_remove(n % self.lent.len()));
            }
            Deed::Lose(n) if !self.lent.is_empty() => {
                self.lent.swap_remove(n % self.lent.len());
                self.places.lost();
            }
            Deed::Replace(n) if !self.lent.is_empty() => {
                self.lent.swap_remove(n % self.lent.len());
                self.opening.push(self.places.replace());
            }
            Deed::Made(n) if !self.opening.is_empty() => {
                self.opening.swap_remove(n % self.opening.len()).done();
                self.made += 1;
                self.lent.push(self.made);
            }
            Deed::NotMade(n) if !self.opening.is_empty() => {
                drop(self.opening.swap_remove(n % self.opening.len()));
            }
            Deed::Weed => self.places.weed(|thing| thing % 2 == 0),
            Deed::Close => {
                self.places.close();
                self.closed = true;
            }
            _ => {}
        }
    }

    fn ask(&mut self) {
        if let Some(thing) = self.places.take() {
            assert!(self.nobody_waits(), "passed by those who wait");
            return self.lent.push(thing);
        }
        let first = self.nobody_waits();
        let (bell, mut turn) =
            (Arc::new(Bell::default()), Box::pin(self.places.turn()) as Waiting<'_>);
        match turn.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(&bell)))) {
            Poll::Ready(turn) => {
                assert!(first, "passed by those who wait");
                self.gets(turn);
            }
            Poll::Pending => self.waiting.push_back((turn, bell)),
        }
    }

    /// Some may have been handed something and not know it yet.
    fn nobody_waits(&self) -> bool {
        self.waiting.iter().all(|(_, bell)| bell.0.load(SeqCst))
    }

    fn gets(&mut self, turn: Result<Turn<'a, u32>, Closed>) {
        match turn {
            Ok(Turn::Ready(thing)) => self.lent.push(thing),
            Ok(Turn::Open(opening)) => self.opening.push(opening),
            Err(Closed) => assert!(self.closed),
        }
    }

    /// Who was woken looks what he got: it must be those who came first.
    fn wakes(&mut self) {
        let woken = |(_, bell): &(Waiting<'_>, Arc<Bell>)| bell.0.load(SeqCst);
        while self.waiting.front().is_some_and(woken) {
            let Some((mut turn, bell)) = self.waiting.pop_front() else { return };
            let waker = Waker::from(bell);
            match turn.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(turn) => self.gets(turn),
                Poll::Pending => panic!("woken for nothing"),
            }
        }
        assert!(!self.waiting.iter().any(woken), "a later one was woken first");
    }

    fn check(&self) {
        let counts = self.places.counts();
        assert_eq!(counts.open - counts.idle, self.lent.len(), "{counts:?}");
        assert_eq!(counts.opening, self.opening.len(), "{counts:?}");
        assert_eq!(counts.waiting, self.waiting.len(), "{counts:?}");
        let taken = counts.open + counts.opening;
        assert!(taken <= self.max, "{counts:?}");
        if counts.waiting > 0 {
            assert_eq!((counts.idle, taken), (0, self.max), "waits for nothing");
        }
        if self.closed {
            assert_eq!((counts.idle, counts.waiting), (0, 0), "closed");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever is done in whatever order, woken at once or late: never more than there are places, the first
    /// come is the first served, and nobody waits for what is there.
    #[test]
    fn the_first_come_is_the_first_served(
        max in 1_usize..5,
        deeds in prop::collection::vec((deed(), prop::bool::weighted(0.7)), 1..120),
    ) {
        let places = Places::new(max);
        let mut world = World::new(&places, max);
        for (deed, at_once) in deeds {
            // Who has been handed something and does not know it yet may still give up.
            world.does(deed);
            if at_once {
                world.wakes();
                world.check();
            }
        }
        // When everything comes back, everybody has been served.
        loop {
            world.wakes();
            world.check();
            match (world.opening.is_empty(), world.lent.is_empty()) {
                (false, _) => world.does(Deed::Made(0)),
                (true, false) => world.does(Deed::PutBack(0)),
                (true, true) => break,
            }
        }
        prop_assert!(world.waiting.is_empty(), "forgotten");
    }
}

#[test]
fn closing_wakes_all_and_takes_nothing_in() {
    let places = Places::new(2);
    let mut world = World::new(&places, 2);
    (0..9).for_each(|_| world.does(Deed::Ask));
    world.does(Deed::Made(0));
    assert_eq!((world.lent.len(), world.opening.len(), world.waiting.len()), (1, 1, 7));
    world.does(Deed::Close);
    world.wakes();
    assert!(world.waiting.is_empty());
    // Who has something may end what he began.
    world.does(Deed::Made(0));
    world.does(Deed::PutBack(0));
    world.does(Deed::PutBack(0));
    assert_eq!(places.counts(), Counts::default());
    assert!(places.take().is_none());
}

/// Callers on several threads who take, wait, give up and lose things: never more at once than there are
/// places, and in the end everybody has got what he came for.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_thing_and_no_wakeup_is_lost_among_threads() {
    const MAX: usize = 3;
    let places: Arc<Places<u32>> = Arc::new(Places::new(MAX));
    let lent = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..16_u32)
        .map(|caller| {
            let (places, lent) = (Arc::clone(&places), Arc::clone(&lent));
            tokio::spawn(async move {
                let mut served = 0;
                for round in 0.. {
                    if served == 500 {
                        return;
                    }
                    let thing = if let Some(thing) = places.take() {
                        thing
                    } else {
                        // Every third one has little patience.
                        let patience = if round % 3 == 0 { 20 } else { 60_000_000 };
                        let patience = Duration::from_micros(patience);
                        match tokio::time::timeout(patience, places.turn()).await {
                            Ok(Ok(Turn::Ready(thing))) => thing,
                            Ok(Ok(Turn::Open(_))) if round % 7 == 0 => continue,
                            Ok(Ok(Turn::Open(opening))) => {
                                opening.done();
                                caller
                            }
                            Ok(Err(Closed)) => panic!("closed by nobody"),
                            Err(_) => {
                                assert!(round % 3 == 0, "a minute is over: forgotten");
                                continue;
                            }
                        }
                    };
                    assert!(lent.fetch_add(1, SeqCst) < MAX);
                    if round % 5 == 0 {
                        tokio::task::yield_now().await;
                    }
                    lent.fetch_sub(1, SeqCst);
                    if round % 11 == 0 {
                        places.lost();
                    } else {
                        places.put(thing);
                    }
                    served += 1;
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.expect("served");
    }
    let counts = places.counts();
    assert_eq!((counts.open, counts.opening, counts.waiting), (counts.idle, 0, 0));
    assert!(counts.open <= MAX);
}
