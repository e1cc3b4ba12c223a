//! The question before something is started: what it does, and the very command that would run.

use ratatui::layout::Rect;

use super::{Layout, Ui, scrolled};
use crate::{
    base::exec::quoted,
    console::{
        model::Question,
        theme::Meaning,
        view::Sight,
        widget::{Canvas, Line, piece, popup_width, wrap},
    },
};

/// Draws the question over `area`.
pub fn draw(
    canvas: &mut Canvas<'_>,
    sight: &Sight<'_>,
    ui: &Ui<'_>,
    area: Rect,
    layout: &mut Layout,
) {
    let Some(question) = &sight.state.question else { return };
    let wide = popup_width(area, 84);
    let lines = lines(ui, question, usize::from(wide.saturating_sub(4)));
    let title = question.errand.title();
    scrolled::draw(canvas, sight, area, layout, (title, wide), &lines);
}

fn lines(ui: &Ui<'_>, question: &Question, room: usize) -> Vec<Line> {
    let broken = |text: &str, meaning| {
        wrap(text, room).into_iter().map(move |line| vec![piece(line, meaning)])
    };
    let mut lines: Vec<Line> = broken(question.errand.meaning(), Meaning::Text).collect();
    lines.push(Line::new());
    lines.extend(broken(&command(question), Meaning::Strong));
    lines.push(Line::new());
    lines.extend(broken(
        "It runs as a job of its own and goes on when this console is left.",
        Meaning::Muted,
    ));
    let key = |id: &str, otherwise: &'static str| {
        let entry = ui.bar.iter().find(|entry| entry.id == id);
        let key = entry.and_then(|entry| entry.keys.first()).cloned();
        piece(format!(" {} ", key.as_deref().unwrap_or(otherwise)), Meaning::Key)
    };
    lines.push(vec![
        key("open", "enter"),
        piece("Run it  ", Meaning::Text),
        key("back", "esc"),
        piece("Leave it", Meaning::Text),
    ]);
    lines
}

/// The command as one would type it.
fn command(question: &Question) -> String {
    let words = question.words.iter().map(|word| quoted(word.as_ref()));
    format!("howdah {}", words.collect::<Vec<_>>().join(" "))
}
