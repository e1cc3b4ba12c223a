//! Carries out what a state wishes for: runs commands of this very program to look, and starts jobs to act.

use std::{path::PathBuf, thread, time::Duration};

use super::{
    command::{Ran, json, rest, run_within},
    criterion::{self, Criterion},
    evidence::Evidence,
    facts::{self, Observed},
    spec::{From, Kind, Look, Step},
    state::{Effect, Input, Plan},
};
use crate::{
    base::{
        cancel::Cancel,
        clock::Clock,
        exec::Tool,
        ledger::{Account, Ledger, Outcome, Selection, Who, accounts},
        plan,
        text::Text,
    },
    jobs::{Job, JobId, JobSpec, Jobs, Patience, State},
};

/// How often a running job is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How long a plan may take: it reads backups, at the most all of them.
const PLANNING: Duration = Duration::from_hours(1);
/// How often a look that waits is repeated.
const AGAIN: Duration = Duration::from_secs(1);

/// What a look that waits has seen so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glimpse {
    /// The facts, not all well yet.
    pub facts: Vec<Observed>,
    /// For how long it waits.
    pub waited: Duration,
}

/// What came of a wish.
#[derive(Clone, Debug)]
pub struct Came {
    /// It, for the machine.
    pub input: Input,
    /// What is kept of the command.
    pub evidence: Option<Evidence>,
}

/// What came of a command, and what is kept of it. None when the end was wished for.
type Told<T> = Option<(Result<T, Text>, Evidence)>;

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
    ) -> Option<Came> {
        let (input, evidence) = match effect {
            Effect::Look(words) => {
                let (seen, evidence) = self.look(step, words, cancel, glimpsed)?;
                (Input::Seen(ticket, seen), Some(evidence))
            }
            Effect::Plan(words) => {
                let (plan, evidence) = self.plan(words, cancel)?;
                (Input::Planned(ticket, plan), Some(evidence))
            }
            Effect::Start { words, tag } => {
                let began = Clock::system().wall();
                let evidence = Evidence::begun(self.all(words), began);
                (Input::Started(ticket, self.start(step, words, tag)), Some(evidence))
            }
            Effect::Seek(tag) => (Input::Sought(ticket, self.seek(tag)), None),
            Effect::Watch(job) => {
                let end = self.watch(step, job, cancel)?;
                (Input::Ended(ticket, end), self.of_job(job))
            }
            Effect::End(job) => {
                self.end(job);
                let end = self.watch(step, job, cancel)?;
                (Input::Ended(ticket, end), self.of_job(job))
            }
        };
        Some(Came { input, evidence })
    }

    fn tool(&self, words: &[String]) -> Tool {
        Tool::new(&self.program).args(words).args(&self.common).inheriting()
    }

    /// All words of a command, as a person would type them behind `howdah`.
    fn all<'a>(&'a self, words: &'a [String]) -> impl Iterator<Item = &'a str> {
        words.iter().chain(&self.common).map(String::as_str)
    }

    /// Runs a command that only looks or plans, within a time.
    fn run(
        &self,
        words: &[String],
        good: &[i32],
        cancel: &Cancel,
        within: Duration,
    ) -> Told<Vec<u8>> {
        let (clock, evidence) =
            (Clock::system(), Evidence::begun(self.all(words), Clock::system().wall()));
        let began = clock.now();
        let Ran { printed, exit, end } = run_within(&self.tool(words), good, cancel, within)?;
        let evidence = evidence.ended(clock.now().since(began), exit, &printed);
        Some((end.map(|()| printed), evidence))
    }

    /// Looks once, or again until all is well or the time of the look is up: then what was seen last counts.
    fn look(
        &self,
        step: &Step,
        words: &[String],
        cancel: &Cancel,
        glimpsed: &dyn Fn(Glimpse),
    ) -> Told<facts::Seen> {
        let look = step.look.as_ref()?;
        let from = match &step.kind {
            Kind::Choose { from, .. } => from.as_ref(),
            _ => None,
        };
        let clock = Clock::system();
        let (began, limit) = (clock.now(), Duration::from_secs(look.wait.unwrap_or(0)));
        loop {
            let (seen, evidence) = self.look_once(look, from, words, cancel)?;
            let waited = clock.now().since(began);
            if waited >= limit || seen.as_ref().is_ok_and(facts::Seen::well) {
                return Some((seen, evidence));
            }
            let facts = seen.map_or_else(|_| Vec::new(), |seen| seen.facts);
            glimpsed(Glimpse { facts, waited });
            if !rest(cancel, AGAIN) {
                return None;
            }
        }
    }

    fn look_once(
        &self,
        look: &Look,
        from: Option<&From>,
        words: &[String],
        cancel: &Cancel,
    ) -> Told<facts::Seen> {
        let within = Duration::from_secs(look.within);
        let (printed, evidence) = self.run(words, &look.good, cancel, within)?;
        let seen =
            printed.and_then(|bytes| json(&bytes)).map(|json| facts::read(look, from, &json));
        Some((seen, evidence))
    }

    /// Looks at what a criterion to stop by judges. None when the end was wished for.
    pub fn judge(
        &self,
        criterion: &Criterion,
        words: &[String],
        cancel: &Cancel,
    ) -> Told<Observed> {
        let within = Duration::from_secs(criterion::WITHIN);
        let (printed, evidence) = self.run(words, &criterion.good, cancel, within)?;
        let seen = printed.and_then(|bytes| json(&bytes));
        Some((seen.map(|json| facts::observe(&criterion.fact, &json)), evidence))
    }

    fn plan(&self, words: &[String], cancel: &Cancel) -> Told<Plan> {
        let (printed, evidence) = self.run(words, &[0], cancel, PLANNING)?;
        let plan = printed.and_then(|printed| {
            let printed = String::from_utf8_lossy(&printed);
            let printed = plan::read(&printed);
            let text = printed.lines.into_iter().map(Text::foreign).collect();
            match printed.mark {
                Some(mark) => Ok(Plan { text, hash: mark.to_owned() }),
                None => Err(Text::ours("the command showed no plan")),
            }
        });
        Some((plan, evidence))
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

    /// Ends a job. What came of that is seen at its end.
    fn end(&self, job: &str) {
        if let Ok(id) = job.parse::<JobId>()
            && let Err(error) = self.jobs.cancel(&id, Patience::default())
        {
            tracing::warn!(job, %error, "the job could not be ended");
        }
    }

    /// What is kept of a job that is over.
    fn of_job(&self, job: &str) -> Option<Evidence> {
        let job = self.jobs.get(&job.parse().ok()?).ok()?;
        let words = job.card.arguments.iter().map(Text::as_str);
        let evidence = Evidence::begun(words, job.card.started);
        let log = std::fs::read(self.jobs.log(&job.id)).unwrap_or_default();
        let ended = job.outcome.as_ref().map(|outcome| outcome.ended);
        let took = ended
            .map_or(Duration::ZERO, |ended| ended.duration_since(job.card.started).unsigned_abs());
        let exit = job.outcome.as_ref().map(|outcome| i32::from(outcome.exit));
        Some(evidence.ended(took, exit, &log))
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
            told += &format!(", {}", job.story.place());
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
