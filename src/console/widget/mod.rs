//! Small pieces that screens are put together from. Each draws plain data into its own rectangle and
//! never beyond it.

mod canvas;
mod frame;
mod table;
mod text;

pub use self::{
    canvas::Canvas,
    frame::{Popup, grid, popup},
    table::{Cell, Column, Placed, TableRow, draw_header, draw_rows, place},
    text::{Line, Piece, Tone, line_width, marked, piece, sweep, wrap},
};
