//! Batches of segments, several at a time.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::{
    base::progress::{Observer, Progress},
    recover::{Fault, Kind, Result},
};

/// Segments are read by as many threads as there are processors, up to this many.
const WORKERS: usize = 8;

/// Does something with each batch, of which it is told the number, and returns what came of them, in no certain
/// order. The first failure, or the wish to stop, ends it; `deed` is what is then said to be cancelled.
pub(super) fn each<B: Sync, T: Send>(
    batches: &[B],
    (phase, deed): (&'static str, &str),
    observer: &dyn Observer,
    act: &(dyn Fn(usize, &B) -> Result<T> + Sync),
) -> Result<Vec<T>> {
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let outcome = Mutex::new(Ok(Vec::with_capacity(batches.len())));
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(batch) = batches.get(number) else { break };
            let one = if observer.cancelled() {
                Err(Fault::new(Kind::Cancelled, format!("{deed} was cancelled")))
            } else {
                act(number, batch)
            };
            let mut all = outcome.lock().unwrap_or_else(PoisonError::into_inner);
            match (&mut *all, one) {
                (Ok(all), Ok(one)) => all.push(one),
                (Ok(_), Err(fault)) => *all = Err(fault),
                (Err(_), _) => break,
            }
            drop(all);
            let so_far = done.fetch_add(1, Ordering::Relaxed) + 1;
            let total = Some(batches.len() as u64);
            observer.progress(&Progress::items(phase, so_far as u64, total));
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from).min(WORKERS);
    thread::scope(|scope| {
        for _ in 1..workers {
            scope.spawn(work);
        }
        work();
    });
    outcome.into_inner().unwrap_or_else(PoisonError::into_inner)
}
