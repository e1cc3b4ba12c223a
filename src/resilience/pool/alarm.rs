//! The end of a session's time for the call on it.
//!
//! A timer of the runtime's is dear to set and to ask at each step, and hardly one of them ever rings. So a
//! call only writes down when it must be done, and takes that back when it is. Beside it a watch sleeps until
//! the deadline that it saw last. When it wakes, that call is nearly always over, and it sleeps on until the
//! deadline of the call that is under way then, or ends when there is none. A session that is always in use
//! needs one watch, which wakes once in the time that a call may take.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    task::{Poll, Waker},
};

use tokio::time::sleep_until;

use crate::base::clock::{Clock, Stamp};

/// No call is under way.
const FREE: u64 = 0;
/// The time of the call under way is over.
const RUNG: u64 = u64::MAX;
/// Nobody watches.
const NEVER: u64 = u64::MAX;

/// Bounds one call at a time.
#[derive(Debug)]
pub(super) struct Alarm(Arc<Bell>);

/// What the call and the watch beside it share. Each of them first writes what it does and then reads what
/// the other one did, all in one order ([`SeqCst`]), so that at least one of them sees the other.
#[derive(Debug)]
struct Bell {
    clock: Clock,
    /// When the call under way must be done, in nanoseconds.
    deadline: AtomicU64,
    /// When the watch in charge looks, in nanoseconds. Not after the deadline of the call under way.
    looks: AtomicU64,
    /// Wakes the call.
    waker: Mutex<Option<Waker>>,
}

impl Alarm {
    /// `clock` is the one that deadlines are told by.
    pub(super) fn new(clock: Clock) -> Self {
        let (deadline, looks) = (AtomicU64::new(FREE), AtomicU64::new(NEVER));
        Self(Arc::new(Bell { clock, deadline, looks, waker: Mutex::default() }))
    }

    /// Runs `work` until `deadline`; `None` when it was not done by then. Work that is done at once is not
    /// watched. One at a time: the deadline of a second one would stand in for that of the first.
    ///
    /// Work is handed over pinned, here and on the way here: it is some hundred bytes, and each hand that
    /// takes it by value copies them.
    pub(super) fn until<T>(
        &self,
        deadline: Stamp,
        mut work: Pin<&mut impl Future<Output = T>>,
    ) -> impl Future<Output = Option<T>> {
        let (bell, mut set) = (&self.0, None);
        poll_fn(move |context| {
            if let Poll::Ready(value) = work.as_mut().poll(context) {
                return Poll::Ready(Some(value));
            }
            set.get_or_insert_with(|| bell.set(deadline)).see_to_it(context.waker());
            if bell.has_rung() { Poll::Ready(None) } else { Poll::Pending }
        })
    }
}

impl Bell {
    fn set(self: &Arc<Self>, deadline: Stamp) -> Set<'_> {
        let deadline = deadline.nanos().clamp(FREE + 1, RUNG - 1);
        self.deadline.store(deadline, SeqCst);
        Set { bell: self, deadline }
    }

    fn has_rung(&self) -> bool {
        self.deadline.load(SeqCst) == RUNG
    }

    fn waker(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        if let Some(waker) = self.waker().take() {
            waker.wake();
        }
    }

    /// The deadline of the call under way.
    fn pending(&self) -> Option<u64> {
        let deadline = self.deadline.load(SeqCst);
        (deadline != FREE && deadline != RUNG).then_some(deadline)
    }

    /// It is `now`: ends the call whose time is over, and says when to look again; `None` when nobody needs it
    /// or another watch is in charge.
    fn look(&self, now: u64) -> Option<u64> {
        let mut pending = self.pending();
        if let Some(deadline) = pending.filter(|deadline| *deadline <= now) {
            // A call that ended just now has taken it back, and another one may have begun.
            match self.deadline.compare_exchange(deadline, RUNG, SeqCst, SeqCst) {
                Ok(_) => {
                    self.wake();
                    pending = None;
                }
                Err(_) => pending = self.pending(),
            }
        }
        self.looks.compare_exchange(now, pending.unwrap_or(NEVER), SeqCst, SeqCst).ok()?;
        pending.or_else(|| {
            // A call that began meanwhile believed in us, or has called another one.
            let deadline = self.pending()?;
            self.looks.compare_exchange(NEVER, deadline, SeqCst, SeqCst).ok().map(|_| deadline)
        })
    }
}

/// A deadline that is set. Dropped, it is taken back.
struct Set<'a> {
    bell: &'a Arc<Bell>,
    deadline: u64,
}

impl Set<'_> {
    /// Has `waker` woken at the deadline.
    fn see_to_it(&self, waker: &Waker) {
        {
            let mut kept = self.bell.waker();
            match &mut *kept {
                // Does nothing when it is the same one, as it nearly always is.
                Some(kept) => kept.clone_from(waker),
                None => *kept = Some(waker.clone()),
            }
        }
        // Nobody watches, or not until later; also when the watch ended with the runtime that it ran on.
        if self.bell.looks.load(SeqCst) > self.deadline
            && self.bell.looks.fetch_min(self.deadline, SeqCst) > self.deadline
        {
            let watch = Watch { bell: Arc::clone(self.bell), looks: self.deadline, needed: true };
            tokio::spawn(watch.run());
        }
    }
}

