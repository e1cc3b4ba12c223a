//! The one door from the console to the engine.

use std::sync::Arc;

use crate::{
    base::text::Text,
    console::model::{GuideWish, Sheet, Shelf, Tone},
    watch::silences::Wish,
};

/// Something that has to happen outside the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Leave the console.
    Quit,
    /// Draw everything again.
    Redraw,
    /// Give the terminal back and stop by job control.
    Suspend,
    /// Let the terminal report the mouse, or no longer.
    Mouse(bool),
    /// Ask all sources now.
    RetryNow,
    /// Take the alert of this id.
    Acknowledge(Text),
    /// Silence this for a while.
    Silence(Wish),
    /// End the silence of this id.
    EndSilence(Text),
    /// Cause this incident on the demo target.
    Incident(&'static str),
    /// Keep this theme for the next time.
    SaveTheme(String),
    /// Something about the guides.
    Guide(GuideWish),
    /// Run howdah with these words as a job.
    Run(Vec<String>),
}

/// What the engine does for the console. Each call must return at once: longer work is begun, and its end
/// is told by a [`Notice`].
pub trait Port: Send {
    /// Asks all sources now, without waiting for their turn.
    fn retry_now(&mut self);
    /// Takes the alert of this id in the person's name.
    fn acknowledge(&mut self, alert: &Text);
    /// Silences this for a while, in the person's name.
    fn silence(&mut self, wish: &Wish);
    /// Ends the silence of this id, in the person's name.
    fn end_silence(&mut self, id: &Text);
    /// Causes this incident on the demo target.
    fn incident(&mut self, name: &'static str);
    /// Keeps this theme for the next time.
    fn save_theme(&mut self, name: &str);
    /// Does something about the guides; what comes of it is [`Told`].
    fn guide(&mut self, wish: &GuideWish);
    /// Runs howdah with these words as a job.
    fn run(&mut self, words: &[String]);
}

/// Something that the engine tells the person in passing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What it says.
    pub text: Text,
    /// How it is meant.
    pub tone: Tone,
}

/// What the engine tells besides facts.
#[derive(Clone, Debug)]
pub enum Told {
    /// Words in passing.
    Notice(Notice),
    /// Which guides there are, and which runs.
    Shelf(Arc<Shelf>),
    /// The page of the run that is open; none when it was left.
    Sheet(Option<Arc<Sheet>>),
}

/// Does an effect of the engine's; false when it is the terminal's.
pub fn pass(effect: &Effect, port: &mut dyn Port) -> bool {
    match effect {
        Effect::RetryNow => port.retry_now(),
        Effect::Acknowledge(alert) => port.acknowledge(alert),
        Effect::Silence(wish) => port.silence(wish),
        Effect::EndSilence(id) => port.end_silence(id),
        Effect::Incident(name) => port.incident(name),
        Effect::SaveTheme(name) => port.save_theme(name),
        Effect::Guide(wish) => port.guide(wish),
        Effect::Run(words) => port.run(words),
        Effect::Quit | Effect::Redraw | Effect::Suspend | Effect::Mouse(_) => return false,
    }
    true
}
