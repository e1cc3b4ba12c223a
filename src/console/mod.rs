//! The full-screen console.
//!
//! The life of a key: terminal -> [`input`] -> command -> update of the [`model`] -> effects. The life
//! of a fact: snapshot -> [`model`] -> cells. A frame is a pure function of the model and of now.

pub mod app;
pub mod command;
pub mod input;
pub mod model;
pub mod screen;
pub mod term;
pub mod theme;
pub mod view;
pub mod widget;