impl Drop for Set<'_> {
    fn drop(&mut self) {
        self.bell.deadline.store(FREE, Relaxed);
    }
}

/// Looks whether a call is over when it must be.
struct Watch {
    bell: Arc<Bell>,
    looks: u64,
    needed: bool,
}

impl Watch {
    async fn run(mut self) {
        loop {
            sleep_until(self.bell.clock.instant(Stamp::from_nanos(self.looks)).into()).await;
            let Some(next) = self.bell.look(self.looks) else {
                self.needed = false;
                return;
            };
            self.looks = next;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Still in charge: the runtime ends. The call may run on another one, and gets a watch there.
        if self.needed
            && self.bell.looks.compare_exchange(self.looks, NEVER, SeqCst, SeqCst).is_ok()
        {
            self.bell.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, pin::pin, sync::atomic::AtomicUsize, time::Duration};

    use tokio::{runtime, task::yield_now, time::sleep};

    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    fn alarm() -> (Alarm, impl Fn(u32) -> Stamp) {
        let clock = Clock::system();
        (Alarm::new(clock.clone()), move |millis| clock.now().plus(MILLI * millis))
    }

    #[tokio::test]
    async fn each_deadline_holds_whatever_the_one_before_was() {
        let (alarm, ahead) = alarm();
        let clock = Clock::system();
        for (deadline, done) in [(10_000, 1), (5, 10_000), (30, 10_000), (10_000, 20), (1, 10_000)]
        {
            let began = clock.now();
            let work = sleep(MILLI * done);
            let outcome = alarm.until(ahead(deadline), pin!(work)).await;
            let took = clock.now().since(began);
            assert_eq!(outcome.is_some(), done < deadline, "{deadline} {done}");
            assert!(took >= MILLI * done.min(deadline) && took < MILLI * 5_000, "{took:?}");
        }
    }

    #[tokio::test]
    async fn a_deadline_that_passed_while_nobody_called_harms_nobody() {
        let (alarm, ahead) = alarm();
        assert_eq!(alarm.until(ahead(20), pin!(sleep(MILLI))).await, Some(()));
        sleep(MILLI * 40).await;
        assert_eq!(alarm.0.looks.load(SeqCst), NEVER, "the watch has ended");
        assert_eq!(alarm.until(ahead(10_000), pin!(sleep(MILLI * 20))).await, Some(()));
        assert_eq!(alarm.until(ahead(5), pin!(pending::<()>())).await, None);
    }

    #[tokio::test]
    async fn calls_one_after_the_other_share_a_watch_and_the_last_one_is_ended_in_time() {
        let (alarm, ahead) = alarm();
        for _ in 0..50 {
            assert_eq!(alarm.until(ahead(25), pin!(sleep(MILLI))).await, Some(()));
        }
        let alive = runtime::Handle::current().metrics().num_alive_tasks();
        assert!(alive <= 1, "{alive} watches for one session");
        let clock = Clock::system();
        let since = clock.now();
        assert_eq!(alarm.until(ahead(25), pin!(pending::<()>())).await, None);
        let took = clock.now().since(since);
        assert!(took >= MILLI * 25 && took < MILLI * 500, "{took:?}");
    }

    #[tokio::test]
    async fn work_that_is_done_at_once_is_not_watched() {
        let (alarm, ahead) = alarm();
        assert_eq!(alarm.until(ahead(0), pin!(async { 7 })).await, Some(7));
        assert_eq!(runtime::Handle::current().metrics().num_alive_tasks(), 0);
    }

    #[test]
    fn a_call_outlives_the_runtime_that_its_watch_ran_on() {
        let (alarm, ahead) = alarm();
        let first = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        first.block_on(async {
            assert_eq!(alarm.until(ahead(60), pin!(sleep(MILLI))).await, Some(()));
        });
        let second = runtime::Builder::new_current_thread().enable_all().build();
        second.expect("a runtime").block_on(async {
            let ends = async {
                sleep(MILLI * 5).await;
                first.shutdown_background();
                pending::<()>().await;
            };
            assert_eq!(alarm.until(ahead(100), pin!(ends)).await, None);
        });
    }

    /// Deadlines so near that calls end, are ended and begin in the very moment that the watch looks.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_call_hangs_when_watch_and_calls_meet() {
        let ended = Arc::new(AtomicUsize::new(0));
        let callers: Vec<_> = (0..8)
            .map(|caller| {
                let ended = Arc::clone(&ended);
                tokio::spawn(async move {
                    let clock = Clock::system();
                    let alarm = Alarm::new(clock.clone());
                    for n in 0..400_u32 {
                        let deadline = clock.now().plus(MILLI * ((n * 7 + caller * 13) % 90) / 50);
                        // Some are never done, others about when their time is over.
                        let done = if n % 3 == 0 { u32::MAX } else { n % 40 };
                        let work = async {
                            for _ in 0..done {
                                yield_now().await;
                                if done == u32::MAX {
                                    pending::<()>().await;
                                }
                            }
                        };
                        if alarm.until(deadline, pin!(work)).await.is_none() {
                            ended.fetch_add(1, SeqCst);
                        }
                    }
                })
            })
            .collect();
        for caller in callers {
            tokio::time::timeout(Duration::from_mins(1), caller)
                .await
                .expect("no call hangs")
                .expect("no panic");
        }
        assert!(ended.load(SeqCst) >= 8 * 134, "each that is never done was ended");
    }
}
