//! A frame as text that a person can read and a test can compare, styles included.

use std::fmt::Write as _;

use ratatui::{
    buffer::Buffer,
    style::{Color, Style},
};
use unicode_width::UnicodeWidthStr;

/// The words alone, without blanks at the ends of lines.
pub fn text(buf: &Buffer) -> String {
    let mut out = String::new();
    for y in buf.area.top()..buf.area.bottom() {
        let mut line = String::new();
        let mut covered = 0;
        for x in buf.area.left()..buf.area.right() {
            let symbol = buf[(x, y)].symbol();
            if covered > 0 {
                covered -= 1;
                continue;
            }
            covered = symbol.width().saturating_sub(1);
            line.push_str(symbol);
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// The words, then a letter for the style of each cell, then what the letters mean.
pub fn styled(buf: &Buffer) -> String {
    let mut legend: Vec<Style> = Vec::new();
    let mut letters = String::new();
    for y in buf.area.top()..buf.area.bottom() {
        for x in buf.area.left()..buf.area.right() {
            let style = buf[(x, y)].style();
            let known = legend.iter().position(|seen| *seen == style);
            let at = known.unwrap_or_else(|| {
                legend.push(style);
                legend.len() - 1
            });
            letters.push(letter(at, style));
        }
        letters.truncate(letters.trim_end_matches('.').len());
        letters.push('\n');
    }
    let mut out = text(buf);
    out.push('\n');
    out.push_str(&letters);
    out.push('\n');
    for (at, style) in legend.iter().enumerate() {
        let _ = writeln!(out, "{} {}", letter(at, *style), describe(*style));
    }
    out
}

/// Plain cells are dots, so that the others stand out.
fn letter(at: usize, style: Style) -> char {
    if is_plain(style) {
        return '.';
    }
    let letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    letters.chars().nth(at).unwrap_or('?')
}

fn is_plain(style: Style) -> bool {
    let coloured = |colour: Option<Color>| colour.is_some_and(|colour| colour != Color::Reset);
    !coloured(style.fg) && !coloured(style.bg) && style.add_modifier.is_empty()
}

fn describe(style: Style) -> String {
    let mut words = Vec::new();
    if let Some(colour) = style.fg.filter(|colour| *colour != Color::Reset) {
        words.push(format!("{colour}"));
    }
    if let Some(colour) = style.bg.filter(|colour| *colour != Color::Reset) {
        words.push(format!("on {colour}"));
    }
    if !style.add_modifier.is_empty() {
        words.push(format!("{:?}", style.add_modifier));
    }
    if words.is_empty() { "plain".to_owned() } else { words.join(" ") }
}
