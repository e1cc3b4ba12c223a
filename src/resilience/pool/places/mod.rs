//! The places of a pool, and who gets one: whoever came first.
//!
//! While there is something for everybody, to take and to put back is one lock that no two threads want at
//! once: what lies ready lies on shelves, and a thread has its own, where it finds what it put there last.
//! (One list for all would cost every call the way of a cache line to and fro between two cores, twice.)
//!
//! As soon as somebody has to wait, nobody passes by: all join one queue, and whatever comes back, or a place
//! that became free, is handed to the first of it. These hold at every moment:
//!
//! - There are never more things than places, those that are just being made counted in.
//! - Nobody waits while something lies ready, or while there is room for one more.
//! - Who gives up waiting takes nothing along: what he was handed goes to the next.
//! - Once it is closed, nobody waits, nothing is handed out, and what comes back is dropped.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use tokio::sync::oneshot;

use crate::resilience::seat::{SEATS, seat};

/// Places for things that are lent one by one.
pub(super) struct Places<T> {
    max: usize,
    /// Nobody waits, and it is not closed: then a thing may be taken from a shelf without asking the queue.
    quiet: AtomicBool,
    /// Changes, like `quiet`, only while the queue is locked.
    closed: AtomicBool,
    shelves: [Shelf<T>; SEATS],
    /// Who holds it may lock a shelf; who holds a shelf locks nothing.
    queue: Mutex<Queue<T>>,
}

/// What lies ready, the last one put there on top. Pairs of cache lines of its own, as processors fetch them.
#[repr(align(128))]
struct Shelf<T>(Mutex<Vec<T>>);

struct Queue<T> {
    /// Things there are: on a shelf or lent.
    open: usize,
    /// Things that are being made.
    opening: usize,
    /// In the order of their numbers.
    waiters: VecDeque<(u64, oneshot::Sender<Handed<T>>)>,
    /// How many ever joined.
    joined: u64,
}

/// What a waiter is handed: a thing, or a place for one that he has to make.
type Handed<T> = Option<T>;

/// Whose turn it is.
#[derive(Debug)]
pub(super) enum Turn<'a, T> {
    /// Takes this.
    Ready(T),
    /// Makes one.
    Open(Opening<'a, T>),
}

/// It is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Closed;

/// How the places are used at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Things there are.
    pub(super) open: usize,
    /// Of these, those that lie ready.
    pub(super) idle: usize,
    /// Things that are being made.
    pub(super) opening: usize,
    /// Who waits for his turn.
    pub(super) waiting: usize,
}

impl<T> Places<T> {
    /// So many places, all of them empty; at least one.
    pub(super) fn new(max: usize) -> Self {
        Self {
            max: max.max(1),
            quiet: AtomicBool::new(true),
            closed: AtomicBool::new(false),
            shelves: Default::default(),
            queue: Mutex::new(Queue { open: 0, opening: 0, waiters: VecDeque::new(), joined: 0 }),
        }
    }

    /// What lies ready, unless others have been waiting for it.
    pub(super) fn take(&self) -> Option<T> {
        if self.quiet.load(Relaxed) { self.off_a_shelf() } else { None }
    }

