//! A guide as it is written: a TOML file, read and held to its rules.

use serde::{Deserialize, Deserializer, Serialize};

use super::{GuideError, criterion::Criterion, values::Values};

/// The most steps between two pause points (Gawande, "The Checklist Manifesto": five to nine items).
pub const CHUNK: usize = 9;
/// The most words in one part: what is read in 90 s, at 200 words a minute.
pub const WORDS: usize = 300;
/// What is typed to confirm an act of moderate weight.
pub const YES: &str = "y";
/// Cells that the line of a step may have: it stands whole at 80 columns.
pub const TITLE: usize = 60;
/// Seconds that a look may wait until what it sees is well; then the person has the word.
pub const WAIT: u64 = 600;
/// Seconds that a look may take when its guide says nothing else: a server that hangs holds nobody up.
pub const WITHIN: u64 = 120;

/// A guide.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guide {
    /// Its name, as on the command line.
    pub id: String,
    /// What it is called.
    pub title: String,
    /// What it is for, one sentence.
    pub about: String,
    /// How it is walked.
    pub kind: ListKind,
    /// Health checks whose alerts it answers.
    #[serde(default)]
    pub answers: Vec<String>,
    /// The values that the subject of such an alert is offered for: the number of a process, a breaker. One
    /// word, or several where the checks speak of different things.
    #[serde(default, deserialize_with = "one_or_many")]
    pub subject: Vec<String>,
    /// When something is down while it is walked, by what was seen: then its time counts against the promise for
    /// RTO.
    #[serde(default)]
    pub outage: Option<When>,
    /// Its steps.
    #[serde(rename = "step")]
    pub steps: Vec<Step>,
}

/// A word or several; none is written as null.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Words {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Option::<Words>::deserialize(deserializer)? {
        None => Vec::new(),
        Some(Words::One(word)) => vec![word],
        Some(Words::Many(words)) => words,
    })
}

/// How a list is walked (Gawande: READ-DO, or DO-CONFIRM).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListKind {
    /// One step at a time; the next is hidden until it is done: for whoever brings something back.
    ReadDo,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Step {
    /// Its name in the journal.
    pub id: String,
    /// The part of the guide that begins with it.
    #[serde(default)]
    pub chunk: Option<String>,
    /// What is to be done: verb first, one act.
    pub title: String,
    /// What there is to know, line by line.
    #[serde(default)]
    pub say: Vec<String>,
    /// It is there only when a value is one of these.
    #[serde(default)]
    pub when: Option<When>,
    /// What it looks at before the person is asked.
    #[serde(default)]
    pub look: Option<Look>,
    /// What the person does.
    #[serde(flatten)]
    pub kind: Kind,
}

/// A step as it is written: what is not for every step is for its kind.
#[derive(Deserialize)]
struct Written {
    id: String,
    #[serde(default)]
    chunk: Option<String>,
    title: String,
    #[serde(default)]
    say: Vec<String>,
    #[serde(default)]
    when: Option<When>,
    #[serde(default)]
    look: Option<Look>,
    #[serde(flatten)]
    rest: serde_json::Map<String, serde_json::Value>,
}

impl TryFrom<Written> for Step {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { id, chunk, title, say, when, look, rest } = written;
        let kind =
            serde_json::from_value(rest.into()).map_err(|error| format!("step '{id}': {error}"))?;
        Ok(Self { id, chunk, title, say, when, look, kind })
    }
}

/// A condition: on what a value is, or on what it is not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// The value.
    pub value: String,
    /// What it has to be, where that is said: one of these. A value that is not known is none of them.
    #[serde(default)]
    pub is: Vec<String>,
    /// What it must not be: one of these. A value that is not known is none of them.
    #[serde(default)]
    pub not: Vec<String>,
}

impl When {
    /// True when it is so by these values.
    pub fn holds(&self, values: &Values) -> bool {
        let value = values.get(&self.value);
        let one_of = |words: &[String]| value.as_ref().is_some_and(|value| words.contains(value));
        (self.is.is_empty() || one_of(&self.is)) && !one_of(&self.not)
    }

    fn check(&self) -> Result<(), String> {
        if self.is.is_empty() == self.not.is_empty() {
            return Err(format!(
                "of '{}', what it is or what it is not: one of the two",
                self.value
            ));
        }
        Ok(())
    }
}

