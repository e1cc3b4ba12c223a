//! The bottom line: the keys, a message that passes by, or the filter being typed.

use ratatui::layout::{Position, Rect};

use super::{Layout, Ui};
use crate::{
    base::text::width,
    console::{
        model::{self, Overlay},
        theme::Meaning,
        view::Sight,
        widget::{Canvas, Line, line_width, piece},
    },
};

/// Draws the bottom line.
pub fn bottom(
    canvas: &mut Canvas<'_>,
    sight: &Sight<'_>,
    ui: &Ui<'_>,
    row: Rect,
    layout: &mut Layout,
) {
    if sight.state.overlay == Overlay::Filter {
        filter(canvas, sight, row, layout);
        return;
    }
    if let Some(toast) = &sight.state.toast
        && toast.until > ui.now
    {
        let meaning = match toast.tone {
            model::Tone::Info => Meaning::Toast,
            model::Tone::Refusal => Meaning::ToastError,
        };
        canvas.line(row, &[piece(format!(" {} ", toast.text), meaning)]);
        return;
    }
    keys(canvas, sight, ui, row);
}

/// The keys that matter most, as many as fit whole; a command that cannot be used now is dimmed. A filter
/// that hides rows is named first.
fn keys(canvas: &mut Canvas<'_>, sight: &Sight<'_>, ui: &Ui<'_>, row: Rect) {
    let room = usize::from(row.width);
    let mut line = Line::new();
    if !sight.state.filter.is_empty() {
        line.push(piece(format!(" filter: {} ", sight.state.filter), Meaning::Toast));
    }
    for entry in ui.bar {
        let Some(key) = entry.keys.first() else { continue };
        let usable = entry.disabled.is_none();
        let hint = [
            piece(format!(" {key} "), if usable { Meaning::Key } else { Meaning::Disabled }),
            piece(
                format!("{} ", entry.title),
                if usable { Meaning::Muted } else { Meaning::Disabled },
            ),
        ];
        if line_width(&line) + line_width(&hint) > room {
            break;
        }
        line.extend(hint);
    }
    canvas.line(row, &line);
}

/// The filter being typed, with what it leaves in the focused pane.
fn filter(canvas: &mut Canvas<'_>, sight: &Sight<'_>, row: Rect, layout: &mut Layout) {
    let pane = sight.state.zoom.unwrap_or(sight.state.focus);
    let typed = sight.state.line.value();
    let (left, all) =
        (model::rows(sight.snapshot, pane, typed).len(), model::count(sight.snapshot, pane));
    let found = format!("{left} of {all} in {} ", pane.title());
    let found_width = width(&found) as u16;
    let mut area = row;
    if row.width > found_width + 20 {
        canvas.line_right(row, &[piece(found, Meaning::Muted)]);
        area.width -= found_width + 1;
    }
    layout.cursor = input(canvas, sight, area, "/");
}

/// Draws the line being typed after its sign, moved so that its cursor is in sight, and returns where the
/// cursor stands.
pub fn input(
    canvas: &mut Canvas<'_>,
    sight: &Sight<'_>,
    area: Rect,
    sign: &str,
) -> Option<Position> {
    let x = canvas.put(area, area.x, area.y, sign, Meaning::Key);
    let x = canvas.put(area, x, area.y, " ", Meaning::Text);
    let room = usize::from(area.right().saturating_sub(x));
    if room == 0 {
        return None;
    }
    let line = &sight.state.line;
    let cursor = line.visual_cursor();
    let skip = (cursor + 1).saturating_sub(room);
    let mut skipped = 0;
    let shown: String = line
        .value()
        .chars()
        .skip_while(|c| {
            let mut bytes = [0; 4];
            let hidden = skipped < skip;
            skipped += if hidden { width(c.encode_utf8(&mut bytes)) } else { 0 };
            hidden
        })
        .collect();
    canvas.put(area, x, area.y, &shown, Meaning::Strong);
    let column = x + (cursor.saturating_sub(skip.min(cursor))) as u16;
    Some(Position { x: column.min(area.right() - 1), y: area.y })
}
