//! Whoever drives a guide by lines may be killed before and behind each line of its journal, and each job of it, too:
//! the run goes on where it stood, a job that died is told and begun anew, and nothing is done twice.
//!
//! `cargo test guides_killed:: -- --nocapture` prints the matrix: each step of each guide once, on the first way
//! that leads over it.
#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "it prints the matrix")]

use std::{collections::BTreeSet, sync::Mutex};

use crate::support::guides::{
    howdah,
    person::Person,
    record::{jobs, put_away},
    stage::Stage,
    walk::Walk,
    ways::{Way, walk_all},
};
use howdah::{
    guide::{
        spec::{Kind, Step},
        state::{Over, Phase},
    },
    jobs::State,
};

const BEFORE: &str = "HOWDAH_TEST_DIE_BEFORE_LINE";
const BEHIND: &str = "HOWDAH_TEST_DIE_BEHIND_LINE";

/// Where the driver is killed within a step: all places between two lines of the journal, and those at which
/// something is on its way. The same stands before the line of a look as behind the answer before it; behind that
/// line as before the answer, which is lost once for each kind of step of a guide; behind that of a started job as
/// before that of its end.
fn deaths(step: &Step, new: bool) -> Vec<(&'static str, &'static str)> {
    let mut deaths = Vec::new();
    if let Kind::Act { planned, .. } = &step.kind {
        if *planned {
            deaths.push((BEHIND, "planned"));
        }
        deaths.extend([
            (BEFORE, "confirm"),
            (BEHIND, "confirm"),
            (BEFORE, "started"),
            (BEFORE, "ended"),
            (BEHIND, "ended"),
        ]);
    } else {
        if new {
            deaths.push((BEFORE, ANSWERS));
        }
        deaths.push((BEHIND, ANSWERS));
    }
    deaths
}

const ANSWERS: &str = "accept choose enter skip";

/// What kind of step it is, and whether it looks.
type Sort = (std::mem::Discriminant<Kind>, bool);

