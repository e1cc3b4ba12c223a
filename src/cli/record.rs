//! What changes something stands in the ledger: begun before, ended after, whatever comes of it. Where that
//! cannot be written nothing is begun, and the call ends with exit code 73.

use serde_json::Value;

use super::{Cli, Exit, Failure, setup};
use crate::{
    base::ledger::{Act, Ledger, LedgerError},
    recover,
};

/// Does something as one act of the ledger.
pub fn recorded<T>(
    cli: &Cli,
    act: Act,
    deed: impl FnOnce() -> recover::Result<T>,
) -> Result<T, Failure> {
    recorded_with(cli, act, || Ok((deed()?, Value::Null)))
}

/// The same for a deed that hands over figures about what it did.
pub fn recorded_with<T>(
    cli: &Cli,
    act: Act,
    deed: impl FnOnce() -> Result<(T, Value), Failure>,
) -> Result<T, Failure> {
    recorded_in(&setup::ledger(cli, &setup::config(cli)?)?, act, deed)
}

/// The same in that ledger.
pub fn recorded_in<T>(
    ledger: &Ledger,
    act: Act,
    deed: impl FnOnce() -> Result<(T, Value), Failure>,
) -> Result<T, Failure> {
    let entry = ledger.begin(act).map_err(unrecorded)?;
    match deed() {
        Ok((done, figures)) => {
            entry.done(figures).map_err(unrecorded)?;
            Ok(done)
        }
        Err(failure) => {
            let why = failure.to_string();
            let told = match failure.exit {
                Exit::Refused | Exit::Usage => entry.refused(&why),
                _ => entry.failed(&why, Value::Null),
            };
            // The failure is what matters; a ledger that cannot be written to is told with it.
            Err(match told {
                Ok(()) => failure,
                Err(error) => Failure::new(failure.exit, format!("{failure}; and {error}")),
            })
        }
    }
}

/// A ledger that cannot be written to, as an end of this program.
pub fn unrecorded(error: LedgerError) -> Failure {
    Failure::new(Exit::CannotCreate, error)
}