    /// Waits for one's turn. Dropped before it comes, it leaves the queue.
    pub(super) async fn turn(&self) -> Result<Turn<'_, T>, Closed> {
        let mut waiter = self.join()?;
        self.serve();
        let handed = (&mut waiter.hand).await;
        waiter.waits = false;
        match handed {
            Ok(Some(thing)) => Ok(Turn::Ready(thing)),
            Ok(None) => Ok(Turn::Open(Opening { places: self, done: false })),
            Err(_) => Err(Closed),
        }
    }

    /// Puts back what was taken or made.
    pub(super) fn put(&self, thing: T) {
        self.shelf(seat()).push(thing);
        // Who joins the queue, or closes it, says so before he looks through the shelves, and both of us
        // lock this one: either he finds the thing, or it is seen here what he said.
        if !self.quiet.load(Relaxed) {
            self.serve();
        }
    }

    /// What was taken or made is gone for good: its place is free.
    pub(super) fn lost(&self) {
        self.change(|queue| queue.open -= 1);
        self.serve();
    }

    /// The same, for who makes another one in its place.
    pub(super) fn replace(&self) -> Opening<'_, T> {
        self.change(|queue| {
            queue.open -= 1;
            queue.opening += 1;
        });
        Opening { places: self, done: false }
    }

    /// Takes out what lies ready and is not worth keeping.
    pub(super) fn weed(&self, mut keep: impl FnMut(&T) -> bool) {
        for number in 0..SEATS {
            // Dropped when nothing is locked any more.
            let weeds: Vec<T> = self.shelf(number).extract_if(.., |thing| !keep(thing)).collect();
            if !weeds.is_empty() {
                self.change(|queue| queue.open -= weeds.len());
                self.serve();
            }
        }
    }

    /// Sends everybody away who waits, drops what lies ready, and takes in nothing more.
    pub(super) fn close(&self) {
        let waiters = self.change(|queue| {
            self.closed.store(true, Relaxed);
            std::mem::take(&mut queue.waiters)
        });
        // That wakes them.
        drop(waiters);
        self.weed(|_| false);
    }

    /// How the places are used now.
    pub(super) fn counts(&self) -> Counts {
        let queue = self.queue();
        let idle = (0..SEATS).map(|number| self.shelf(number).len()).sum();
        let Queue { open, opening, .. } = *queue;
        Counts { open, idle, opening, waiting: queue.waiters.len() }
    }

    /// Gives to the first of the queue what there is, and to the next, as far as it goes. When it is closed,
    /// drops what there is.
    fn serve(&self) {
        while let Some((hand, handed)) = self.next() {
            // Nothing is locked here: who is woken may do anything.
            match hand.send(handed) {
                Ok(()) => {}
                // Gave up just now.
                Err(Some(thing)) => self.shelf(seat()).push(thing),
                Err(None) => self.change(|queue| queue.opening -= 1),
            }
        }
        if self.closed.load(Relaxed) {
            self.weed(|_| false);
        }
    }

    /// The first of the queue, and what he gets; `None` when nobody waits or there is nothing.
    fn next(&self) -> Option<(oneshot::Sender<Handed<T>>, Handed<T>)> {
        self.change(|queue| {
            if queue.waiters.is_empty() {
                return None;
            }
            let handed = self.off_a_shelf();
            if handed.is_none() {
                if queue.open + queue.opening >= self.max {
                    return None;
                }
                queue.opening += 1;
            }
            queue.waiters.pop_front().map(|(_, hand)| (hand, handed))
        })
    }

    fn join(&self) -> Result<Waiter<'_, T>, Closed> {
        self.change(|queue| {
            if self.closed.load(Relaxed) {
                return Err(Closed);
            }
            let (number, (give, hand)) = (queue.joined, oneshot::channel());
            queue.joined += 1;
            queue.waiters.push_back((number, give));
            Ok(Waiter { places: self, number, hand, waits: true })
        })
    }

    fn off_a_shelf(&self) -> Option<T> {
        let own = seat();
        (own..own + SEATS).find_map(|number| self.shelf(number % SEATS).pop())
    }

    /// Changes the queue, and says whether anybody waits now.
    fn change<R>(&self, change: impl FnOnce(&mut Queue<T>) -> R) -> R {
        let mut queue = self.queue();
        let changed = change(&mut queue);
        let quiet = queue.waiters.is_empty() && !self.closed.load(Relaxed);
        if self.quiet.load(Relaxed) != quiet {
            self.quiet.store(quiet, Relaxed);
        }
        changed
    }

    fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shelf(&self, number: usize) -> MutexGuard<'_, Vec<T>> {
        self.shelves[number].0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> fmt::Debug for Places<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Places")
            .field("max", &self.max)
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

/// A place for a thing that is being made. Dropped before it is [`done`](Opening::done), the place is free.
#[derive(Debug)]
pub(super) struct Opening<'a, T> {
    places: &'a Places<T>,
    done: bool,
}

impl<T> Opening<'_, T> {
    /// The thing is there.
    pub(super) fn done(mut self) {
        self.done = true;
        self.places.change(|queue| {
            queue.opening -= 1;
            queue.open += 1;
        });
    }
}

impl<T> Drop for Opening<'_, T> {
    fn drop(&mut self) {
        if !self.done {
            self.places.change(|queue| queue.opening -= 1);
            self.places.serve();
        }
    }
}

/// Somebody in the queue.
struct Waiter<'a, T> {
    places: &'a Places<T>,
    number: u64,
    hand: oneshot::Receiver<Handed<T>>,
    waits: bool,
}

impl<T> Drop for Waiter<'_, T> {
    fn drop(&mut self) {
        if !self.waits {
            return;
        }
        self.hand.close();
        match self.hand.try_recv() {
            Ok(Some(thing)) => self.places.put(thing),
            Ok(None) => drop(Opening { places: self.places, done: false }),
            Err(_) => self.places.change(|queue| {
                if let Ok(at) = queue.waiters.binary_search_by_key(&self.number, |(n, _)| *n) {
                    queue.waiters.remove(at);
                }
            }),
        }
    }
}

#[cfg(test)]
mod tests;
