//! Commands by name: a line to type into, and what it finds.

use ratatui::layout::{Position, Rect};

use super::{Layout, Ui, lines::input};
use crate::{
    base::text::width,
    console::{
        model::Entry,
        theme::Meaning,
        view::Sight,
        widget::{Canvas, Line, Popup, piece, popup},
    },
};

/// Draws the palette over `area`.
pub fn draw(
    canvas: &mut Canvas<'_>,
    sight: &Sight<'_>,
    ui: &Ui<'_>,
    area: Rect,
    layout: &mut Layout,
) {
    // The box keeps its height while one types: only its content changes.
    let height = 16.min(area.height);
    let room = Rect { height: (area.height * 3 / 4).max(height), ..area };
    let found = ui.entries.len();
    let foot = vec![piece(format!(" {found} found "), Meaning::Muted)];
    let window = Popup { title: "Command".to_owned(), width: 90, height, foot };
    let inner = popup(canvas, room, &window);
    if inner.is_empty() {
        return;
    }
    layout.cursor = input(canvas, sight, Rect { height: 1, ..inner }, ":");
    let list = Rect { y: inner.y + 1, height: inner.height - 1, ..inner };
    layout.overlay = (list.height, found as u16);
    if found == 0 {
        canvas.line(list, &[piece("  no command is called so", Meaning::Muted)]);
        return;
    }
    let choice = sight.state.choice.min(found - 1);
    let shown = usize::from(list.height);
    let first = choice.saturating_sub(shown / 2).min(found.saturating_sub(shown));
    let entries = ui.entries.iter().enumerate().skip(first);
    for (y, (at, entry)) in (list.top()..list.bottom()).zip(entries) {
        let row = Rect { y, height: 1, ..list };
        command(canvas, entry, sight.state.line.value(), row);
        if at == choice {
            canvas.select(row);
            layout.selection = Some(Position { x: row.x, y });
        }
    }
}

/// A command: its title with the letters found, its keys, and at the right what it does, or why not.
fn command(canvas: &mut Canvas<'_>, entry: &Entry, typed: &str, row: Rect) {
    let usable = entry.disabled.is_none();
    let mut line = vec![piece("  ", Meaning::Text)];
    if usable {
        line.extend(highlighted(entry.title, typed));
    } else {
        line.push(piece(entry.title, Meaning::Disabled));
    }
    canvas.line(Rect { width: row.width.min(26), ..row }, &line);
    if row.width < 40 {
        return;
    }
    let keys = entry.keys.join(" ");
    let end = Rect { x: row.x + 27, width: row.width - 27, ..row };
    let keys_width = if keys.is_empty() { 0 } else { (width(&keys) as u16 + 2).min(end.width) };
    let says = match &entry.disabled {
        Some(why) => vec![piece(format!("not now: {why}"), Meaning::Disabled)],
        None => vec![piece(entry.help, Meaning::Muted)],
    };
    canvas.line(Rect { width: end.width - keys_width, ..end }, &says);
    canvas.line_right(end, &[piece(keys, if usable { Meaning::Key } else { Meaning::Disabled })]);
}

/// The title with the words that were typed marked in it.
fn highlighted(title: &str, typed: &str) -> Line {
    // Titles are ours and ASCII, so that lower case keeps every place.
    let lower = title.to_ascii_lowercase();
    let mut found = vec![false; title.len()];
    for word in typed.to_lowercase().split_whitespace() {
        for (at, _) in lower.match_indices(word) {
            found[at..at + word.len()].fill(true);
        }
    }
    let mut line = Line::new();
    for (at, letter) in title.char_indices() {
        let meaning = if found[at] { Meaning::Match } else { Meaning::Text };
        match line.last_mut() {
            Some(last) if last.meaning == meaning => last.text.push(letter),
            _ => line.push(piece(letter.to_string(), meaning)),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_found_are_marked() {
        let line = highlighted("Next theme", "th ne");
        let marked: Vec<&str> = line
            .iter()
            .filter(|piece| piece.meaning == Meaning::Match)
            .map(|piece| piece.text.as_str())
            .collect();
        assert_eq!(marked, ["Ne", "th"]);
    }
}
