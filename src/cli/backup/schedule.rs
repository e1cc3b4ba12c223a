//! `howdah backup schedule`: a systemd timer or a line of crontab that takes backups.

use std::{
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::args::ScheduleArgs;

use crate::{
    base::ledger::Act,
    cli::{Cli, Exit, Failure, args::PlaceArgs, place, record::recorded_with, say, setup},
};

/// The name of the units.
const UNIT: &str = "howdah-backup";
/// Marks our line in a crontab.
const MARK: &str = "# howdah backup";

/// Prints what would be installed, and installs it with `--install`.
pub(super) fn run(cli: &Cli, options: &ScheduleArgs) -> Result<Exit, Failure> {
    let config = setup::config(cli)?;
    // A schedule that cannot work is not worth printing.
    place::place(&config, &options.place)?;
    let program = env::current_exe().map_err(|error| {
        Failure::new(Exit::Failure, format!("our own path is not known: {error}"))
    })?;
    let words = words(cli, options, &program)?;
    let name = unit_name(&options.place);
    if options.cron {
        let line = crontab_line(&words, options.at, &name);
        say(&format!("{line}\n"))?;
        if options.install {
            record(cli, &name, "crontab", || install_cron(&line, &name))?;
            say("installed in this account's crontab\n")?;
        }
        return Ok(Exit::Ok);
    }
    let units = units(&words, options.at, &name);
    for (file, text) in &units {
        say(&format!("# {file}\n{text}\n"))?;
    }
    if options.install {
        let folder = record(cli, &name, "systemd", || install_units(&units, &name))?;
        say(&format!("installed in {}\n", folder.display()))?;
    }
    Ok(Exit::Ok)
}

/// Does it as an act of the ledger.
fn record<T>(
    cli: &Cli,
    name: &str,
    kind: &str,
    install: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let act = Act::new("backup.schedule").with(json!({ "name": name, "by": kind }));
    recorded_with(cli, act, || Ok((install()?, Value::Null)))
}

/// A time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    hour: u8,
    minute: u8,
}

impl std::str::FromStr for At {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (hour, minute) = text.split_once(':')?;
            let (hour, minute) = (hour.parse().ok()?, minute.parse().ok()?);
            (hour < 24 && minute < 60).then_some(Self { hour, minute })
        };
        parse().ok_or_else(|| "a time of day is expected, such as '02:00'".to_owned())
    }
}

/// The call that takes the backup, program first.
fn words(cli: &Cli, options: &ScheduleArgs, program: &Path) -> Result<Vec<String>, Failure> {
    let unfit =
        |what: &Path| Failure::new(Exit::Usage, format!("'{}' is not UTF-8", what.display()));
    let text = |path: &Path| path.to_str().map(str::to_owned).ok_or_else(|| unfit(path));
    let mut words = vec![text(program)?, "backup".to_owned(), "--quiet".to_owned()];
    if options.physical {
        words.push("--physical".to_owned());
    }
    if options.all {
        words.push("--all".to_owned());
    }
    let place = &options.place;
    for (word, value) in
        [("--target", &*place.target), ("--repository", &place.repository), ("--name", &place.name)]
    {
        if let Some(value) = value {
            words.extend([word.to_owned(), value.clone()]);
        }
    }
    if let Some(config) = &cli.config {
        let config = std::path::absolute(config).map_err(|error| {
            Failure::new(Exit::Usage, format!("'{}': {error}", config.display()))
        })?;
        words.extend(["--config".to_owned(), text(&config)?]);
    }
    if let Some(bad) = words.iter().find(|word| word.contains(['\n', '\r', '\0'])) {
        return Err(Failure::new(Exit::Usage, format!("'{bad}' cannot stand in a schedule")));
    }
    Ok(words)
}

/// Each target has units of its own.
fn unit_name(place: &PlaceArgs) -> String {
    let target = place.name.as_ref().or(place.target.as_ref());
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    match target {
        Some(target) => format!("{UNIT}-{}", target.chars().map(plain).collect::<String>()),
        None => UNIT.to_owned(),
    }
}

/// The service and its timer (systemd.service(5), systemd.timer(5)). A run that was missed, because the
/// machine was off, is made up for.
fn units(words: &[String], at: At, name: &str) -> [(String, String); 2] {
    let command: Vec<String> = words.iter().map(|word| systemd_quoted(word)).collect();
    let service = format!(
        "[Unit]\nDescription=howdah takes a backup\n\n[Service]\nType=oneshot\nExecStart={}\n\
         Nice=5\nIOSchedulingClass=best-effort\nIOSchedulingPriority=6\n",
        command.join(" ")
    );
    let timer = format!(
        "[Unit]\nDescription=howdah takes a backup each day\n\n[Timer]\n\
         OnCalendar=*-*-* {:02}:{:02}:00\nPersistent=true\n\n[Install]\nWantedBy=timers.target\n",
        at.hour, at.minute
    );
    [(format!("{name}.service"), service), (format!("{name}.timer"), timer)]
}

