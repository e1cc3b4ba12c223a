//! Our own circuit breaker: it paces our attempts, and stands among the others on the screen.

use std::time::Duration;

use super::SERVER;
use crate::{
    base::{
        clock::{Clock, Stamp},
        text::Text,
    },
    resilience::breaker::{Breaker, Mode, Settings, State, Stats},
    watch::snapshot::{self, BreakerState},
};

/// A breaker for one connection that asks once a second: three failures in a row open it, one probe
/// closes it, and it never keeps us from looking for longer than a second.
pub fn breaker(clock: Clock) -> Breaker {
    let settings = Settings {
        consecutive: 3,
        failure_rate: None,
        slow_rate: None,
        probes: 1,
        open_wait: Duration::from_millis(200),
        open_wait_max: Duration::from_millis(400),
        window: Duration::from_mins(1),
        min_calls: 10,
        ..Settings::default()
    };
    Breaker::new("howdah", settings, clock)
}

/// The breaker as it is shown.
pub fn shown(now: Stamp, own: &Stats) -> snapshot::Breaker {
    let state = match (own.mode, own.state) {
        (Mode::Disabled, _) => BreakerState::Disabled,
        (Mode::ForcedOpen, _) => BreakerState::ForcedOpen,
        (Mode::Auto, State::Closed) => BreakerState::Closed,
        (Mode::Auto, State::Open) => BreakerState::Open,
        (Mode::Auto, State::HalfOpen) => BreakerState::HalfOpen,
    };
    snapshot::Breaker {
        name: own.name.clone(),
        source: Text::ours(SERVER),
        state,
        since: Some(own.since),
        since_exact: true,
        failure_rate: own.failure_rate,
        slow_rate: None,
        calls: Some(own.window.calls),
        next_try: own.retry_in.map(|wait| now.plus(wait)),
        probes: own.probes,
        rejected: Some(own.rejected),
    }
}
