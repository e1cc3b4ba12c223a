//! The same line by line: for screen readers, dumb terminals and scripts.
//!
//! At every question a line that begins with `:` is a command: `:back`, `:again`, `:skip WHY`, `:pause WHY`,
//! `:go`, `:abort WHY`, `:note WORDS`, `:todo WORDS`, `:handover`, `:leave`. What is typed before a question stands there is thrown away
//! at a terminal; from a pipe, lines wait until they are asked for.

use std::{
    io::{self, BufRead, Write},
    sync::mpsc,
    time::Duration,
};

use super::{
    driver::Driver,
    handover::note,
    machine::{DEAD, SHORT},
    page::{Ask, Guarded, Line, Page, Undo},
    spec::Grade,
    state::Input,
};
use crate::base::{clock::Clock, text::clean, units::span};

/// How a run was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It is over.
    Over,
    /// It waits to be gone on with.
    Waiting,
}

/// Walks through a run with lines. `flush` throws away what was typed before a question; `woken` says that
/// the driver has something new.
pub fn walk(
    driver: &Driver,
    woken: &mpsc::Receiver<()>,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
    flush: &dyn Fn(),
) -> io::Result<Left> {
    let (mut shown, mut said, mut late) = (None, None, None);
    loop {
        let view = driver.view();
        let page = view.page();
        let pace = page.pace.as_ref().filter(|pace| pace.is_late(Clock::system().wall()));
        if let Some(pace) = pace.filter(|pace| late != Some(pace.since)) {
            writeln!(out, "! LATE: it usually takes {} at the most", span(pace.budget))?;
            late = Some(pace.since);
        }
        if shown.as_ref() != Some(&(page.number, page.line.clone(), page.ask.clone())) {
            write_page(
                out,
                &page,
                shown.as_ref().is_none_or(|(number, ..)| *number != page.number),
            )?;
            shown = Some((page.number, page.line.clone(), page.ask.clone()));
        }
        if view.refusal != said {
            if let Some(why) = &view.refusal {
                writeln!(out, "! {why}")?;
            }
            said.clone_from(&view.refusal);
        }
        match &page.ask {
            Ask::Over => return Ok(Left::Over),
            Ask::Wait(_) if page.rests.is_none() => {
                // A driver that has ended never wakes us; its last view is not a wait.
                let _ = woken.recv_timeout(Duration::from_millis(500));
                continue;
            }
            _ => {}
        }
        let Some(answer) = ask(&page, input, out, flush)? else { return Ok(Left::Waiting) };
        if let Answer::Leave = answer {
            return Ok(Left::Waiting);
        }
        if let Answer::Handover = answer {
            let note = note(&view.run, &view.card, &view.state, view.job.as_ref());
            note.iter().try_for_each(|line| writeln!(out, "   {}", in_line(line)))?;
        }
        if let Answer::Input(answer) = answer {
            while woken.try_recv().is_ok() {}
            let before = driver.view();
            driver.input(answer);
            // The next view tells what came of it.
            while std::sync::Arc::ptr_eq(&before, &driver.view()) {
                let _ = woken.recv_timeout(Duration::from_millis(100));
            }
            said = None;
        }
    }
}

enum Answer {
    Input(Input),
    Handover,
    Leave,
    Nothing,
}

/// Asks until there is an answer; none at the end of the input.
fn ask(
    page: &Page,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
    flush: &dyn Fn(),
) -> io::Result<Option<Answer>> {
    if let Ask::Confirm { grade, since, .. } = &page.ask {
        let dead = if *grade == Grade::Mild { SHORT } else { DEAD };
        let stood = Clock::system().wall().duration_since(*since).unsigned_abs();
        std::thread::sleep(dead.saturating_sub(stood));
    }
    flush();
    let Some(line) = prompt(&question(page), input, out)? else { return Ok(None) };
    if let Some(command) = line.strip_prefix(':') {
        return Ok(Some(self::command(command, out)?));
    }
    let answer = match &page.ask {
        _ if page.rests.is_some() => Answer::Nothing,
        Ask::Accept(_) if line.is_empty() => Answer::Input(Input::Accept),
        Ask::Choose(options) => match line.parse::<usize>() {
            Ok(n) if (1..=options.len()).contains(&n) => Answer::Input(Input::Choose(n - 1)),
            _ => Answer::Nothing,
        },
        Ask::Enter(_) => Answer::Input(Input::Enter(line)),
        Ask::Confirm { grade: Grade::Mild, .. } if line.is_empty() => {
            Answer::Input(Input::Confirm { typed: String::new(), reason: String::new() })
        }
        Ask::Confirm { grade: Grade::Moderate | Grade::Severe, .. } if !line.is_empty() => {
            let Some(reason) = prompt("reason: ", input, out)? else { return Ok(None) };
            Answer::Input(Input::Confirm { typed: line, reason })
        }
        _ => Answer::Nothing,
    };
    if let Answer::Nothing = answer {
        writeln!(
            out,
            "! that is no answer here; :back, :again, :skip WHY, :pause WHY, :abort WHY, :note WORDS, :todo WORDS, :handover, :leave"
        )?;
    }
    Ok(Some(answer))
}

