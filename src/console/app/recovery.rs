//! What the keys of the Recovery screen do to the model.

use super::effects::Effect;
use crate::{
    base::clock::{Stamp, Timestamp},
    console::{
        command::{Go, Move, Step},
        model::{
            Axis, Errand, Model, Overlay, Question, RecoveryRow, Section, line_of_time,
            recovery_rows,
        },
    },
    watch::snapshot::Timeline,
};

/// Cells that a large step goes.
const FAR: i64 = 10;
/// The line of time is not spread out further: four to the power of this is a life in seconds.
const FINEST: u8 = 16;

/// The next list has the keys, or the one before; left and right are the cursor's.
pub fn focus(model: &mut Model, to: Move) {
    let at = model.state.recovery.section.place();
    let count = Section::ALL.len();
    let next = match to {
        Move::Next => (at + 1) % count,
        Move::Previous => (at + count - 1) % count,
        Move::Left => return shift(model, -1),
        Move::Right => return shift(model, 1),
    };
    model.state.recovery.section = Section::ALL.get(next).copied().unwrap_or_default();
}

/// Selects another row of the list that has the keys.
pub fn select(model: &mut Model, step: Step, stepped: fn(usize, Step, usize, usize) -> usize) {
    let section = model.state.recovery.section;
    let page = model.room.sections.get(section.place()).copied().unwrap_or(0).max(1);
    let rows = recovery_rows(&model.snapshot, section);
    let from = model.state.recovery.place(section, &rows);
    let to = stepped(from, step, page.into(), rows.len().saturating_sub(1));
    if let Some(id) = rows.get(to).map(RecoveryRow::id) {
        model.state.recovery.selected.insert(section, id);
    }
}

/// Moves the cursor on the line of time.
pub fn go(model: &mut Model, to: Go) {
    match to {
        Go::Earlier => shift(model, -FAR),
        Go::Later => shift(model, FAR),
        Go::Newest => model.state.recovery.moment = None,
        Go::BackupBefore | Go::BackupAfter => to_backup(model, to == Go::BackupAfter),
        Go::Closer => {
            let axis = axis(model);
            let scale = &mut model.state.recovery.scale;
            if axis.is_some_and(|axis| !axis.is_finest()) && *scale < FINEST {
                *scale += 1;
            }
        }
        Go::Farther => {
            let scale = &mut model.state.recovery.scale;
            *scale = scale.saturating_sub(1);
        }
    }
}

/// The line of time as it was last drawn.
fn axis(model: &Model) -> Option<Axis> {
    let cells = model.room.line.max(1);
    model.state.recovery.axis(&model.snapshot, model.snapshot.wall, cells)
}

/// Goes so many cells, within the line of time.
fn shift(model: &mut Model, cells: i64) {
    let state = &model.state.recovery;
    let Some(axis) = axis(model) else { return };
    let Some((at, (first, newest))) =
        state.moment(&model.snapshot).zip(line_of_time(&model.snapshot).and_then(Timeline::ends))
    else {
        return;
    };
    let wanted = at.as_second().saturating_add(cells.saturating_mul(axis.step()));
    let (first, last) = (first.as_second(), newest.max(model.snapshot.wall).as_second());
    // A backup ends within a second: only the next whole one can be restored from it.
    let begin = first.saturating_add(1).min(last);
    let to = Timestamp::from_second(wanted.clamp(begin, last)).unwrap_or(at);
    model.state.recovery.moment = Some(to);
}

/// Goes to the first whole second that can be restored from the next backup, or from the one before.
fn to_backup(model: &mut Model, later: bool) {
    let Some(at) = model.state.recovery.moment(&model.snapshot) else { return };
    let Some(line) = line_of_time(&model.snapshot) else { return };
    let whole = |at: Timestamp| {
        let up = i64::from(at.subsec_nanosecond() > 0);
        Timestamp::from_second(at.as_second() + up).unwrap_or(at)
    };
    let begins = line.bases.iter().map(|base| whole(base.from));
    let to = if later {
        begins.filter(|begin| *begin > at).min()
    } else {
        begins.filter(|begin| *begin < at).max()
    };
    if to.is_some() || later {
        // Behind the last backup comes the newest moment.
        model.state.recovery.moment = to;
    }
}

/// Asks whether that is to be run.
pub fn ask(model: &mut Model, errand: Errand, now: Stamp) {
    let Ok(words) = model.words(errand) else { return };
    model.state.question = Some(Question { errand, words, since: now });
    model.state.overlay = Overlay::Question;
    model.state.scroll = 0;
}

/// Yes: it is run, and the jobs are where it is to be seen.
pub fn answer(model: &mut Model) -> Vec<Effect> {
    let Some(question) = model.state.question.take() else { return Vec::new() };
    model.state.recovery.section = Section::Jobs;
    model.state.recovery.selected.remove(&Section::Jobs);
    vec![Effect::Run(question.words)]
}
