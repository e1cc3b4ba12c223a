//! Style by meaning.
//!
//! A screen never names a colour: it says what a thing means ([`Meaning`]) and the theme says how
//! that looks. Colour helps and never tells: wherever a meaning is shown, a word and a glyph stand
//! beside it, so that every theme may be read without colour.

mod file;
mod glyphs;
mod terminal;
mod themes;

use ratatui::style::{Color, Modifier, Style};

pub use self::{
    file::ThemeError,
    glyphs::{Borders, Glyphs, Mark},
    terminal::{Depth, TermEnv},
    themes::Themes,
};

macro_rules! meanings {
    ($($(#[$doc:meta])* $name:ident = $key:literal,)*) => {
        /// What a piece of the screen means.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub enum Meaning { $($(#[$doc])* $name,)* }

        impl Meaning {
            /// Every meaning, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its key in a theme file.
            pub const fn key(self) -> &'static str {
                match self { $(Self::$name => $key,)* }
            }
        }
    };
}

meanings! {
    /// Plain words and figures; its background is the background of the whole screen.
    #[default]
    Text = "text",
    /// A name that the eye should find: a pool, a check, a target.
    Strong = "strong",
    /// A pane's or a popup's title.
    Title = "title",
    /// The title of the pane that has the focus.
    TitleFocused = "title-focused",
    /// What matters little: captions, units, separators.
    Muted = "muted",
    /// Facts that are too old to be believed.
    Stale = "stale",
    /// Somebody must act now.
    Critical = "critical",
    /// Somebody should look.
    Warning = "warning",
    /// Observed to be well.
    Ok = "ok",
    /// Not known, or not to be seen by our role.
    Unknown = "unknown",
    /// The lines between panes.
    Border = "border",
    /// The lines around the pane that has the focus.
    BorderFocused = "border-focused",
    /// The selected row.
    Selection = "selection",
    /// The name of a key.
    Key = "key",
    /// The letters that a filter or the palette found.
    Match = "match",
    /// A command that cannot be used now.
    Disabled = "disabled",
    /// The identity bar's word for real users' data.
    IdentityProduction = "identity-production",
    /// The identity bar's word for a rehearsal of production.
    IdentityStaging = "identity-staging",
    /// The identity bar's word for a developer's place.
    IdentityDevelopment = "identity-development",
    /// The identity bar's word for a demo.
    IdentityDemo = "identity-demo",
    /// The identity bar's word when nobody said what it is.
    IdentityUnknown = "identity-unknown",
    /// A trend over time.
    Sparkline = "sparkline",
    /// The filled part of a bar with room to spare.
    GaugeLow = "gauge-low",
    /// The filled part of a bar that fills up.
    GaugeMid = "gauge-mid",
    /// The filled part of a bar that is full or nearly.
    GaugeHigh = "gauge-high",
    /// The empty part of a bar.
    GaugeEmpty = "gauge-empty",
    /// What a command answers.
    Toast = "toast",
    /// What a command answers when it failed.
    ToastError = "toast-error",
    /// A headline over the screen when the target cannot be seen: server down, hung, refused.
    Banner = "banner",
}

/// How everything looks.
#[derive(Clone, Debug, PartialEq)]
pub struct Theme {
    name: String,
    styles: Vec<Style>,
}

impl Theme {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The look of a meaning.
    pub fn style(&self, meaning: Meaning) -> Style {
        self.styles.get(meaning as usize).copied().unwrap_or_default()
    }

    /// The colour depth that it needs: the highest of all its colours.
    pub fn needs(&self) -> Depth {
        self.styles
            .iter()
            .flat_map(|style| [style.fg, style.bg])
            .map(|colour| match colour {
                None | Some(Color::Reset) => Depth::None,
                Some(Color::Rgb(..) | Color::Indexed(_)) => Depth::Rgb,
                Some(_) => Depth::Ansi16,
            })
            .max()
            .unwrap_or_default()
    }

    /// The same theme without a colour. Bold, underline and reverse stay; a background becomes
    /// reverse video, so that what stood out still does.
    #[must_use]
    pub fn without_colour(mut self) -> Self {
        for (style, meaning) in self.styles.iter_mut().zip(Meaning::ALL) {
            let stood_out = style.bg.is_some_and(|bg| bg != Color::Reset);
            if stood_out && *meaning != Meaning::Text {
                style.add_modifier |= Modifier::REVERSED;
            }
            style.fg = None;
            style.bg = None;
        }
        self
    }
}

impl Theme {
    /// What is shown before a theme is named: `ansi`, as far as that depth allows.
    pub fn plain(depth: Depth) -> Self {
        Themes::built_in().pick("ansi", depth).unwrap_or_else(|_| Self {
            name: "none".to_owned(),
            styles: vec![Style::new(); Meaning::ALL.len()],
        })
    }
}

impl Default for Theme {
    /// The 16 ANSI colours on the user's own background.
    fn default() -> Self {
        Self::plain(Depth::Ansi16)
    }
}
