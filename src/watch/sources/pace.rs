//! Asking a source again and again.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::Reading;
use crate::watch::beat::Beat;

/// A source that can be asked.
pub trait Look: Send {
    /// Asks once.
    fn look(&mut self) -> impl Future<Output = Reading> + Send;
}

/// What the asking of a source hangs on.
#[derive(Clone, Debug)]
pub struct Line {
    /// Where readings go.
    pub out: mpsc::Sender<Reading>,
    /// Ends any pause at once.
    pub retry: Arc<Notify>,
    /// Ends the asking.
    pub cancel: CancellationToken,
    /// When all are asked.
    pub beat: Beat,
}

impl Line {
    /// A line that nobody hurries.
    pub fn new(out: mpsc::Sender<Reading>, cancel: CancellationToken) -> Self {
        Self { out, retry: Arc::default(), cancel, beat: Beat::new() }
    }
}

/// Asks every period, in the beat of all, and sends what is told, until cancelled or until nobody listens any more. Attempts
/// never overlap; after failures the pause grows to 5 s at most.
pub async fn keep_asking(mut source: impl Look, period: Duration, line: Line) {
    let mut pace = Pace::new(period);
    let work = async {
        loop {
            let started = Instant::now();
            let reading = source.look().await;
            let failed = !reading.answered;
            if line.out.send(reading).await.is_err() {
                return;
            }
            tokio::select! {
                () = sleep_until(line.beat.nearest(pace.next(started, failed), period)) => {}
                () = line.retry.notified() => {}
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = line.cancel.cancelled() => {}
    }
}

/// Longest pause between two attempts while a source fails; a longer period stays as it is.
const LONGEST: Duration = Duration::from_secs(5);

/// The rhythm of a source.
#[derive(Clone, Debug)]
pub struct Pace {
    period: Duration,
    failures: u32,
}

impl Pace {
    /// One attempt every period.
    pub const fn new(period: Duration) -> Self {
        Self { period, failures: 0 }
    }

    /// When the attempt after one that started then is due. After the second failure in a row the pause
    /// grows by half each time: a source that is back must be seen soon, and one that is down must not
    /// be flooded.
    pub fn next(&mut self, started: Instant, failed: bool) -> Instant {
        self.failures = if failed { self.failures.saturating_add(1) } else { 0 };
        let growth = 1.5_f64.powi(self.failures.saturating_sub(1).min(16) as i32);
        let pause = self.period.mul_f64(growth).min(LONGEST.max(self.period));
        started + pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_slow_down_and_success_resets() {
        let start = Instant::now();
        let mut pace = Pace::new(Duration::from_secs(2));
        let mut pauses = |fails: &[bool]| {
            fails.iter().map(|f| (pace.next(start, *f) - start).as_secs_f64()).collect::<Vec<_>>()
        };
        assert_eq!(pauses(&[false, true, true, true, true]), [2.0, 2.0, 3.0, 4.5, 5.0]);
        assert_eq!(pauses(&[true; 40])[39], 5.0);
        assert_eq!(pauses(&[false]), [2.0]);
        let mut slow = Pace::new(Duration::from_mins(1));
        slow.next(start, true);
        assert_eq!(slow.next(start, true) - start, Duration::from_mins(1));
    }
}
