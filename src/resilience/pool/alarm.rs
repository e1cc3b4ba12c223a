//! The timer of a session.
//!
//! To give a timer to the runtime and take it back costs two locks that all tasks share; to move one that
//! the runtime has further into the future costs one atomic. Deadlines only ever move that way, so each
//! session keeps a timer, and a call moves it.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::Poll,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that is kept from call to call.
#[derive(Debug, Default)]
pub(super) struct Alarm(Mutex<Option<Pin<Box<Sleep>>>>);

impl Alarm {
    /// Runs `work` until `deadline`; `None` when it was not done by then. Work that is done at once needs no
    /// timer.
    ///
    /// It is handed over pinned, here and on the way here: work is some hundred bytes, and each hand that
    /// takes it by value copies them.
    pub(super) async fn until<T>(
        &self,
        deadline: Instant,
        mut work: Pin<&mut impl Future<Output = T>>,
    ) -> Option<T> {
        let mut timer = None;
        let outcome = poll_fn(|context| {
            if let Poll::Ready(value) = work.as_mut().poll(context) {
                return Poll::Ready(Some(value));
            }
            let timer = timer.get_or_insert_with(|| self.set(deadline));
            timer.as_mut().poll(context).map(|()| None)
        })
        .await;
        if let Some(timer) = timer {
            *self.kept() = Some(timer);
        }
        outcome
    }

    /// The kept timer, moved to `deadline`; a new one when another call has it, or none was kept.
    fn set(&self, deadline: Instant) -> Pin<Box<Sleep>> {
        let kept = self.kept().take();
        match kept {
            Some(mut timer) => {
                timer.as_mut().reset(deadline);
                timer
            }
            None => Box::pin(sleep_until(deadline)),
        }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Option<Pin<Box<Sleep>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, pin::pin, time::Duration};

    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    fn ahead(millis: u32) -> Instant {
        Instant::now() + MILLI * millis
    }

    #[tokio::test]
    async fn each_deadline_holds_whatever_the_one_before_was() {
        let alarm = Alarm::default();
        for (deadline, done) in [(10_000, 1), (5, 10_000), (30, 10_000), (10_000, 20), (1, 10_000)]
        {
            let began = Instant::now();
            let work = tokio::time::sleep(MILLI * done);
            let outcome = alarm.until(ahead(deadline), pin!(work)).await;
            let took = began.elapsed();
            assert_eq!(outcome.is_some(), done < deadline, "{deadline} {done}");
            assert!(took >= MILLI * done.min(deadline) && took < MILLI * 5_000, "{took:?}");
        }
    }

    #[tokio::test]
    async fn a_timer_that_rang_while_nobody_waited_is_set_again() {
        let alarm = Alarm::default();
        let soon = tokio::time::sleep(MILLI);
        assert_eq!(alarm.until(ahead(20), pin!(soon)).await, Some(()));
        tokio::time::sleep(MILLI * 40).await;
        let work = tokio::time::sleep(MILLI * 20);
        assert_eq!(alarm.until(ahead(10_000), pin!(work)).await, Some(()));
        assert_eq!(alarm.until(ahead(5), pin!(pending::<()>())).await, None);
    }

    #[tokio::test]
    async fn calls_at_once_have_timers_of_their_own() {
        let alarm = Alarm::default();
        let (never, soon) = (pin!(pending::<()>()), pin!(tokio::time::sleep(MILLI * 20)));
        let (short, long) =
            tokio::join!(alarm.until(ahead(5), never), alarm.until(ahead(10_000), soon));
        assert_eq!((short, long), (None, Some(())));
    }
}
