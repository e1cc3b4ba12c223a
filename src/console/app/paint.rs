//! How frames come from the model: the screens' painter, asked by the loop.

use super::ui::{Drawn, Moment, Render};
use crate::console::{
    model::Room,
    screen::Painter,
    theme::{Depth, Glyphs, ThemeError, Themes},
};

/// How the console looks.
#[derive(Clone, Debug)]
pub struct Looks {
    /// The themes that there are.
    pub themes: Themes,
    /// The name of the theme to begin with.
    pub theme: String,
    /// How many colours the terminal has.
    pub depth: Depth,
    /// The signs that the terminal can show.
    pub glyphs: Glyphs,
}

/// Draws frames that look so. Fails when the theme to begin with cannot be used.
pub(super) fn painter(looks: Looks) -> Result<Render, ThemeError> {
    looks.themes.pick(&looks.theme, looks.depth)?;
    let mut painter = Painter::new(looks.themes, looks.depth, looks.glyphs);
    Ok(Box::new(move |model, Moment { stamp, wall }, area, buffer| {
        let layout = painter.paint(model, stamp, wall, area, buffer);
        Drawn {
            room: Room {
                rows: layout.rows,
                below: layout.below,
                sections: layout.sections,
                line: layout.line,
                overlay: layout.overlay,
                guide: layout.guide,
            },
            cursor: layout.cursor,
            rest: layout.selection,
        }
    }))
}

#[cfg(test)]
mod tests {
    use ratatui::{buffer::Buffer, layout::Rect};

    use super::*;
    use crate::{
        base::clock::Clock,
        console::{
            app::update::{Msg, update},
            command,
            input::keymap::KeySettings,
            model::Model,
        },
    };

    fn looks(theme: &str) -> Looks {
        Looks {
            themes: Themes::built_in(),
            theme: theme.to_owned(),
            depth: Depth::Ansi16,
            glyphs: Glyphs::Unicode,
        }
    }

    fn frame(model: &mut Model, paint: &mut Render) -> String {
        let clock = Clock::test();
        let area = Rect::new(0, 0, 80, 24);
        let mut buffer = Buffer::empty(area);
        let moment = Moment { stamp: clock.now(), wall: clock.wall() };
        let drawn = paint(model, moment, area, &mut buffer);
        model.room = drawn.room;
        let symbols: Vec<&str> = buffer.content.iter().map(ratatui::buffer::Cell::symbol).collect();
        symbols.chunks(80).map(<[&str]>::concat).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_commands_of_the_catalogue_are_on_screen() {
        let keys = command::keymap(&KeySettings::new()).expect("the presets are sound");
        let mut model = Model { keys, ..Model::default() };
        "ansi".clone_into(&mut model.state.theme);
        let mut paint = painter(looks("ansi")).expect("a built-in theme");
        let mut press = |model: &mut Model, key: &str| {
            update(model, Msg::Key(key.parse().expect("a key")), Clock::test().now());
            frame(model, &mut paint)
        };
        let overview = press(&mut model, "1");
        for word in ["Pools", "Circuit breakers", "Health alerts", "Backup history", "Quit"] {
            assert!(overview.contains(word), "{word}:\n{overview}");
        }
        assert!(press(&mut model, "?").contains("Leave the console."));
        assert!(model.room.overlay.1 >= command::CATALOGUE.len() as u16);
        press(&mut model, "esc");
        for key in [":", "h", "a", "n", "g"] {
            press(&mut model, key);
        }
        let palette = press(&mut model, "end");
        assert!(palette.contains("Incident: hang"), "{palette}");
        assert!(palette.contains("only on a target made by"), "{palette}");
    }

    #[test]
    fn a_theme_that_there_is_not_is_refused() {
        assert!(painter(looks("anso")).err().is_some_and(|e| e.to_string().contains("ansi")));
    }
}
