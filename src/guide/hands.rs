//! Carries out what a state wishes for: runs commands of this very program to look, and starts jobs to act.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use super::{
    facts::{self, Observed},
    spec::{From, Kind, Look, Step},
    state::{Effect, Input, Plan},
};
use crate::{
    base::{
        cancel::Cancel,
        clock::Clock,
        exec::{ExecError, Tool},
        ledger::{Account, Ledger, Outcome, Selection, Who, accounts},
        plan,
        text::Text,
    },
    jobs::{Job, JobId, JobSpec, Jobs, State},
};

/// How often a running job is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How often the time of a look is looked at.
const GLANCE: Duration = Duration::from_millis(20);
/// How often a look that waits is repeated.
const AGAIN: Duration = Duration::from_secs(1);
/// Lines of what a failed command printed that are told when it said nothing else.
const TOLD: usize = 5;

/// What a look that waits has seen so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glimpse {
    /// The facts, not all well yet.
    pub facts: Vec<Observed>,
    /// For how long it waits.
    pub waited: Duration,
}

/// What is told of a job that died and had done its work.
const DONE: &str = "; the ledger has it as done: look before you do it once more";

/// The hands of one run.
#[derive(Clone, Debug)]
pub struct Hands {
    /// This program.
    pub program: PathBuf,
    /// Words that every command gets.
    pub common: Vec<String>,
    /// Where jobs are.
    pub jobs: Jobs,
    /// In whose name.
    pub who: Who,
    /// Where it is recorded that a run is over.
    pub ledger: Ledger,
    /// The run, for the tags of its jobs.
    pub run: String,
}

impl Hands {
    /// Does what is wished for, however long it takes, and returns what came of it. None when the end was
    /// wished for meanwhile. `glimpsed` is told what a look that waits has seen so far.
    pub fn perform(
        &self,
        step: &Step,
        effect: &Effect,
        ticket: u64,
        cancel: &Cancel,
        glimpsed: &dyn Fn(Glimpse),
    ) -> Option<Input> {
        Some(match effect {
            Effect::Look(words) => Input::Seen(ticket, self.look(step, words, cancel, glimpsed)?),
            Effect::Plan(words) => Input::Planned(ticket, self.plan(words, cancel)?),
            Effect::Start { words, tag } => Input::Started(ticket, self.start(step, words, tag)),
            Effect::Seek(tag) => Input::Sought(ticket, self.seek(tag)),
            Effect::Watch(job) => Input::Ended(ticket, self.watch(step, job, cancel)?),
        })
    }

    fn tool(&self, words: &[String]) -> Tool {
        Tool::new(&self.program).args(words).args(&self.common).inheriting()
    }

    /// Looks once, or again until all is well or the time of the look is up: then what was seen last counts.
    fn look(
        &self,
        step: &Step,
        words: &[String],
        cancel: &Cancel,
        glimpsed: &dyn Fn(Glimpse),
    ) -> Option<Result<facts::Seen, Text>> {
        let look = step.look.as_ref()?;
        let from = match &step.kind {
            Kind::Choose { from, .. } => from.as_ref(),
            _ => None,
        };
        let clock = Clock::system();
        let (began, limit) = (clock.now(), Duration::from_secs(look.wait.unwrap_or(0)));
        loop {
            let seen = self.look_once(look, from, words, cancel)?;
            let waited = clock.now().since(began);
            if waited >= limit || seen.as_ref().is_ok_and(facts::Seen::well) {
                return Some(seen);
            }
            let facts = seen.map_or_else(|_| Vec::new(), |seen| seen.facts);
            glimpsed(Glimpse { facts, waited });
            let next = clock.now().plus(AGAIN);
            while clock.now() < next {
                if cancel.cancelled() {
                    return None;
                }
                thread::sleep(LOOK);
            }
        }
    }

    fn look_once(
        &self,
        look: &Look,
        from: Option<&From>,
        words: &[String],
        cancel: &Cancel,
    ) -> Option<Result<facts::Seen, Text>> {
        let within = Duration::from_secs(look.within);
        let printed = match run_within(&self.tool(words), &look.good, cancel, within)? {
            Ok(printed) => printed,
            Err(why) => return Some(Err(why)),
        };
        Some(match serde_json::from_slice(&printed) {
            Ok(value) => Ok(facts::read(look, from, &value)),
            Err(error) => Err(format!("what it printed is no JSON: {error}").into()),
        })
    }

    fn plan(&self, words: &[String], cancel: &Cancel) -> Option<Result<Plan, Text>> {
        let printed = match run(&self.tool(words), &[0], cancel)? {
            Ok(printed) => printed,
            Err(why) => return Some(Err(why)),
        };
        let printed = String::from_utf8_lossy(&printed);
        let printed = plan::read(&printed);
        let text = printed.lines.into_iter().map(Text::foreign).collect();
        Some(match printed.mark {
            Some(mark) => Ok(Plan { text, hash: mark.to_owned() }),
            None => Err(Text::ours("the command showed no plan")),
        })
    }

    fn start(&self, step: &Step, words: &[String], tag: &str) -> Result<String, Text> {
        let failed = |error: crate::jobs::JobError| Text::from(error.to_string());
        let what = format!("guide.{}", step.id);
        let all = words.iter().chain(&self.common).map(Into::into).collect();
        let spec = JobSpec::new(what, all, self.who.clone()).tagged(&self.tag(tag));
        let id = self.jobs.spawn_program(&spec, &self.program).map_err(failed)?;
        Ok(id.to_string())
    }

    fn seek(&self, tag: &str) -> Option<String> {
        let tag = self.tag(tag);
        let jobs = self.jobs.list().ok()?;
        let found = jobs.into_iter().flatten().find(|job| job.card.tag.as_deref() == Some(&*tag));
        found.map(|job| job.id.to_string())
    }

