//! The themes, the terminal's depth and signs, kept from frame to frame: what the console's loop calls.

use ratatui::{buffer::Buffer, layout::Rect};

use super::{Layout, Ui, render};
use crate::{
    base::clock::{Stamp, Timestamp},
    console::{
        command,
        model::{Entry, Model, Overlay},
        theme::{Depth, Glyphs, Theme, Themes},
    },
};

/// Draws models, each with the theme that it names.
#[derive(Debug)]
pub struct Painter {
    themes: Themes,
    depth: Depth,
    glyphs: Glyphs,
    theme: Theme,
}

impl Painter {
    /// For a terminal of that depth and with those signs.
    pub fn new(themes: Themes, depth: Depth, glyphs: Glyphs) -> Self {
        let theme = Theme::plain(depth);
        Self { themes, depth, glyphs, theme }
    }

    /// The names of the themes that this terminal can show: what [`Model::themes`] should hold.
    pub fn offered(&self) -> Vec<String> {
        self.themes.offered(self.depth).into_iter().map(str::to_owned).collect()
    }

    /// Draws a frame. A theme that cannot be shown here leaves the one before in place.
    pub fn paint(
        &mut self,
        model: &Model,
        now: Stamp,
        wall: Timestamp,
        area: Rect,
        buf: &mut Buffer,
    ) -> Layout {
        let state = &model.state;
        if self.theme.name() != state.theme
            && let Ok(theme) = self.themes.pick(&state.theme, self.depth)
        {
            self.theme = theme;
        }
        let entries: Vec<Entry> = match state.overlay {
            Overlay::Palette => command::matching(model, state.line.value()),
            Overlay::Help => command::all(model),
            Overlay::None
            | Overlay::Filter
            | Overlay::Detail
            | Overlay::Sources
            | Overlay::Handover
            | Overlay::Answer(_)
            | Overlay::Silence
            | Overlay::Question => Vec::new(),
        };
        let ui = Ui {
            theme: &self.theme,
            glyphs: self.glyphs,
            now,
            wall,
            latest: &model.latest,
            bar: &command::bar(model),
            screens: &command::screens(model),
            entries: &entries,
        };
        render(&model.snapshot, state, &ui, area, buf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paint(painter: &mut Painter, theme: &str) -> Buffer {
        let mut model = Model { themes: painter.offered(), ..Model::default() };
        model.state.theme = theme.to_owned();
        let area = Rect::new(0, 0, 80, 24);
        let mut buf = Buffer::empty(area);
        painter.paint(&model, Stamp::default(), Timestamp::UNIX_EPOCH, area, &mut buf);
        buf
    }

    #[test]
    fn the_theme_changes_from_one_frame_to_the_next() {
        let mut painter = Painter::new(Themes::built_in(), Depth::Rgb, Glyphs::Unicode);
        let dark = paint(&mut painter, "dark");
        let light = paint(&mut painter, "light");
        assert_ne!(dark.content[0].bg, light.content[0].bg);
        assert_eq!(paint(&mut painter, "no such theme"), light, "the last good one stays");
    }

    #[test]
    fn before_any_theme_is_named_the_default_is_shown() {
        let mut painter = Painter::new(Themes::built_in(), Depth::Ansi16, Glyphs::Unicode);
        assert_eq!(paint(&mut painter, ""), paint(&mut painter, "ansi"));
        let mut colourless = Painter::new(Themes::built_in(), Depth::None, Glyphs::Ascii);
        let default = ratatui::style::Color::Reset;
        assert!(paint(&mut colourless, "").content.iter().all(|cell| cell.fg == default));
    }
}
