//! The load: transactions that arrive by themselves, as customers do, whatever the database is doing.

use std::{f64::consts::TAU, sync::Arc, time::Duration};

use rand::{Rng, RngExt};
use tokio::sync::Semaphore;

use super::App;
use crate::base::clock::Clock;

/// Customers who wait at the same time; more are turned away at the door, as a load balancer would.
const WAITING: usize = 100;
/// Of the transactions of a slow day, the share that runs a slow query.
const SLOW_SHARE: f64 = 0.12;
/// How long such a query takes, in seconds.
const SLOW_SECONDS: std::ops::Range<f64> = 0.6..1.6;

/// Works until the future is dropped.
pub(super) async fn run(app: &Arc<App>) {
    if app.options.rate <= 0.0 {
        return std::future::pending().await;
    }
    let clock = Clock::system();
    let start = clock.now();
    let door = Arc::new(Semaphore::new(WAITING));
    loop {
        let rate = app.options.rate * swell(clock.now().since(start).as_secs_f64());
        tokio::time::sleep(pause(rate, &mut rand::rng())).await;
        let Ok(place) = Arc::clone(&door).try_acquire_owned() else { continue };
        let app = Arc::clone(app);
        let transfer = Transfer::random(&mut rand::rng());
        let slow = (app.trouble.slow() && rand::rng().random_bool(SLOW_SHARE))
            .then(|| rand::rng().random_range(SLOW_SECONDS));
        tokio::spawn(async move {
            // The library counts and classifies what fails; the customer comes again.
            let _ = match slow {
                Some(seconds) => app.store.slow_report(seconds).await,
                None => app.store.transfer(transfer).await,
            };
            drop(place);
        });
    }
}

/// One movement of money: pgbench's TPC-B-like transaction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transfer {
    pub(super) account: i32,
    pub(super) teller: i32,
    pub(super) branch: i32,
    pub(super) delta: i32,
}

impl Transfer {
    fn random(random: &mut impl Rng) -> Self {
        let teller = random.random_range(1..=100);
        Self {
            account: random.random_range(1..=100_000),
            teller,
            branch: 1 + teller % 10,
            delta: random.random_range(-5000..=5000),
        }
    }
}

/// Business comes in waves: between 0.5 and 1.5 of the average, over some seconds.
fn swell(seconds: f64) -> f64 {
    1.0 + 0.35 * (TAU * seconds / 47.0).sin() + 0.15 * (TAU * seconds / 11.0).sin()
}

/// The time to the next arrival when arrivals know nothing of each other (exponential).
fn pause(rate: f64, random: &mut impl Rng) -> Duration {
    let draw: f64 = random.random();
    Duration::from_secs_f64((-(1.0 - draw).ln() / rate).min(1.0))
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn arrivals_keep_the_average_and_swing_about_it() {
        let mut random = StdRng::seed_from_u64(7);
        let total: Duration = (0..20_000).map(|_| pause(40.0, &mut random)).sum();
        let rate = 20_000.0 / total.as_secs_f64();
        assert!((rate - 40.0).abs() < 2.0, "{rate}");
        let waves: Vec<f64> = (0..517).map(|s| swell(f64::from(s))).collect();
        assert!(waves.iter().all(|w| (0.5..=1.5).contains(w)));
        assert!((waves.iter().sum::<f64>() / 517.0 - 1.0).abs() < 0.02);
    }

    #[test]
    fn a_teller_works_in_one_branch() {
        let mut random = StdRng::seed_from_u64(7);
        for _ in 0..1000 {
            let t = Transfer::random(&mut random);
            assert!((1..=100).contains(&t.teller) && (1..=10).contains(&t.branch));
            assert_eq!(t.branch, 1 + t.teller % 10);
        }
    }
}