fn question(page: &Page) -> String {
    if page.rests.is_some() {
        return ":go to go on: ".to_owned();
    }
    match &page.ask {
        Ask::Accept(_) if !page.well => ":again, or :skip WHY > ".to_owned(),
        Ask::Accept(words) => format!("Enter: {words} > "),
        Ask::Choose(options) => format!("1-{} > ", options.len()),
        Ask::Enter(default) if default.is_empty() => "> ".to_owned(),
        Ask::Enter(default) => format!("[{default}] > "),
        Ask::Confirm { grade: Grade::Mild, .. } => "Enter does it > ".to_owned(),
        Ask::Confirm { grade: Grade::Moderate, .. } => "y does it > ".to_owned(),
        Ask::Confirm { challenge, .. } => {
            let what = challenge.as_ref().map_or("", |text| text.as_str());
            format!("type {what} to do it > ")
        }
        Ask::Failed => ":again, :back, :skip WHY or :abort WHY > ".to_owned(),
        Ask::Wait(_) | Ask::Over => String::new(),
    }
}

fn prompt(
    question: &str,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
) -> io::Result<Option<String>> {
    write!(out, "{}", clean(question))?;
    out.flush()?;
    let mut line = String::new();
    if input.read_line(&mut line)? == 0 {
        writeln!(out)?;
        return Ok(None);
    }
    Ok(Some(line.trim().to_owned()))
}

fn command(line: &str, out: &mut dyn Write) -> io::Result<Answer> {
    let (word, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
    let rest = rest.trim().to_owned();
    Ok(match word {
        "back" => Answer::Input(Input::Back),
        "again" => Answer::Input(Input::Again),
        "skip" => Answer::Input(Input::Skip(rest)),
        "pause" => Answer::Input(Input::Pause(rest)),
        "go" => Answer::Input(Input::Resume),
        "abort" => Answer::Input(Input::Abort(rest)),
        "note" => Answer::Input(Input::Note(rest)),
        "todo" => Answer::Input(Input::Todo(rest)),
        "handover" => Answer::Handover,
        "leave" => Answer::Leave,
        _ => {
            writeln!(out, "! ':{}' is no command", clean(word))?;
            Answer::Nothing
        }
    })
}

/// A page in lines; `anew` with its head.
pub fn write_page(out: &mut dyn Write, page: &Page, anew: bool) -> io::Result<()> {
    if anew || page.ask == Ask::Over {
        writeln!(out, "\n{} · {} · {}", page.title, page.site.in_words(), page.chunk)?;
        writeln!(out, "{}. {}", page.number, page.line)?;
    }
    let waits = matches!(page.ask, Ask::Wait(_));
    let told =
        |line: &&Line| !waits || matches!(line, Line::Command(_) | Line::Bad(_) | Line::Watch(_));
    for line in page.body.iter().filter(told) {
        writeln!(out, "   {}", in_line(line))?;
    }
    if let Some(rests) = &page.rests {
        writeln!(out, "   {rests}")?;
    }
    match &page.undo {
        Some(Undo::By(undo)) => writeln!(out, "   undo: {undo}")?,
        Some(Undo::Never) => writeln!(out, "   NO UNDO")?,
        None => {}
    }
    match &page.ask {
        Ask::Choose(options) if options.is_empty() => {
            writeln!(out, "   there is nothing to choose")?;
        }
        Ask::Choose(options) => {
            for (n, option) in options.iter().enumerate() {
                writeln!(out, "   {}) {option}", n + 1)?;
            }
        }
        Ask::Wait(what) => {
            writeln!(out, "   … {what}")?;
            if let Some(pace) = &page.pace {
                let budget = span(pace.budget);
                writeln!(out, "   within {budget} as a rule; normal silence: {}", pace.silence)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// A line of a page as words.
pub fn in_line(line: &Line) -> String {
    match line {
        Line::Say(words) => words.to_string(),
        Line::Fact { label, value, well } => {
            let value = value.as_ref().map_or("—", |value| value.as_str());
            let judged = match well {
                None => "",
                Some(true) => "  ok",
                Some(false) => "  NOT AS IT HAS TO BE",
            };
            format!("{label}: {value}{judged}")
        }
        Line::Plan(words) => format!("| {words}"),
        Line::Command(words) => format!("$ {words}"),
        Line::Bad(words) => format!("! {words}"),
        Line::Done(words) => format!("- {words}"),
        Line::Watch(Guarded { limit, seen, .. }) => match seen {
            None => format!("watched: {limit}"),
            Some(Ok(value)) => format!("watched: {limit}; now {value}"),
            Some(Err(why)) => format!("NOT WATCHED: {limit}: {why}"),
        },
    }
}
