//! Small pieces that screens are put together from. Each draws plain data into its own rectangle and
//! never beyond it.

mod canvas;
mod facts;
mod frame;
mod table;
mod text;

pub use self::{
    canvas::Canvas,
    facts::{Fact, FactLine, draw_facts, lay_facts},
    frame::{Popup, grid, popup, popup_width},
    table::{Cell, Column, Placed, TableRow, draw_captions, draw_rows, place},
    text::{Line, Piece, Tone, line_width, marked, piece, sweep, wrap, wrap_line},
};
