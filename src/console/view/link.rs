//! The state of our own connection: one word for the header, and a headline when the target cannot be
//! seen.

use std::time::Duration;

use super::Sight;
use crate::{
    base::{text::Text, units::age},
    console::widget::Tone,
    watch::snapshot::LinkState,
};

/// The link in one word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkWord {
    /// How bad it is.
    pub tone: Tone,
    /// The word, and its age.
    pub word: String,
}

/// A headline over the panes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Banner {
    /// What happened, in capitals, and for how long.
    pub word: String,
    /// What happened, in a sentence.
    pub what: String,
    /// What to do, and what the console does by itself.
    pub help: String,
}

/// The word for the header: `live`, `STALE 12s`, `HUNG, STALE 12s`, `DOWN 8s, next try 1s`.
pub fn word(sight: &Sight<'_>) -> LinkWord {
    let link = &sight.snapshot.link;
    let since = age(sight.now.since(link.since));
    let (tone, word) = match link.state {
        LinkState::Connecting => (Tone::WAIT, format!("connecting {since}")),
        LinkState::Live => match sight.server_stale() {
            None => (Tone::RUNS, "live".to_owned()),
            Some(old) => (Tone::WARN, format!("STALE {}", age(old))),
        },
        LinkState::Hung => {
            let old = sight.server_stale().map_or(since, age);
            (Tone::WARN, format!("HUNG, STALE {old}"))
        }
        LinkState::Down => {
            let next = next_try(sight).map(|wait| format!(", next try {}", age(wait)));
            (Tone::STOP, format!("DOWN {since}{}", next.unwrap_or_default()))
        }
        LinkState::Refused => (Tone::STOP, format!("REFUSED {since}")),
    };
    LinkWord { tone, word }
}

/// The headline, when there is something to say that the panes cannot.
pub fn banner(sight: &Sight<'_>) -> Option<Banner> {
    let link = &sight.snapshot.link;
    let since = age(sight.now.since(link.since));
    let place = &sight.snapshot.target.address;
    let word = match link.state {
        LinkState::Live => return None,
        LinkState::Connecting if sight.snapshot.link.last_answer.is_some() => return None,
        LinkState::Connecting => format!("CONNECTING {since}"),
        LinkState::Hung => format!("HUNG {}", sight.server_stale().map_or(since, age)),
        LinkState::Down => format!("DOWN {since}"),
        LinkState::Refused => format!("REFUSED {since}"),
    };
    let told = |text: fn(&crate::watch::snapshot::Problem) -> &Text| {
        link.problem.as_ref().map(text).filter(|text| !text.is_empty()).map(Text::to_string)
    };
    let what = told(|problem| &problem.what).unwrap_or_else(|| match link.state {
        LinkState::Hung => format!("{place} is connected but does not answer"),
        LinkState::Connecting => format!("waiting for {place}"),
        LinkState::Refused => format!("{place} answers and will not let us in"),
        LinkState::Live | LinkState::Down => format!("no connection to {place}"),
    });
    // A remedy may be half a sentence, or a question.
    let sentence =
        |words: String| if words.ends_with(['.', '?', '!']) { words } else { words + "." };
    let mut help: Vec<String> = told(|problem| &problem.remedy).map(sentence).into_iter().collect();
    if let Some(wait) = next_try(sight) {
        help.push(format!(
            "Next try in {} (attempt {}).",
            age(wait),
            link.attempt.saturating_add(1)
        ));
    }
    if sight.snapshot.link.last_answer.is_some() {
        help.push("What is shown is the last that was seen.".to_owned());
    }
    Some(Banner { word, what, help: help.join(" ") })
}

fn next_try(sight: &Sight<'_>) -> Option<Duration> {
    sight.snapshot.link.next_try.map(|at| at.since(sight.now))
}
