//! That a run is over stands in the ledger, once. Whoever drives it writes that down behind the last line of its
//! journal; when that process was killed between the two, whoever looks at the runs next does.

use std::{collections::BTreeSet, error::Error};

use serde_json::json;

use super::{
    GuideError,
    error::io,
    run::{Run, Runs, Seen},
    state::{Over, Phase},
};
use crate::base::{
    ledger::{self, Act, Ledger, LedgerError, Outcome, Selection, Target},
    paths::write_private,
    text::Text,
};

/// The action of such a line of the ledger.
const ACTION: &str = "guide.run";
/// Stands in the folder of a run of which the ledger knows.
const TOLD: &str = "told";

/// Records that the run is over, with the fingerprint of its journal. `late`: whoever drove it did not come to it.
pub(super) fn tell(run: &Run, ledger: &Ledger, late: bool) -> Result<(), Box<dyn Error>> {
    let (account, journal) = (run.account(), run.fingerprint()?);
    let act = Act::new(ACTION).on(Target::new(run.card().on.clone(), None));
    let mut details = json!({ "guide": run.card().guide.id, "run": run.id(), "journal": journal });
    if late {
        details["late"] = true.into();
    }
    let entry = ledger.begin(act.with(details))?;
    match &run.state().phase {
        Phase::Over(Over::Aborted(why)) => entry.failed(why, account)?,
        _ => entry.done(account)?,
    }
    mark(run)?;
    Ok(())
}

fn mark(run: &Run) -> Result<(), GuideError> {
    let path = run.folder().join(TOLD);
    write_private(&path, b"").map_err(io(&path))
}

/// Records every run that is over, that nobody drives, and of which the ledger does not know yet. Why that could not
/// be done stands in what is returned.
pub fn catch_up(runs: &Runs, ledger: &Ledger, who: &ledger::Who) -> Result<(), Text> {
    let wrong = |error: &dyn Error| Text::from(format!("the ledger lacks runs of guides: {error}"));
    let untold = untold(runs).map_err(|error| wrong(&error))?;
    if untold.is_empty() {
        return Ok(());
    }
    let known = known(ledger).map_err(|error| wrong(&error))?;
    for id in untold {
        let run = match runs.drive(&id, who) {
            Ok(run) => run,
            // Somebody else is at it.
            Err(GuideError::Driven { .. }) => continue,
            Err(error) => return Err(wrong(&error)),
        };
        if run.folder().join(TOLD).exists() {
            continue;
        }
        let told = if known.contains(&id) {
            mark(&run).map_err(Into::into)
        } else {
            tell(&run, ledger, true)
        };
        told.map_err(|error| wrong(&*error))?;
    }
    Ok(())
}

/// Only what bears no mark is read: with the years that is little of all that was walked.
fn untold(runs: &Runs) -> Result<Vec<String>, GuideError> {
    let mut ids = runs.ids()?;
    ids.retain(|id| !runs.folder().join(id).join(TOLD).exists());
    // What cannot be read is told where runs are listed.
    ids.retain(|id| {
        let over = |run: Seen| matches!(run.state.phase, Phase::Over(_)) && run.driver.is_none();
        runs.look(id).is_ok_and(over)
    });
    Ok(ids)
}

/// The runs whose end the ledger has.
fn known(ledger: &Ledger) -> Result<BTreeSet<String>, LedgerError> {
    let accounts = ledger::accounts(ledger.folder(), &Selection::default())?;
    let ended = accounts.acts.into_iter().filter(|account| {
        account.begin.action.as_str() == ACTION
            && matches!(account.outcome(), Some(Outcome::Done | Outcome::Failed))
    });
    let id =
        |account: ledger::Account| account.begin.details.get("run")?.as_str().map(str::to_owned);
    Ok(ended.filter_map(id).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        base::clock::Clock,
        guide::{
            library,
            run::Card,
            state::{Event, Input},
            values::Values,
        },
    };

    fn ended(runs: &Runs, clock: &Clock, who: &ledger::Who) -> String {
        let guide = library::guide(&runs.folder().join("none"), "restore").expect("ours");
        let card = Card {
            guide,
            values: Values::default(),
            began: clock.wall(),
            who: who.clone(),
            host: "here".into(),
            on: "prod".into(),
            budget: None,
            common: Vec::new(),
        };
        let mut run = runs.begin(&card).expect("begun");
        let input = Input::Abort("enough".to_owned());
        run.take(&Event { at: clock.wall(), by: "me".into(), input }, None).expect("over");
        // Here its driver is killed.
        run.id().to_owned()
    }

    #[test]
    fn a_run_whose_driver_was_killed_behind_its_last_line_comes_into_the_ledger_once() {
        let home = tempfile::tempdir().expect("a folder");
        let clock = Clock::system();
        let who = ledger::Who::current(None);
        let runs = Runs::at(&home.path().join("guides"), &clock);
        let ledger = Ledger::new(&home.path().join("ledger"), who.clone(), &clock);
        let lines = || {
            let accounts = ledger::accounts(ledger.folder(), &Selection::default());
            accounts.map_or(Vec::new(), |accounts| accounts.acts)
        };
        catch_up(&runs, &ledger, &who).expect("nothing to tell");
        assert!(!ledger.folder().exists(), "nothing is told of nothing");
        let id = ended(&runs, &clock, &who);
        for _ in 0..2 {
            catch_up(&runs, &ledger, &who).expect("told");
            let told = lines();
            assert_eq!(told.len(), 1);
            assert_eq!(told[0].begin.details["run"], id.as_str());
            assert_eq!(told[0].begin.details["late"], true);
            assert_eq!(told[0].outcome(), Some(Outcome::Failed), "it was aborted");
        }
        // Killed between the ledger and the mark.
        fs::remove_file(runs.folder().join(&id).join(TOLD)).expect("it is marked");
        catch_up(&runs, &ledger, &who).expect("looked");
        assert_eq!(lines().len(), 1, "the ledger has it");
        // While somebody drives it, it is theirs to tell.
        let other = ended(&runs, &clock, &who);
        let driven = runs.drive(&other, &who).expect("free");
        catch_up(&runs, &ledger, &who).expect("looked");
        assert_eq!(lines().len(), 1);
        drop(driven);
        catch_up(&runs, &ledger, &who).expect("told");
        assert_eq!(lines().len(), 2);
    }
}