/// A look: a command of howdah that prints JSON, and what is read out of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Look {
    /// The words behind `howdah`.
    pub command: Vec<String>,
    /// Exit codes that are an answer.
    #[serde(default = "just_zero")]
    pub good: Vec<i32>,
    /// Seconds that the command may take.
    #[serde(default = "usual")]
    pub within: u64,
    /// What is not well here is what the guide is for: it may be taken as it is.
    #[serde(default)]
    pub diagnosis: bool,
    /// It is looked again, once a second, until all that is judged is well: this many seconds at the most.
    #[serde(default)]
    pub wait: Option<u64>,
    /// What it says, each by a JSON pointer.
    #[serde(default)]
    pub facts: Vec<Fact>,
}

impl Fact {
    /// True when somebody judges it.
    pub const fn is_judged(&self) -> bool {
        self.good.is_some() || self.at_most.is_some() || self.at_least.is_some()
    }
}

const fn usual() -> u64 {
    WITHIN
}

pub(super) fn just_zero() -> Vec<i32> {
    vec![0]
}

/// One fact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// The value's name.
    pub name: String,
    /// What it is called on the screen; without it, it is not shown.
    #[serde(default)]
    pub label: Option<String>,
    /// Where it stands: a JSON pointer (RFC 6901). `/list/-` is the last of a list, `/list/#` their number.
    pub at: String,
    /// What the value has to be for the step to be well; without it nobody judges it.
    #[serde(default)]
    pub good: Option<Vec<String>>,
    /// A number that it must not be above.
    #[serde(default)]
    pub at_most: Option<f64>,
    /// A number that it must not be below.
    #[serde(default)]
    pub at_least: Option<f64>,
    /// Only its last so many characters: of a system identifier.
    #[serde(default)]
    pub last: Option<usize>,
    /// What it means that the command says null, where that is known; without it, the value is not known.
    #[serde(default)]
    pub null: Option<String>,
}

/// What the person does at a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Kind {
    /// Takes what was observed, or asserts what nobody can observe.
    Accept {},
    /// Chooses.
    Choose {
        /// The value that keeps the choice.
        into: String,
        /// What there is.
        #[serde(default)]
        options: Vec<Choice>,
        /// What there is, from the look.
        #[serde(default)]
        from: Option<From>,
    },
    /// Types a value.
    Enter {
        /// The value that keeps it.
        into: String,
        /// What stands there already.
        #[serde(default)]
        default: String,
        /// It may be empty.
        #[serde(default)]
        optional: bool,
        /// It is a moment, in one of the windows that this value holds: `[{"from": …, "to": …}]`.
        #[serde(default)]
        among: Option<String>,
    },
    /// Has a command carried out, as a job.
    Act {
        /// The words behind `howdah`: with them alone it only shows its plan.
        command: Vec<String>,
        /// More words, with which it is done. `{plan}` is the plan's hash.
        apply: Vec<String>,
        /// How the person confirms.
        grade: Grade,
        /// Seconds that it usually takes at the most: beyond them it is said to be late. Zero only in runs that
        /// are older than this field: nobody has said it.
        #[serde(default)]
        budget: u64,
        /// What silence is normal meanwhile, and why.
        #[serde(default)]
        silence: String,
        /// What must not become true meanwhile, or on the way behind it.
        #[serde(default)]
        abort: Vec<Criterion>,
        /// What is typed to confirm a severe act.
        #[serde(default)]
        challenge: Option<String>,
        /// Where the target asks for two people, another one has to confirm it from a session of their own.
        #[serde(default)]
        second: bool,
        /// How it is undone; nothing: NO UNDO.
        #[serde(default)]
        undo: Option<String>,
        /// False for a command that shows no plan.
        #[serde(default = "yes")]
        planned: bool,
        /// Exit codes of a job that is done.
        #[serde(default = "just_zero")]
        good: Vec<i32>,
        /// What is read out of the JSON that the command prints at its end.
        #[serde(default)]
        result: Vec<Fact>,
    },
}

fn yes() -> bool {
    true
}

/// One of several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// What the value becomes.
    pub is: String,
    /// What it is called.
    pub label: String,
}

/// Choices out of a look: one for each member of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct From {
    /// The list: a JSON pointer.
    pub each: String,
    /// Values that a choice sets, by pointers into the member. Member `is` is what the choice itself becomes.
    pub values: Vec<Fact>,
    /// What it is called, with those values in it.
    pub label: String,
}

/// How a person confirms an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// Enter.
    Mild,
    /// `y` and a reason.
    Moderate,
    /// The target's name and the last four digits of its system identifier.
    Severe,
}

