//! The signs that the console draws with, in Unicode and in plain ASCII.

/// Which set of signs to draw with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Glyphs {
    /// Box drawing, blocks, and the signs that every monospaced font has.
    #[default]
    Unicode,
    /// ASCII only.
    Ascii,
}

/// A sign that stands before the word of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Proven to be well.
    Good,
    /// Failed.
    Bad,
    /// Running as it should.
    Dot,
    /// To be looked at.
    Warn,
    /// To be acted on.
    Stop,
    /// Not known.
    None,
    /// Not there yet.
    Wait,
    /// Not to be seen by our role.
    Blind,
}

/// The signs of lines between and around panes.
#[derive(Debug)]
pub struct Borders {
    /// A line across.
    pub across: &'static str,
    /// A line down.
    pub down: &'static str,
    /// Corners: top left, top right, bottom left, bottom right.
    pub corners: [&'static str; 4],
    /// Where a line ends on another: from the top, from the bottom, from the left, from the right.
    pub tees: [&'static str; 4],
    /// Where two lines cross.
    pub cross: &'static str,
}

static UNICODE: Borders = Borders {
    across: "─",
    down: "│",
    corners: ["┌", "┐", "└", "┘"],
    tees: ["┬", "┴", "├", "┤"],
    cross: "┼",
};

static ASCII: Borders = Borders {
    across: "-",
    down: "|",
    corners: ["+", "+", "+", "+"],
    tees: ["+", "+", "+", "+"],
    cross: "+",
};

impl Glyphs {
    const fn pick(self, unicode: &'static str, ascii: &'static str) -> &'static str {
        match self {
            Self::Unicode => unicode,
            Self::Ascii => ascii,
        }
    }

    /// The sign of a state.
    pub const fn mark(self, mark: Mark) -> &'static str {
        match mark {
            Mark::Good => self.pick("✓", "ok"),
            Mark::Bad => self.pick("✗", "x"),
            Mark::Dot => self.pick("●", "*"),
            Mark::Warn => self.pick("▲", "!"),
            Mark::Stop => self.pick("■", "#"),
            Mark::None => self.pick("—", "-"),
            Mark::Wait => self.pick("…", "~"),
            Mark::Blind => "?",
        }
    }

    /// Cells that a column of marks takes.
    pub const fn mark_width(self) -> u16 {
        match self {
            Self::Unicode => 1,
            Self::Ascii => 2,
        }
    }

    /// Stands for what was cut away.
    pub const fn ellipsis(self) -> &'static str {
        self.pick("…", "~")
    }

    /// Stands for a value that is not known.
    pub const fn unknown(self) -> &'static str {
        self.pick("—", "-")
    }

    /// From one moment to another.
    pub const fn to(self) -> &'static str {
        self.pick("→", "->")
    }

    /// Between facts on one line.
    pub const fn dot(self) -> &'static str {
        self.pick("·", "-")
    }

    /// There is more above.
    pub const fn up(self) -> &'static str {
        self.pick("↑", "^")
    }

    /// There is more below.
    pub const fn down(self) -> &'static str {
        self.pick("↓", "v")
    }

    /// A base backup on the line of time.
    pub const fn base(self) -> &'static str {
        self.pick("◆", "B")
    }

    /// Points down at the moment that was picked.
    pub const fn cursor(self) -> &'static str {
        self.pick("▼", "v")
    }

    /// A cell of the line of time: it can be restored, it cannot, there is nothing yet.
    pub const fn time(self) -> [&'static str; 3] {
        match self {
            Self::Unicode => ["█", "✗", "░"],
            Self::Ascii => ["#", "x", "."],
        }
    }

    /// The full and the empty cell of a bar.
    pub const fn bar(self) -> (&'static str, &'static str) {
        match self {
            Self::Unicode => ("█", "░"),
            Self::Ascii => ("#", "."),
        }
    }

    /// The levels of a sparkline, lowest first.
    pub const fn levels(self) -> [&'static str; 8] {
        match self {
            Self::Unicode => ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
            Self::Ascii => ["_", ".", "-", ":", "=", "+", "*", "#"],
        }
    }

    /// The signs of lines.
    pub const fn borders(self) -> &'static Borders {
        match self {
            Self::Unicode => &UNICODE,
            Self::Ascii => &ASCII,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::text::width;

    #[test]
    fn every_mark_fits_its_column() {
        let marks = [
            Mark::Good,
            Mark::Bad,
            Mark::Dot,
            Mark::Warn,
            Mark::Stop,
            Mark::None,
            Mark::Wait,
            Mark::Blind,
        ];
        for glyphs in [Glyphs::Unicode, Glyphs::Ascii] {
            for mark in marks {
                assert!(width(glyphs.mark(mark)) <= usize::from(glyphs.mark_width()));
            }
        }
        assert!(marks.iter().all(|&mark| Glyphs::Ascii.mark(mark).is_ascii()));
    }
}