    fn tag(&self, tag: &str) -> String {
        format!("{}/{tag}", self.run)
    }

    fn watch(
        &self,
        step: &Step,
        job: &str,
        cancel: &Cancel,
    ) -> Option<Result<Vec<Observed>, Text>> {
        let failed = |error: crate::jobs::JobError| Text::from(error.to_string());
        let id: JobId = match job.parse() {
            Ok(id) => id,
            Err(error) => return Some(Err(failed(error))),
        };
        loop {
            // The journal is read once, at the end.
            match self.jobs.state(&id) {
                Err(error) => return Some(Err(failed(error))),
                Ok(state) if state.over() => {
                    let job = self.jobs.get(&id).map_err(failed);
                    return Some(job.and_then(|job| self.judged(step, &job)));
                }
                Ok(State::Unknown { why }) => return Some(Err(why)),
                Ok(_) => {}
            }
            if cancel.cancelled() {
                return None;
            }
            thread::sleep(LOOK);
        }
    }

    fn judged(&self, step: &Step, job: &Job) -> Result<Vec<Observed>, Text> {
        let (good, result): (&[i32], &[_]) = match &step.kind {
            Kind::Act { good, result, .. } => (good, result),
            _ => (&[0], &[]),
        };
        match &job.outcome {
            Some(outcome) if good.contains(&i32::from(outcome.exit)) => {
                Ok(facts::all(result, &self.printed(job)))
            }
            _ => Err(self.ended(job)),
        }
    }

    /// How a job ended that is not done: why, in which step, what it has left, and what the ledger has of it.
    fn ended(&self, job: &Job) -> Text {
        let mut told =
            job.state.reason().map_or_else(|| "it failed".to_owned(), ToString::to_string);
        // Whoever ends in good order says all that; who is killed does not.
        if let State::Lost { .. } = job.state {
            told += &match &job.story.last_step {
                Some(step) => format!(", in the step '{step}' or behind it"),
                None => ", before its first step".to_owned(),
            };
            told += self.in_ledger(job);
        }
        for left in job.left_behind() {
            told += &format!("; {left}");
        }
        format!("{told}; `howdah jobs log {}` shows all it said", job.id).into()
    }

    /// What the ledger has of a job that left no result: it may have done all that it was to do.
    fn in_ledger(&self, job: &Job) -> &'static str {
        let since = Selection { since: Some(job.card.started), ..Selection::default() };
        // A ledger that cannot be read says nothing; whoever writes into it next is told why.
        let acts = accounts(self.ledger.folder(), &since).unwrap_or_default().acts;
        let own = |act: &&Account| act.begin.job.as_deref() == Some(job.id.as_str());
        match acts.iter().rfind(own).map(Account::outcome) {
            Some(Some(Outcome::Done)) => DONE,
            Some(None) => "; the ledger has it as begun, and no end of it",
            _ => "",
        }
    }

    /// The JSON that a job's command printed at its end; nothing where it printed none.
    fn printed(&self, job: &Job) -> serde_json::Value {
        let log = std::fs::read_to_string(self.jobs.log(&job.id)).unwrap_or_default();
        let begins =
            log.match_indices('{').filter(|(at, _)| *at == 0 || log[..*at].ends_with('\n'));
        let mut found = begins.filter_map(|(at, _)| serde_json::from_str(log[at..].trim()).ok());
        found.next().unwrap_or_default()
    }
}

/// The same, and no longer than that.
fn run_within(
    tool: &Tool,
    good: &[i32],
    cancel: &Cancel,
    within: Duration,
) -> Option<Result<Vec<u8>, Text>> {
    let (inner, done) = (Cancel::new(), AtomicBool::new(false));
    let clock = Clock::system();
    let end = clock.now().plus(within);
    let ran = thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                if cancel.cancelled() || clock.now() >= end {
                    inner.cancel();
                    return;
                }
                thread::sleep(GLANCE);
            }
        });
        let ran = run(tool, good, &inner);
        done.store(true, Ordering::Relaxed);
        ran
    });
    match ran {
        None if !cancel.cancelled() => {
            let within = crate::base::units::span(within);
            Some(Err(format!("it did not end within {within}, and was ended").into()))
        }
        ran => ran,
    }
}

/// What a command printed, or its last message. None when the end was wished for.
fn run(tool: &Tool, good: &[i32], cancel: &Cancel) -> Option<Result<Vec<u8>, Text>> {
    let (printed, ended) = match tool.clone().good(good).run_out(cancel, &mut |_| {}) {
        Ok(out) => out,
        Err(error) => return Some(Err(error.to_string().into())),
    };
    match ended {
        Ok(()) => Some(Ok(printed)),
        Err(ExecError::Cancelled { .. }) => None,
        Err(ExecError::Failed { messages, code, .. }) if !messages.is_empty() => {
            let ours = |line: &Text| line.strip_prefix("howdah: ").unwrap_or(line).to_owned();
            let said: Vec<String> = messages.iter().map(ours).collect();
            Some(Err(with_code(&said.join(" "), code)))
        }
        Err(ExecError::Failed { code: Some(code), .. }) if !printed.is_empty() => {
            let printed = String::from_utf8_lossy(&printed);
            let lines: Vec<&str> = printed.lines().map(str::trim).collect();
            let said = lines[lines.len().saturating_sub(TOLD)..].join(" ");
            Some(Err(with_code(&format!("it said only: {said}"), Some(code))))
        }
        Err(error) => Some(Err(error.to_string().into())),
    }
}

fn with_code(said: &str, code: Option<i32>) -> Text {
    let code = code.map(|code| format!(" (exit code {code})")).unwrap_or_default();
    Text::one_line(&format!("{said}{code}"))
}
