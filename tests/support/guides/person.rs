//! A person who walks through guides: reads what is asked, on a screen or in lines, and knows the answer.

use std::{thread, time::Duration};

use crate::support::pty::Robot;

/// What is done at a page, other than the usual.
#[derive(Clone, Debug)]
pub enum Say {
    /// The choice that has these words in it.
    Choose(String),
    /// This is typed.
    Type(String),
    /// What is not as it has to be there is known: it is left out, for this reason.
    LeaveOut(&'static str),
}

/// What a page asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    Accept,
    Choose { options: Vec<String>, chosen: usize },
    Enter,
    Mild,
    Moderate,
    Severe(String),
    Failed,
    Over,
}

impl Ask {
    /// The same question, wherever the selection is.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Choose { options: these, .. }, Self::Choose { options: those, .. }) => {
                these == those
            }
            _ => self == other,
        }
    }
}

/// A page that waits for an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Which step it is, from 1.
    pub number: usize,
    pub title: String,
    pub ask: Ask,
    /// Whether all is as it has to be.
    pub well: bool,
}

/// What the person does then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Take,
    Choose(usize),
    Type(String),
    Confirm { typed: String },
    LeaveOut(&'static str),
    Again,
}

/// Why things are done, in every walk.
pub const REASON: &str = "a drill";

/// How often a page is looked at anew until it is well.
const PATIENCE: usize = 60;

