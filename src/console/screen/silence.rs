//! The form with which an alert is silenced.

use ratatui::layout::Rect;

use super::{Layout, Ui, lines::input};
use crate::{
    base::units::span,
    console::{
        model::SilenceForm,
        theme::Meaning,
        view::{Sight, check_words},
        widget::{Canvas, Line, Popup, piece, popup, popup_width, wrap},
    },
    watch::snapshot::Severity,
};

/// Cells of the labels.
const LABEL: usize = 6;

/// Draws the form over `area`.
pub fn draw(
    canvas: &mut Canvas<'_>,
    sight: &Sight<'_>,
    ui: &Ui<'_>,
    area: Rect,
    layout: &mut Layout,
) {
    let Some(form) = &sight.state.silence else { return };
    let wide = popup_width(area, 72);
    let above = meaning(form, usize::from(wide.saturating_sub(4)));
    // What and for how long, why, an empty line around them, and the keys.
    let height = (above.len() as u16).saturating_add(8).min(area.height);
    let window = Popup { title: "Silence".to_owned(), width: wide, height, foot: Line::new() };
    let inner = popup(canvas, area, &window);
    layout.overlay = (inner.height, inner.height);
    let mut rows = (inner.top()..inner.bottom()).map(|y| Rect { y, height: 1, ..inner });
    // In little room the fields are what matters.
    let spare = usize::from(inner.height).saturating_sub(5);
    for (row, line) in
        rows.by_ref().take(spare.min(above.len() + 1)).zip(above.iter().chain([&Line::new()]))
    {
        canvas.line(row, line);
    }
    for field in fields(form) {
        let Some(row) = rows.next() else { return };
        canvas.line(row, &field);
    }
    let Some(row) = rows.next() else { return };
    layout.cursor = input(canvas, sight, row, &format!("{:LABEL$}", "why"));
    let Some(row) = rows.nth(usize::from(rows.len() > 1)) else { return };
    canvas.line(row, &keys(ui));
}

/// What a silence does, broken for its width.
fn meaning(form: &SilenceForm, room: usize) -> Vec<Line> {
    let through = match form.up_to() {
        Severity::Warning => " If it becomes critical it breaks through.",
        Severity::Critical => "",
    };
    let text = format!(
        "It stays in sight, dim, and is counted apart; it wakes nobody until its time is over.{through}"
    );
    wrap(&text, room).into_iter().map(|line| vec![piece(line, Meaning::Text)]).collect()
}

fn fields(form: &SilenceForm) -> [Line; 2] {
    let field = |label: &str, value: String, keys: &str| {
        vec![
            piece(format!("{label:LABEL$} "), Meaning::Key),
            piece(value, Meaning::Strong),
            piece(format!("  {keys}"), Meaning::Muted),
        ]
    };
    let what = check_words(&form.check);
    let (what, other) = if form.whole {
        (format!("{what}: all of it"), format!("tab: only {}", form.subject))
    } else {
        (format!("{what}: {}", form.subject), "tab: all of the check".to_owned())
    };
    [field("what", what, &other), field("for", span(form.lasts()), "up and down: longer, shorter")]
}

fn keys(ui: &Ui<'_>) -> Line {
    let key = |id: &str, otherwise: &'static str| {
        let entry = ui.bar.iter().find(|entry| entry.id == id);
        let key = entry.and_then(|entry| entry.keys.first()).cloned();
        piece(format!(" {} ", key.as_deref().unwrap_or(otherwise)), Meaning::Key)
    };
    vec![
        key("open", "enter"),
        piece("Silence it  ", Meaning::Text),
        key("back", "esc"),
        piece("Leave it", Meaning::Text),
    ]
}
