//! The console's loop: messages change the model, the model is drawn, effects go out.

pub mod effects;
pub mod exit;
mod guide;
mod pace;
pub mod paint;
mod recovery;
pub mod run;
mod serve;
mod silence;
mod typing;
mod ui;
pub mod update;

#[cfg(test)]
mod robot;
