//! Connecting again until it succeeds, cannot succeed, or the time is over.

use std::time::Duration;

use super::{attempt::Connection, error::ConnectError, hosts::connect};
use crate::resilience::{
    conninfo::Settings,
    retry::{Again, Runner},
};

/// Connects within `deadline`, trying again as `runner` says. One attempt over all hosts gets `each`, and
/// never more than what is left. What no repetition mends ([`ConnectError::permanent`]) fails at once.
///
/// # Errors
/// That of the last attempt; but an attempt that was cut short by the deadline says nothing, so that the
/// one before it speaks.
pub async fn connect_with_retry(
    settings: &Settings,
    each: Duration,
    deadline: Duration,
    runner: &Runner<'_>,
) -> Result<Connection, ConnectError> {
    let end = runner.clock.now().plus(deadline);
    runner.budget.call();
    let mut told = None;
    let mut tried = 0;
    loop {
        tried += 1;
        let left = end.since(runner.clock.now());
        let error = match connect(settings, each.min(left)).await {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        let again = if error.permanent() { Again::No } else { Again::Yes };
        let cut_short = left < each && matches!(error, ConnectError::TimedOut { .. });
        let error = match told.take() {
            Some(before) if cut_short => before,
            _ => error,
        };
        match runner.pause(tried, end, again) {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return Err(error),
        }
        told = Some(error);
    }
}
