//! The screens: pure functions of the snapshot, of what the person has done to the view, and of now.

mod detail;
mod guides;
mod handover;
mod header;
mod help;
mod lines;
mod overview;
mod painter;
mod palette;
mod pane;
mod question;
mod recovery;
mod scrolled;
mod shelf;
mod silence;
mod sources;
mod switch;
mod tabs;
mod zoom;

pub use painter::Painter;
use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
};

use super::{
    model::{Entry, Overlay, Screen, UiState},
    theme::{Glyphs, Theme},
    view::{Sight, link},
    widget::{Canvas, sweep},
};
use crate::{
    base::clock::{Stamp, Timestamp},
    watch::snapshot::Snapshot,
};

/// How to draw, and the time.
#[derive(Clone, Copy, Debug)]
pub struct Ui<'a> {
    /// The looks.
    pub theme: &'a Theme,
    /// The signs.
    pub glyphs: Glyphs,
    /// Now, for ages.
    pub now: Stamp,
    /// Now, for people.
    pub wall: Timestamp,
    /// The newest snapshot, while the one that is drawn stands still: the state of the link is always told
    /// from this one.
    pub latest: &'a Snapshot,
    /// The commands of the key bar, the most wanted first.
    pub bar: &'a [Entry],
    /// The commands that open the screens.
    pub screens: &'a [Entry],
    /// What the overlay lists: all commands for the help, those that were found for the palette.
    pub entries: &'a [Entry],
}

/// What came to stand where, for the next key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// How many rows each pane can show, in the order of [`super::model::Pane::ALL`]; 0 when it is
    /// not shown.
    pub rows: [u16; 4],
    /// How many checks are shown below the zoomed alerts, of how many.
    pub below: (u16, u16),
    /// How many rows each list of the Recovery screen can show.
    pub sections: [u16; 3],
    /// Cells of the line of time.
    pub line: u16,
    /// How many lines the overlay shows of how many; a page is the first figure.
    pub overlay: (u16, u16),
    /// How many lines of the guides' screen are shown of how many.
    pub guide: (u16, u16),
    /// Where the cursor of the line being typed stands.
    pub cursor: Option<Position>,
    /// Where the selected row stands, for terminals whose reader follows the cursor.
    pub selection: Option<Position>,
}

/// The smallest body in which four panes are shown rather than one.
const FOUR_PANES: (u16, u16) = (76, 14);

/// Draws everything into `area`.
pub fn render(
    snapshot: &Snapshot,
    state: &UiState,
    ui: &Ui<'_>,
    area: Rect,
    buf: &mut Buffer,
) -> Layout {
    let area = area.intersection(buf.area);
    let mut layout = Layout::default();
    if area.is_empty() {
        return layout;
    }
    let now = state.frozen.unwrap_or(ui.now);
    let thawed = ui.now.since(now);
    let sight = Sight {
        snapshot,
        state,
        glyphs: ui.glyphs,
        now,
        live_now: ui.now,
        // Ages on the wall clock stand still with the rest.
        wall: ui.wall.checked_sub(thawed).unwrap_or(ui.wall),
    };
    let live = Sight { snapshot: ui.latest, now: ui.now, wall: ui.wall, ..sight };
    let mut canvas = Canvas { buf, theme: ui.theme, glyphs: ui.glyphs };
    canvas.blank(area);
    let body = frame(&mut canvas, &sight, &live, ui, area, &mut layout);
    if !body.is_empty() {
        match state.zoom {
            _ if state.screen == Screen::Guides => {
                guides::draw(&mut canvas, &sight, ui, body, &mut layout);
            }
            _ if state.screen == Screen::Recovery => {
                recovery::draw(&mut canvas, &sight, body, &mut layout);
            }
            Some(pane) => zoom::draw(&mut canvas, &sight, pane, body, &mut layout),
            None if body.width >= FOUR_PANES.0 && body.height >= FOUR_PANES.1 => {
                overview::draw(&mut canvas, &sight, body, &mut layout);
            }
            None => tabs::draw(&mut canvas, &sight, body, &mut layout),
        }
        switch::draw(&mut canvas, ui, state.screen, body);
        match state.overlay {
            Overlay::None | Overlay::Filter | Overlay::Answer(_) => {}
            Overlay::Help => help::draw(&mut canvas, &sight, ui, body, &mut layout),
            Overlay::Palette => palette::draw(&mut canvas, &sight, ui, body, &mut layout),
            Overlay::Detail => detail::draw(&mut canvas, &sight, body, &mut layout),
            Overlay::Sources => sources::draw(&mut canvas, &sight, body, &mut layout),
            Overlay::Handover => handover::draw(&mut canvas, &sight, body, &mut layout),
            Overlay::Silence => silence::draw(&mut canvas, &sight, ui, body, &mut layout),
            Overlay::Question => question::draw(&mut canvas, &sight, ui, body, &mut layout),
        }
    }
    sweep(buf);
    layout
}

/// Draws what stands around the body on every screen, and returns the body: two lines of header, a
/// headline if the target cannot be seen, and one line at the bottom. They leave in a fixed order when the
/// screen is low; the state of the link stays.
fn frame(
    canvas: &mut Canvas<'_>,
    sight: &Sight<'_>,
    live: &Sight<'_>,
    ui: &Ui<'_>,
    area: Rect,
    layout: &mut Layout,
) -> Rect {
    let row = |y: u16| Rect { y, height: 1, ..area };
    let mut top = area.top();
    header::identity(canvas, sight, live, row(top));
    top += 1;
    if area.height >= 5 {
        header::recoverability(canvas, sight, row(top));
        top += 1;
    }
    let mut bottom = area.bottom();
    let typing = sight.state.overlay == Overlay::Filter;
    if area.height >= 7 || (typing && area.height >= 2) {
        bottom -= 1;
        lines::bottom(canvas, sight, ui, row(bottom), layout);
    }
    if area.height >= 9
        && let Some(banner) = link::banner(live)
    {
        // Where it leaves the panes enough, it is said to its end; a page of a guide says itself what to do.
        let guided = sight.state.screen == Screen::Guides && sight.state.guides.sheet.is_some();
        let height = match area.height {
            _ if guided => 2,
            ..24 => 4,
            _ => 5,
        };
        let room = Rect { y: top, height, ..area };
        top += header::banner(canvas, &banner, link::word(live).tone, room);
    }
    Rect { y: top, height: bottom.saturating_sub(top), ..area }
}
