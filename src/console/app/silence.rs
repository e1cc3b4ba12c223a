//! What the keys of a silence do to the model: its form comes up, is filled in, and is sent.

use super::{
    effects::Effect,
    update::{open, say},
};
use crate::{
    base::{clock::Stamp, text::Text},
    console::{
        input::key::{Code, Key},
        model::{Model, Overlay, SilenceForm, Tone},
    },
};

/// Brings up the form for the selected alert.
pub fn ask(model: &mut Model) {
    let form = model.selected_alert().map(|alert| SilenceForm::of(alert, &model.snapshot));
    if form.is_some() {
        open(model, Overlay::Silence);
        model.state.silence = form;
        model.state.line.reset();
    }
}

/// A key that the form takes for itself; the others are typed as its reason.
pub fn takes(model: &mut Model, key: Key) -> bool {
    let Some(form) = model.state.silence.as_mut() else { return false };
    match key.code() {
        Code::Up => form.step(true),
        Code::Down => form.step(false),
        Code::Tab => form.whole = !form.whole,
        _ => return false,
    }
    true
}

/// Sends the form, once it says why.
pub fn send(model: &mut Model, now: Stamp) -> Vec<Effect> {
    let why = model.state.line.value().trim().to_owned();
    if why.is_empty() {
        let text = Text::ours("Silence: say why, for whoever finds it quiet");
        say(model, text, Tone::Refusal, now);
        return Vec::new();
    }
    let wish = model.state.silence.as_ref().map(|form| form.wish(&why));
    open(model, Overlay::None);
    wish.map(Effect::Silence).into_iter().collect()
}

/// Ends the silence of the selected alert.
pub fn end(model: &Model) -> Vec<Effect> {
    let silence = model.selected_alert().and_then(|alert| alert.silenced.as_ref());
    silence.map(|silence| Effect::EndSilence(silence.id.clone())).into_iter().collect()
}
