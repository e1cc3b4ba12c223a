//! All commands by group with their keys; one that cannot be used now says why.

use ratatui::layout::Rect;

use super::{Layout, Ui, scrolled};
use crate::console::{
    model::Entry,
    theme::Meaning,
    view::Sight,
    widget::{Canvas, Line, piece, popup_width, wrap},
};

/// Cells for the keys of a command.
const KEYS: usize = 18;

/// Draws the help over `area`.
pub fn draw(
    canvas: &mut Canvas<'_>,
    sight: &Sight<'_>,
    ui: &Ui<'_>,
    area: Rect,
    layout: &mut Layout,
) {
    let wide = popup_width(area, 92);
    let lines = lines(ui.entries, usize::from(wide.saturating_sub(4)));
    scrolled::draw(canvas, sight, area, layout, ("Help", wide), &lines);
}

fn lines(entries: &[Entry], width: usize) -> Vec<Line> {
    let mut groups: Vec<&str> = Vec::new();
    for entry in entries {
        if !groups.contains(&entry.group) {
            groups.push(entry.group);
        }
    }
    let mut lines: Vec<Line> = Vec::new();
    for group in groups {
        if !lines.is_empty() {
            lines.push(Line::new());
        }
        lines.push(vec![piece(group, Meaning::Title)]);
        for entry in entries.iter().filter(|entry| entry.group == group) {
            command(entry, width, &mut lines);
        }
    }
    lines
}

fn command(entry: &Entry, width: usize, lines: &mut Vec<Line>) {
    let usable = entry.disabled.is_none();
    let (key, text) =
        if usable { (Meaning::Key, Meaning::Text) } else { (Meaning::Disabled, Meaning::Disabled) };
    let (keys, what) = if entry.keys.is_empty() {
        (format!(":{}", entry.title), entry.help.to_owned())
    } else {
        (entry.keys.join(" "), entry.help.to_owned())
    };
    let indent = if width < 50 { 4 } else { KEYS + 2 };
    let room = width.saturating_sub(indent).max(8);
    let mut words = wrap(&what, room);
    if let Some(why) = &entry.disabled {
        words.extend(wrap(&format!("Not now: {why}."), room));
    }
    let fits = crate::base::text::width(&keys) <= KEYS && indent > KEYS;
    let mut words = words.into_iter();
    if fits {
        lines.push(vec![
            piece(format!("  {keys:<KEYS$}"), key),
            piece(words.next().unwrap_or_default(), text),
        ]);
    } else {
        lines.push(vec![piece(format!("  {keys}"), key)]);
    }
    lines.extend(words.map(|line| vec![piece(format!("{:indent$}{line}", ""), text)]));
}