impl Guide {
    /// Reads a guide and holds it to the rules.
    ///
    /// # Errors
    /// [`GuideError::Spec`] with the place and what is wrong there.
    pub fn parse(text: &str) -> Result<Self, GuideError> {
        let guide: Self =
            toml::from_str(text).map_err(|error| GuideError::Spec(error.to_string()))?;
        guide.check().map_err(|what| GuideError::Spec(format!("guide '{}': {what}", guide.id)))?;
        Ok(guide)
    }

    fn check(&self) -> Result<(), String> {
        if self.steps.is_empty() {
            return Err("it has no step".to_owned());
        }
        let word =
            |id: &str| !id.is_empty() && id.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        if !word(&self.id) {
            return Err("its id is not made of small letters and hyphens".to_owned());
        }
        self.outage.as_ref().map_or(Ok(()), When::check)?;
        let (mut in_chunk, mut read) = (0, 0);
        for (at, step) in self.steps.iter().enumerate() {
            if !word(&step.id) {
                return Err(format!("step '{}': not small letters and hyphens", step.id));
            }
            if self.steps[..at].iter().any(|before| before.id == step.id) {
                return Err(format!("two steps are called '{}'", step.id));
            }
            in_chunk = if step.chunk.is_some() { 1 } else { in_chunk + 1 };
            read = if step.chunk.is_some() { 0 } else { read } + step.words();
            if read > WORDS {
                return Err(format!(
                    "step '{}': more than {WORDS} words in one part: nobody reads them in 90 s",
                    step.id
                ));
            }
            if in_chunk > CHUNK {
                return Err(format!("step '{}': more than {CHUNK} steps in one part", step.id));
            }
            if step.title.chars().count() > TITLE {
                return Err(format!("step '{}': its line is longer than {TITLE}", step.id));
            }
            let behind: Vec<&str> = self.steps[at + 1..].iter().map(|step| &*step.id).collect();
            step.check(&behind).map_err(|what| format!("step '{}': {what}", step.id))?;
        }
        Ok(())
    }
}

impl Step {
    /// Words that a person reads before it is done.
    fn words(&self) -> usize {
        let words = |text: &str| text.split_whitespace().count();
        let told: usize = self.say.iter().map(|line| words(line)).sum();
        let asked = match &self.kind {
            Kind::Choose { options, .. } => options.iter().map(|choice| words(&choice.label)).sum(),
            Kind::Act { silence, undo, .. } => words(silence) + undo.as_deref().map_or(0, words),
            Kind::Accept {} | Kind::Enter { .. } => 0,
        };
        words(&self.title) + told + asked
    }