/// A word of `ExecStart`: in double quotes, with `%` and `$` doubled (systemd.service(5), "Command lines").
fn systemd_quoted(word: &str) -> String {
    let inner =
        word.replace('\\', r"\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    format!("\"{inner}\"")
}

/// A line of crontab(5), where `%` means a line break unless it stands behind a backslash.
fn crontab_line(words: &[String], at: At, name: &str) -> String {
    let quoted = |word: &String| format!("'{}'", word.replace('\'', r"'\''")).replace('%', r"\%");
    let command: Vec<String> = words.iter().map(quoted).collect();
    format!("{} {} * * * {} {MARK} {name}", at.minute, at.hour, command.join(" "))
}

fn install_units(units: &[(String, String); 2], name: &str) -> Result<PathBuf, Failure> {
    let home = env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")));
    let folder = home
        .ok_or_else(|| Failure::new(Exit::Config, "no home folder is known; set HOME"))?
        .join("systemd/user");
    let cannot = |error: std::io::Error| {
        Failure::new(Exit::CannotCreate, format!("cannot write to '{}': {error}", folder.display()))
    };
    fs::create_dir_all(&folder).map_err(cannot)?;
    for (file, text) in units {
        fs::write(folder.join(file), text).map_err(cannot)?;
    }
    for words in [&["daemon-reload"][..], &["enable", "--now", &format!("{name}.timer")]] {
        let told = Command::new("systemctl").arg("--user").args(words).output();
        let why = match told {
            Ok(output) if output.status.success() => continue,
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        let what = format!(
            "the units are in '{}', but `systemctl --user {}` failed: {why}",
            folder.display(),
            words.join(" ")
        );
        return Err(Failure::new(Exit::Unavailable, what));
    }
    Ok(folder)
}

/// Puts our line in place of an earlier one of ours; all others stay as they are.
fn install_cron(line: &str, name: &str) -> Result<(), Failure> {
    let unavailable =
        |why: String| Failure::new(Exit::Unavailable, format!("crontab cannot be changed: {why}"));
    let present = Command::new("crontab")
        .arg("-l")
        .output()
        .map_err(|error| unavailable(error.to_string()))?;
    let why = String::from_utf8_lossy(&present.stderr);
    if !present.status.success() && !why.contains("no crontab") {
        return Err(unavailable(why.trim().to_owned()));
    }
    let ours = format!("{MARK} {name}");
    let mut text: String = String::from_utf8_lossy(&present.stdout)
        .lines()
        .filter(|line| !line.ends_with(&ours))
        .map(|line| format!("{line}\n"))
        .collect();
    text += line;
    text.push('\n');
    let mut child = Command::new("crontab")
        .arg("-")
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|error| unavailable(error.to_string()))?;
    let fed = child.stdin.take().map_or(Ok(()), |mut pipe| pipe.write_all(text.as_bytes()));
    let ended = child.wait().map_err(|error| unavailable(error.to_string()))?;
    match fed {
        Err(error) => Err(unavailable(error.to_string())),
        Ok(()) if !ended.success() => Err(unavailable("it refused the new table".to_owned())),
        Ok(()) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_is_read_and_nothing_else_is_one() {
        assert_eq!("02:00".parse(), Ok(At { hour: 2, minute: 0 }));
        assert_eq!("23:59".parse(), Ok(At { hour: 23, minute: 59 }));
        for text in ["24:00", "2", "02:60", "noon", "-1:00", ""] {
            assert!(text.parse::<At>().is_err(), "{text}");
        }
    }

    #[test]
    fn words_stay_whole_in_both_kinds_of_table() {
        let words = ["/a b/howdah", "--name", "50% o'clock \"$x\""].map(str::to_owned);
        let at = At { hour: 2, minute: 5 };
        assert_eq!(
            crontab_line(&words, at, "n"),
            r#"5 2 * * * '/a b/howdah' '--name' '50\% o'\''clock "$x"' # howdah backup n"#
        );
        let [(_, service), (file, timer)] = units(&words, at, "n");
        assert!(
            service.contains(r#"ExecStart="/a b/howdah" "--name" "50%% o'clock \"$$x\"""#),
            "{service}"
        );
        assert_eq!(file, "n.timer");
        assert!(timer.contains("OnCalendar=*-*-* 02:05:00\nPersistent=true"), "{timer}");
    }
}
