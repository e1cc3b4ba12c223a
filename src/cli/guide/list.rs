//! `howdah guide list`: the guides with their age, and the runs that are not over.

use std::fmt::Write as _;

use super::{runs, wrong};
use crate::{
    base::clock::Clock,
    cli::{Cli, Exit, Failure, args::PlaceArgs, place, say, say_failure, setup},
    guide::{library, page::page, plain::write_page, run::Seen, state::Phase, walked},
};

pub(super) fn list(cli: &Cli, args: &PlaceArgs) -> Result<Exit, Failure> {
    // Without a target nothing can be said of when they were walked on it.
    let config = setup::config(cli).ok();
    let on = config.as_ref().and_then(|config| Some(place::whereabouts(config, args).ok()?.1));
    let (all, bad): (Vec<_>, Vec<_>) =
        runs()?.list().map_err(wrong)?.into_iter().partition(Result::is_ok);
    let all: Vec<Seen> = all.into_iter().flatten().collect();
    let now = Clock::system().wall();
    let mut out = String::new();
    // Writing to a string cannot fail.
    for guide in library::guides(&setup::paths()?.guides()).map_err(wrong)? {
        let _ = writeln!(out, "{:<16} {}: {}", guide.id, guide.title, guide.about);
        let Some(on) = on else { continue };
        let last = walked::last(&all, &guide.id, on);
        let age = match (&last, walked::word(last.as_ref(), now)) {
            (None, (word, _)) => word,
            (Some(last), (word, true)) => format!("{word}: {}", last.in_words(now)),
            (Some(last), _) => last.in_words(now),
        };
        let _ = writeln!(out, "{:<16} on {on}: {age}", "");
    }
    for run in all.iter().filter(|run| !matches!(run.state.phase, Phase::Over(_))) {
        out += &row(run);
    }
    say(&out)?;
    for error in bad.into_iter().filter_map(Result::err) {
        say_failure(&wrong(error));
    }
    Ok(Exit::Ok)
}

fn row(run: &Seen) -> String {
    let page = page(&run.card, &run.state, None);
    let began = run.card.began.strftime("%Y-%m-%d %H:%M:%SZ");
    let driver = match (&run.driver, &run.gone) {
        _ if matches!(run.state.phase, Phase::Over(_)) => "it is over".to_owned(),
        (Some(driver), _) => format!("driven by {driver}"),
        (None, Some(gone)) => format!("{gone}: howdah guide end {} --reason …", run.id),
        (None, None) => format!("nobody drives it: howdah guide resume {}", run.id),
    };
    format!(
        "{}\n    begun {began} by {} on {}; step {}: {}; {driver}\n",
        run.id,
        run.card.who.in_words(),
        run.card.on,
        page.number,
        page.line
    )
}

/// A run, and the page where it stands.
pub(super) fn shown(run: &Seen) -> String {
    let page = page(&run.card, &run.state, None);
    let mut out = row(run).into_bytes();
    // Writing to memory cannot fail.
    let _ = write_page(&mut out, &page, true);
    String::from_utf8_lossy(&out).into_owned()
}