    fn check(&self, behind: &[&str]) -> Result<(), String> {
        self.when.as_ref().map_or(Ok(()), When::check)?;
        if let Some(Look { wait: Some(wait), facts, .. }) = &self.look {
            if !(1..=WAIT).contains(wait) {
                return Err(format!("it waits for {wait} s: 1 to {WAIT} are allowed"));
            }
            if !facts.iter().any(Fact::is_judged) {
                return Err("it waits, and nothing that it sees is judged".to_owned());
            }
        }
        match &self.kind {
            Kind::Choose { options, from, .. } => {
                if options.is_empty() == from.is_none() {
                    return Err("options, or from a look: one of the two".to_owned());
                }
                if from.is_some() && self.look.is_none() {
                    return Err("choices come from a look, and there is none".to_owned());
                }
            }
            Kind::Act { grade, challenge, planned, apply, budget, silence, abort, .. } => {
                if *budget == 0 || silence.trim().is_empty() {
                    return Err("an act says how long it may take, and what silence is normal: budget = SECONDS, silence = 'WORDS'".to_owned());
                }
                for criterion in abort {
                    criterion.check(behind)?;
                }
                if (*grade == Grade::Severe) != challenge.is_some() {
                    return Err("a challenge goes with a severe act, and only with one".to_owned());
                }
                if *planned && !apply.iter().any(|word| word.contains("{plan}")) {
                    return Err("the plan's hash must be handed to the act: {plan}".to_owned());
                }
            }
            Kind::Accept {} | Kind::Enter { .. } => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Guide::parse(text).expect_err("refused").to_string()
    }

    const HEAD: &str = "id = 'a'\ntitle = 'A'\nabout = 'a'\nkind = 'read-do'\n";

    #[test]
    fn a_guide_is_held_to_its_rules() {
        assert!(refused(&format!("{HEAD}step = []")).contains("no step"));
        let accept =
            |n: usize| format!("[[step]]\nid = 's-{}'\ntitle = 't'\ndo = 'accept'\n", letters(n));
        let many: String = (0..10).map(accept).collect();
        assert!(refused(&format!("{HEAD}{many}")).contains("more than 9 steps"));
        let say = |words: usize| accept(0) + &format!("say = ['{}']\n", "a ".repeat(words));
        assert!(Guide::parse(&format!("{HEAD}{}", say(299))).is_ok());
        assert!(refused(&format!("{HEAD}{}", say(300))).contains("more than 300 words"));
        let twice = accept(0).repeat(2);
        assert!(refused(&format!("{HEAD}{twice}")).contains("two steps are called 's-a'"));
        let act = "[[step]]\nid = 'x'\ntitle = 't'\ndo = 'act'\ncommand = ['a']\napply = ['--apply']\ngrade = 'severe'\nbudget = 9\nsilence = 'none'\n";
        assert!(refused(&format!("{HEAD}{act}")).contains("challenge"));
        let act = act.replace("'severe'", "'mild'");
        assert!(refused(&format!("{HEAD}{act}")).contains("{plan}"));
        assert!(Guide::parse(&format!("{HEAD}{act}planned = false\n")).is_ok());
        let long = format!("[[step]]\nid = 'x'\ntitle = '{}'\ndo = 'accept'\n", "a".repeat(61));
        assert!(refused(&format!("{HEAD}{long}")).contains("longer than 60"));
    }

    #[test]
    fn the_kind_of_a_list_is_declared_and_known() {
        let step = "[[step]]\nid = 'x'\ntitle = 't'\ndo = 'accept'\n";
        assert!(Guide::parse(&format!("{HEAD}{step}")).is_ok());
        let undeclared = HEAD.replace("kind = 'read-do'\n", "");
        assert!(refused(&format!("{undeclared}{step}")).contains("kind"));
        let unknown = refused(&format!("{}{step}", HEAD.replace("read-do", "dance")));
        assert!(unknown.contains("dance") && unknown.contains("read-do"), "{unknown}");
    }

    #[test]
    fn an_act_has_a_time_and_says_what_silence_is_normal() {
        let act = "[[step]]\nid = 'x'\ntitle = 't'\ndo = 'act'\ncommand = ['a']\napply = []\nplanned = false\ngrade = 'mild'\n";
        for (time, missing) in [
            ("silence = 'none'\n", "budget"),
            ("budget = 9\n", "silence"),
            ("budget = 0\nsilence = 'none'\n", "budget"),
            ("budget = 9\nsilence = ' '\n", "silence"),
        ] {
            let why = refused(&format!("{HEAD}{act}{time}"));
            assert!(why.contains(missing), "{time}: {why}");
        }
        assert!(Guide::parse(&format!("{HEAD}{act}budget = 9\nsilence = 'none'\n")).is_ok());
    }

    #[test]
    fn a_criterion_to_stop_by_judges_something_and_leads_somewhere() {
        let text = |more: &str, fact: &str| {
            format!(
                "{HEAD}[[step]]\nid = 'x'\ntitle = 't'\ndo = 'act'\ncommand = ['a']\napply = []\nplanned = false\ngrade = 'mild'\nbudget = 9\nsilence = 'none'\n[[step.abort]]\ncommand = ['b']\n{more}fact = {{ name = 'n', label = 'l', at = '/n'{fact} }}\n[[step]]\nid = 'y'\ntitle = 't'\ndo = 'accept'\n"
            )
        };
        let good =
            Guide::parse(&text("through = 'y'\nout = 'y'\n", ", at_most = 5")).expect("good");
        let Kind::Act { abort, .. } = &good.steps[0].kind else { panic!("an act") };
        assert_eq!((abort[0].every, abort[0].in_words()), (5, "l: at most 5".to_owned()));
        assert!(refused(&text("", "")).contains("judged"));
        assert!(refused(&text("every = 0\n", ", at_most = 5")).contains("every 0 s"));
        for step in ["through = 'x'\n", "out = 'z'\n"] {
            assert!(refused(&text(step, ", at_most = 5")).contains("no step behind it"));
        }
    }

    fn letters(n: usize) -> char {
        char::from(b'a' + n as u8)
    }

    #[test]
    fn a_word_that_nobody_knows_is_named() {
        let text = |rest: &str| format!("{HEAD}[[step]]\nid = 'x'\ntitle = 't'\n{rest}\n");
        assert!(refused(&text("do = 'dance'")).contains("dance"));
        assert!(refused(&text("do = 'accept'\ngrad = 'mild'")).contains("grad"));
        assert!(refused(&text("do = 'enter'\ninto = 'a'\ncommand = ['a']")).contains("command"));
    }
}
