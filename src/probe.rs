//! The console on a snapshot that only counts, until the command line is there.

use std::{io::Write as _, process::ExitCode, sync::Arc, time::Duration};

use howdah::{
    base::{clock::Clock, text::Text},
    console::{
        app::{
            effects::Port,
            run::{ConsoleParams, run},
        },
        command,
    },
    watch::snapshot::{Environment, Snapshot, Target},
};
use ratatui::style::{Color, Modifier, Style};

struct Deaf;

impl Port for Deaf {
    fn retry_now(&mut self) {}
    fn acknowledge(&mut self, _: &Text) {}
    fn incident(&mut self, _: &'static str) {}
    fn save_theme(&mut self, _: &str) {}
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
        render: Box::new(|model, _, area, buffer| {
            for y in 0..area.height {
                let line = "row ".repeat(usize::from(area.width));
                let style = if y == 1 {
                    Style::new().add_modifier(Modifier::REVERSED).fg(Color::Red)
                } else {
                    Style::new()
                };
                buffer.set_stringn(0, y, line, usize::from(area.width), style);
            }
            let focus = format!("{:?} {}", model.state.focus, model.state.line.value());
            buffer.set_stringn(
                0,
                0,
                &*model.snapshot.target.name,
                usize::from(area.width),
                Style::new(),
            );
            if area.height > 2 {
                buffer.set_stringn(0, 2, focus, usize::from(area.width), Style::new());
            }
            None
        }),
        keys,
        themes: vec!["ansi".into()],
        theme: "ansi".into(),
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
