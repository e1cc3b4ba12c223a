//! The console on a snapshot that only counts, until the command line is there.

use std::{io::Write as _, process::ExitCode, sync::Arc, time::Duration};

use howdah::{
    base::{clock::Clock, text::Text},
    console::{
        app::{
            effects::Port,
            paint::Looks,
            run::{ConsoleParams, run},
        },
        command,
        theme::{Depth, Glyphs, TermEnv, Themes},
    },
    watch::snapshot::{Environment, Snapshot, Target},
};

struct Deaf;

impl Port for Deaf {
    fn retry_now(&mut self) {}
    fn acknowledge(&mut self, _: &Text) {}
    fn incident(&mut self, _: &'static str) {}
    fn save_theme(&mut self, _: &str) {}
}

fn looks() -> Looks {
    let read = |name| std::env::var(name).ok();
    let (term, colorterm, no_color) = (read("TERM"), read("COLORTERM"), read("NO_COLOR"));
    let (lc_all, lc_ctype, lang) = (read("LC_ALL"), read("LC_CTYPE"), read("LANG"));
    let env = TermEnv {
        term: term.as_deref(),
        colorterm: colorterm.as_deref(),
        no_color: no_color.as_deref(),
        lc_all: lc_all.as_deref(),
        lc_ctype: lc_ctype.as_deref(),
        lang: lang.as_deref(),
    };
    Looks {
        themes: Themes::built_in(),
        theme: "ansi".into(),
        depth: Depth::from_env(&env),
        glyphs: Glyphs::from_env(&env),
    }
}

/// Opens it.
pub fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() != Some("--probe") {
        return ExitCode::SUCCESS;
    }
    let snapshot = |n: u32| {
        let name = Text::from(format!("Pools {n}"));
        let target = Target { name, environment: Environment::Demo, ..Target::default() };
        Arc::new(Snapshot { target, ..Snapshot::default() })
    };
    let (sender, snapshots) = tokio::sync::watch::channel(snapshot(0));
    std::thread::spawn(move || {
        for n in 1.. {
            std::thread::sleep(Duration::from_millis(100));
            if sender.send(snapshot(n)).is_err() {
                break;
            }
        }
    });
    let (_keep, notices) = tokio::sync::mpsc::unbounded_channel();
    let Ok(keys) = command::keymap(&std::collections::BTreeMap::new()) else {
        return ExitCode::FAILURE;
    };
    let params = ConsoleParams {
        snapshots,
        notices,
        port: Box::new(Deaf),
        clock: Clock::system(),
        looks: looks(),
        keys,
        log: None,
    };
    match run(params) {
        Ok(reason) => ExitCode::from(reason.code()),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "howdah: {error}");
            ExitCode::FAILURE
        }
    }
}