/// The person.
pub struct Person {
    says: Vec<(&'static str, Say)>,
    again: usize,
    /// The step and line of the page that lines were about last.
    head: (usize, String),
    confirming: bool,
}

impl Person {
    /// Who knows these answers, each by words of the page's line.
    pub fn new(says: Vec<(&'static str, Say)>) -> Self {
        Self { says, again: 0, head: Default::default(), confirming: false }
    }

    /// The answer to a page.
    pub fn reply(&mut self, asked: &Asked) -> Reply {
        let known = self.says.iter().find(|(part, _)| asked.title.contains(part));
        let reply = match (&asked.ask, known.map(|(_, say)| say)) {
            (Ask::Over, _) => panic!("it is over: {asked:?}"),
            (Ask::Accept, Some(Say::LeaveOut(why))) if !asked.well => Reply::LeaveOut(why),
            (Ask::Accept, _) if !asked.well => Reply::Again,
            (Ask::Choose { options, .. }, Some(Say::Choose(part))) => {
                let at = options.iter().position(|option| option.contains(part.as_str()));
                at.map_or(Reply::Again, Reply::Choose)
            }
            (Ask::Choose { options, .. }, _) if options.is_empty() => Reply::Again,
            (Ask::Choose { .. }, _) => Reply::Choose(0),
            (Ask::Enter, Some(Say::Type(words))) => Reply::Type(words.clone()),
            (Ask::Accept | Ask::Enter, _) => Reply::Take,
            (Ask::Mild, _) => Reply::Confirm { typed: String::new() },
            (Ask::Moderate, _) => Reply::Confirm { typed: "y".to_owned() },
            (Ask::Severe(challenge), _) => Reply::Confirm { typed: challenge.clone() },
            (Ask::Failed, _) => Reply::Again,
        };
        self.again = if reply == Reply::Again { self.again + 1 } else { 0 };
        assert!(self.again < PATIENCE, "it does not get well: {asked:?}");
        reply
    }

    /// The line that answers what was printed since the last one.
    pub fn line(&mut self, printed: &str) -> String {
        if std::mem::take(&mut self.confirming) {
            return REASON.to_owned();
        }
        let asked = self.read(printed);
        match self.reply(&asked) {
            Reply::Take => String::new(),
            Reply::Choose(nth) => (nth + 1).to_string(),
            Reply::Type(words) => words,
            Reply::Confirm { typed } => {
                self.confirming = !typed.is_empty();
                typed
            }
            Reply::LeaveOut(why) => format!(":skip {why}"),
            Reply::Again => {
                thread::sleep(Duration::from_millis(300));
                ":again".to_owned()
            }
        }
    }

    /// What lines ask.
    fn read(&mut self, printed: &str) -> Asked {
        for line in printed.lines() {
            let head = line.split_once(". ").and_then(|(n, title)| Some((n.parse().ok()?, title)));
            if let Some((number, title)) = head {
                self.head = (number, title.to_owned());
            }
        }
        let question = printed.lines().next_back().unwrap_or_default();
        let option = |line: &str| {
            let (nth, words) = line.trim_start().split_once(") ")?;
            nth.parse::<usize>().ok().map(|_| words.to_owned())
        };
        let ask = match question {
            ask if ask.starts_with("Enter: ") || ask.starts_with(":again, or ") => Ask::Accept,
            ask if ask.starts_with("Enter does it") => Ask::Mild,
            ask if ask.starts_with("y does it") => Ask::Moderate,
            ask if ask.starts_with(":again, ") => Ask::Failed,
            ask if ask.starts_with("1-") => {
                Ask::Choose { options: printed.lines().filter_map(option).collect(), chosen: 0 }
            }
            ask => match ask.strip_prefix("type ").and_then(|ask| ask.strip_suffix(" to do it > "))
            {
                Some(challenge) => Ask::Severe(challenge.to_owned()),
                None => Ask::Enter,
            },
        };
        let well = !printed.contains("NOT AS IT HAS TO BE");
        Asked { number: self.head.0, title: self.head.1.clone(), ask, well }
    }
}

/// What a screen asks; nothing while something is on its way.
pub fn on_screen(screen: &str) -> Option<Asked> {
    let inner = |row: &str| row.trim_matches(|c: char| c == '│' || c.is_whitespace()).to_owned();
    let rows: Vec<String> = screen.lines().map(inner).collect();
    // What is wrong with the server stands above the page.
    let page = rows.get(rows.iter().position(|row| row.starts_with('┌'))?..)?;
    let number = page.get(1)?.strip_prefix("step ")?.split(' ').next()?.parse().ok()?;
    let title = page.get(2)?.clone();
    let has = |words: &str| rows.iter().any(|row| row == words);
    let asks = |begin: &str| rows.iter().position(|row| row.starts_with(begin));
    let typed = rows.iter().find_map(|row| row.strip_prefix("Type ")?.strip_suffix(" to do it"));
    let ask = if has("Enter take these values")
        || has("r looks again; o leaves it out, with a reason")
        || asks("Enter so it is, I say").is_some()
    {
        Ask::Accept
    } else if let Some(at) = asks("Enter takes it: ") {
        let (chosen, of) = rows[at]["Enter takes it: ".len()..].split_once(" of ")?;
        let of: usize = of.split(';').next()?.parse().ok()?;
        let chosen: usize = chosen.parse().ok()?;
        Ask::Choose { options: rows[at.checked_sub(of.min(9))?..at].to_vec(), chosen: chosen - 1 }
    } else if asks("there is nothing to choose").is_some() {
        Ask::Choose { options: Vec::new(), chosen: 0 }
    } else if has("Type it; Enter takes it") {
        Ask::Enter
    } else if has("Enter does it") {
        Ask::Mild
    } else if let Some(challenge) = typed {
        if challenge == "y" { Ask::Moderate } else { Ask::Severe(challenge.to_owned()) }
    } else if asks("Enter once more; or b, o, x").is_some() {
        Ask::Failed
    } else if has("Enter to the guides") {
        Ask::Over
    } else {
        return None;
    };
    Some(Asked { number, title, ask, well: !screen.contains("not as it has to be") })
}

/// Waits for the page behind that one, or for any.
#[track_caller]
pub fn next_on_screen(robot: &Robot, before: Option<&Asked>) -> Asked {
    let differs = |asked: &Asked| {
        before.is_none_or(|before| {
            (before.number, &before.title) != (asked.number, &asked.title)
                || !before.ask.is_same(&asked.ask)
        })
    };
    let read = |robot: &Robot| robot.look(|seen| on_screen(&seen.text())).filter(differs);
    loop {
        robot.wait_within(super::SOON, "a question", |seen| {
            on_screen(&seen.text()).is_some_and(|asked| differs(&asked))
        });
        // A frame may have come in two halves.
        let first = read(robot);
        thread::sleep(Duration::from_millis(60));
        match read(robot) {
            Some(asked) if first.as_ref() == Some(&asked) => return asked,
            _ => {}
        }
    }
}

/// Gives the answer to a page by keys, up to the last one, which counts.
pub fn press(robot: &mut Robot, asked: &Asked, reply: &Reply) {
    match reply {
        Reply::Take => {
            robot.send("\r");
        }
        Reply::Choose(nth) => {
            let Ask::Choose { chosen, .. } = &asked.ask else { panic!("no choice: {asked:?}") };
            let key = if nth > chosen { "\x1b[B" } else { "\x1b[A" };
            for _ in 0..nth.abs_diff(*chosen) {
                robot.send(key);
            }
            robot.send("\r");
        }
        Reply::Type(words) => {
            robot.send(words).send("\r");
        }
        Reply::Confirm { typed } if typed.is_empty() => {
            thread::sleep(Duration::from_millis(750));
            robot.send("\r");
        }
        Reply::Confirm { typed } => {
            thread::sleep(Duration::from_millis(2050));
            robot.send(format!("{typed}\r"));
            robot.wait_for("Why? It goes into the ledger");
            robot.send(format!("{REASON}\r"));
        }
        Reply::LeaveOut(why) => {
            robot.send("o");
            robot.wait_for("Why is this left out?");
            robot.send(format!("{why}\r"));
        }
        Reply::Again if asked.ask == Ask::Failed => {
            robot.send("\r");
        }
        Reply::Again => {
            robot.send("r");
            thread::sleep(Duration::from_millis(300));
        }
    }
}