#[derive(Default)]
struct Matrix {
    kinds: Mutex<Vec<(&'static str, Sort)>>,
    met: Mutex<BTreeSet<(&'static str, usize)>>,
    rows: Mutex<Vec<String>>,
}

impl Matrix {
    fn row(&self, way: &Way, step: &Step, death: &str, outcome: &str) {
        let row = format!("{:<16} {:<13} {death:<42} {outcome}", way.guide, step.id);
        self.rows.lock().expect("whole").push(row);
    }

    /// True for the first step of its kind in that guide.
    fn is_new_kind(&self, way: &Way, step: &Step) -> bool {
        let kind = (std::mem::discriminant(&step.kind), step.look.is_some());
        let mut kinds = self.kinds.lock().expect("whole");
        let new = !kinds.contains(&(way.guide, kind));
        kinds.push((way.guide, kind));
        new
    }

    fn is_due(&self, way: &Way, at: usize) -> bool {
        !self.met.lock().expect("whole").contains(&(way.guide, at))
    }
}

#[test]
fn drivers_and_jobs_are_killed_at_each_step_of_each_guide() {
    let matrix = Matrix::default();
    walk_all(&|way, stage| {
        begin(way, stage);
        while !matches!(stage.run().state.phase, Phase::Over(_)) {
            go_over_a_step(way, stage, &matrix);
        }
    });
    let mut rows = matrix.rows.into_inner().expect("whole");
    rows.sort();
    println!("{}", rows.join("\n"));
    let of_jobs = rows.iter().filter(|row| row.contains(" a job ")).count();
    println!(
        "{} deaths of drivers, {of_jobs} of jobs: all told and resumed, no step ran twice",
        rows.len() - of_jobs
    );
}

/// One process that drives the run; it answers as long as `goes_on` says so. Its exit code, none when it was
/// killed, and what it said.
fn drive(
    way: &Way,
    stage: &Stage<'_>,
    words: &[&str],
    environment: &[(&str, &str)],
    goes_on: &dyn Fn() -> bool,
) -> (Option<i32>, String) {
    let mut command =
        howdah(stage.home.path(), &[&["--config", stage.shop.config()], words].concat());
    command.envs(environment.iter().copied());
    let mut walk = Walk::start_with(command);
    let mut person = Person::new(way.says(stage));
    walk.answer(&mut |asked| {
        if asked.contains(":abort WHY > ") {
            put_away(stage);
        }
        if goes_on() { person.line(asked) } else { ":leave".to_owned() }
    });
    walk.end()
}

fn begin(way: &Way, stage: &Stage<'_>) {
    let (code, said) = drive(way, stage, &["guide", "run", way.guide], &[], &|| false);
    assert_eq!(code, Some(0), "{said}");
}

/// Over the step where the run stands, with all its deaths when nobody was over it yet; and then on, up to the next
/// such step.
fn go_over_a_step(way: &Way, stage: &Stage<'_>, matrix: &Matrix) {
    let resume = ["guide", "resume", "last"];
    let at = stage.run().state.at;
    let spec = way.spec();
    let step = &spec.steps[at];
    let due = matrix.met.lock().expect("whole").insert((way.guide, at));
    let dying = if due { dying(step) } else { String::new() };
    let job_dies = ("HOWDAH_TEST_JOB_DIES", dying.as_str());
    if due {
        for (variable, event) in deaths(step, matrix.is_new_kind(way, step)) {
            let (code, said) = drive(way, stage, &resume, &[(variable, event), job_dies], &|| true);
            let event = if event == ANSWERS { "answer" } else { event };
            let death = format!(
                "driver {} '{event}'",
                if variable == BEFORE { "before" } else { "behind" }
            );
            assert_eq!(
                code, None,
                "{}: {}: {death}: it was to be killed: {said}",
                way.guide, step.id
            );
            let now = stage.run();
            let outcome = if now.state.answers.iter().any(|answer| answer.step == at) {
                "done, stands in the journal".to_owned()
            } else {
                assert_eq!(now.state.at, at, "{}: {death}", way.guide);
                format!("stands at the same step, {}", in_words(&now.state.phase))
            };
            matrix.row(way, step, &death, &outcome);
        }
    }
    let goes_on = || {
        let now = stage.run().state.at;
        now == at || !matrix.is_due(way, now)
    };
    let (code, said) = drive(way, stage, &resume, &[job_dies], &goes_on);
    assert_eq!(code, Some(0), "{}: {}: {said}", way.guide, step.id);
    if due {
        the_dead_jobs_are_told(way, stage, step, &said, matrix);
    }
}

/// Where the jobs of a step are killed, one after the other: as soon as it runs, and in its midst, where it has a
/// second step. One that dies when all is done and not told is for `guides_lost`.
fn dying(step: &Step) -> String {
    format!("{0}-1:0 {0}-2:2", step.id)
}

fn in_words(phase: &Phase) -> &'static str {
    match phase {
        Phase::Looking => "to be looked at",
        Phase::Asking => "its look seen",
        Phase::Planning => "to be planned",
        Phase::Confirming { .. } => "its plan seen, not confirmed",
        Phase::Starting { .. } | Phase::Seeking => "confirmed, its job to be looked for",
        Phase::Acting { .. } => "its job begun",
        Phase::ActFailed(_) => "its job's end told",
        Phase::Over(Over::Finished) => "finished",
        _ => "failed",
    }
}

/// What was said of the jobs of a step that died, and that one was begun anew for each.
fn the_dead_jobs_are_told(way: &Way, stage: &Stage<'_>, step: &Step, said: &str, matrix: &Matrix) {
    let run = stage.run();
    for job in jobs(stage) {
        let tag = job.card.tag.as_deref().unwrap_or_default();
        let own = tag.rsplit_once('/').and_then(|(_, own)| own.rsplit_once('-'));
        let (State::Lost { .. }, Some((id, _))) = (&job.state, own) else { continue };
        if id != step.id {
            continue;
        }
        let act = run.state.acts.iter().find(|act| act.job.as_deref() == Some(job.id.as_str()));
        let why = act.and_then(|act| act.end.clone()).expect("its end is told").expect_err("lost");
        let place = job.story.place();
        assert!(why.contains("was killed") && why.contains(&place), "{}: {why}", way.guide);
        for left in job.left_behind() {
            assert!(why.contains(left.as_str()), "{}: {left} in {why}", way.guide);
        }
        assert!(said.contains(":again, :back, :skip WHY or :abort WHY"), "{said}");
        let left = job.left_behind().len();
        matrix.row(
            way,
            step,
            &format!("a job {place}"),
            &format!("told, {left} left to put away, done by the next"),
        );
    }
}
