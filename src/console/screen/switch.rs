//! The names of the screens with their keys, in the lower border: where one is, and how one gets elsewhere.

use ratatui::layout::Rect;

use super::Ui;
use crate::console::{
    model::Screen,
    theme::Meaning,
    widget::{Canvas, Line, line_width, piece},
};

/// The smallest body that has a border of its own on every screen.
const FRAMED: (u16, u16) = (50, 8);

/// Writes the names into the lower border of `body`; the one that is open stands out.
pub fn draw(canvas: &mut Canvas<'_>, ui: &Ui<'_>, open: Screen, body: Rect) {
    if body.width < FRAMED.0 || body.height < FRAMED.1 {
        return;
    }
    let edge = Rect { x: body.x + 2, y: body.bottom() - 1, width: body.width - 4, height: 1 };
    let mut x = edge.x;
    for screen in Screen::ALL {
        let line = name(ui, screen, open);
        let cells = line_width(&line) as u16;
        if x + cells > edge.right() {
            break;
        }
        x = canvas.line(Rect { x, width: cells, ..edge }, &line) + 1;
    }
}

fn name(ui: &Ui<'_>, screen: Screen, open: Screen) -> Line {
    let key = ui.screens.iter().find(|entry| entry.id == screen.command());
    let key = key.and_then(|entry| entry.keys.first()).map(|key| format!(" {key}"));
    let (title, rest) = if screen == open {
        (Meaning::TitleFocused, Meaning::TitleFocused)
    } else {
        (Meaning::Muted, Meaning::Key)
    };
    vec![piece(key.unwrap_or_default(), rest), piece(format!(" {} ", screen.title()), title)]
}
