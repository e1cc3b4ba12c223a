//! `howdah silence add`.

use super::{AddArgs, Cli, Exit, Failure, Level, as_json, desk::Desk, list::as_text, say, setup};
use crate::{
    base::{
        config::Config,
        text::{Text, nearest},
    },
    cli::status,
    watch::{
        checks::{self, derived},
        silences::Wish,
        snapshot::Severity,
    },
};

/// Silences an alert, or a check as a whole.
pub(super) fn run(cli: &Cli, args: &AddArgs) -> Result<Exit, Failure> {
    let config = setup::config(cli)?;
    known(&args.check)?;
    let up_to = match args.up_to {
        Some(level) => level.into(),
        None => as_bad_as_now(&config, args)?,
    };
    let wish = Wish {
        check: args.check.as_str().into(),
        subject: args.subject.as_deref().map(Text::one_line),
        up_to,
        lasts: args.lasts,
        why: Text::one_line(&args.reason),
    };
    let plan = crate::cli::target::plan(&config, args.target.as_deref())?;
    let silence = Desk::of(&plan, &config, &setup::who(cli))?.add(&wish)?;
    say(&if args.json {
        as_json(&silence)?
    } else {
        format!("{}undo  howdah silence end {}\n", as_text(&silence), silence.id)
    })?;
    Ok(Exit::Ok)
}

/// A check that there is: a silence of a word that was misspelt would silence nothing, and look as if it did.
fn known(check: &str) -> Result<(), Failure> {
    let wrong = |error| Failure::new(Exit::Failure, error);
    let asked = checks::cluster().map_err(wrong)?.into_iter().map(|spec| spec.id);
    let derived = derived::all().map_err(wrong)?.into_iter().map(|check| check.spec.id);
    let all: Vec<String> = asked.chain(derived).collect();
    if all.iter().any(|id| id == check) {
        return Ok(());
    }
    let hint = match nearest(check, all.iter().map(String::as_str)) {
        Some(near) => format!("did you mean '{near}'?"),
        None => "`howdah status` names those that found something".to_owned(),
    };
    let what = format!("there is no check '{}'; {hint}", Text::one_line(check));
    Err(Failure::new(Exit::Usage, what))
}

/// How bad what is meant is at this moment.
fn as_bad_as_now(config: &Config, args: &AddArgs) -> Result<Severity, Failure> {
    let seen = status::look(config, args.target.as_deref())?;
    let meant = seen.alerts.iter().filter(|alert| *alert.check == *args.check);
    let subject = args.subject.as_deref();
    let meant = meant.filter(|alert| subject.is_none_or(|subject| *alert.subject == *subject));
    meant.map(|alert| alert.severity).max().ok_or_else(|| {
        let levels =
            [Level::Warning, Level::Critical].map(|level| format!("{level:?}").to_lowercase());
        let what = format!(
            "it is not wrong now, so how bad it may get has to be said: --up-to {}",
            levels.join(" or ")
        );
        Failure::new(Exit::Usage, what)
    })
}
