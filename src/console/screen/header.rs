//! The two lines that stand on every screen: who and where this is and whether it is seen; and what could
//! be brought back. Below them a headline, when the target cannot be seen.

use ratatui::layout::Rect;

use crate::{
    base::{
        text::fit,
        units::{age, clock},
    },
    console::{
        theme::{Mark, Meaning},
        view::{
            Sight, alerts, checks,
            link::{self, Banner},
            recovery,
        },
        widget::{Canvas, Line, Tone, line_width, marked, piece, wrap},
    },
    watch::snapshot::{AlertState, Environment, Identity, Known, LinkState, Role},
};

/// Part of the identity line, and when it leaves: the highest rank first, rank 0 never.
struct Part {
    rank: u8,
    line: Line,
}

/// The rank of what is nice to know.
const LEAST: u8 = 8;

/// The first line. Environment and state of the link stand at its left, where nothing cuts them.
pub fn identity(canvas: &mut Canvas<'_>, sight: &Sight<'_>, live: &Sight<'_>, area: Rect) {
    let target = &sight.snapshot.target;
    let state = link::word(live);
    let mut fixed = vec![
        piece(format!(" {} ", target.environment.word()), environment(target.environment)),
        piece(" ", Meaning::Text),
        marked(sight.glyphs, state.tone, &state.word),
    ];
    if area.width < 24 {
        // So little room: the state of the link is what matters.
        fixed.drain(..2);
    }
    if let Some(since) = sight.state.frozen {
        fixed.push(piece(" ", Meaning::Text));
        fixed.push(piece(
            format!(" FROZEN {} ", clock(sight.live_now.since(since))),
            Meaning::Toast,
        ));
    }
    let x = canvas.line(area, &fixed);
    let time = sight.live_wall_clock();
    let room = usize::from((area.right() - 1).saturating_sub(x));
    let mut parts = parts(sight);
    parts.push(Part { rank: 5, line: vec![piece(time, Meaning::Muted)] });
    let width = |parts: &[Part], gap: usize| -> usize {
        parts.iter().map(|part| line_width(&part.line) + gap).sum()
    };
    let mut gap = 2;
    while width(&parts, gap) > room {
        let Some((at, part)) = parts.iter().enumerate().max_by_key(|(_, part)| part.rank) else {
            break;
        };
        // Only what is least wanted goes before the parts move together.
        if part.rank < LEAST && gap == 2 {
            gap = 1;
            continue;
        }
        if part.rank == 0 {
            break;
        }
        parts.remove(at);
    }
    let clock = parts.pop_if(|part| part.rank == 5);
    let mut told = Line::new();
    for part in parts {
        told.push(piece(" ".repeat(gap), Meaning::Text));
        told.extend(part.line);
    }
    canvas.line(Rect { x, width: area.right().saturating_sub(x), ..area }, &told);
    if let Some(clock) = clock {
        canvas.line_right(Rect { width: area.width - 1, ..area }, &clock.line);
    }
}

const fn environment(environment: Environment) -> Meaning {
    match environment {
        Environment::Production => Meaning::IdentityProduction,
        Environment::Staging => Meaning::IdentityStaging,
        Environment::Development => Meaning::IdentityDevelopment,
        Environment::Demo => Meaning::IdentityDemo,
        Environment::Unknown => Meaning::IdentityUnknown,
    }
}

fn parts(sight: &Sight<'_>) -> Vec<Part> {
    let target = &sight.snapshot.target;
    let name = fit(&target.name, 24, sight.glyphs.ellipsis());
    let mut parts = vec![Part { rank: 0, line: vec![piece(name, Meaning::Strong)] }];
    if let Known::Is(identity) = &sight.snapshot.identity {
        who(sight, identity, &mut parts);
    }
    if target.read_only {
        parts.push(Part { rank: 4, line: vec![piece("read-only", Meaning::Warning)] });
    }
    if sight.snapshot.link.last_answer.is_some() {
        parts.push(Part { rank: 6, line: connections(sight) });
    }
    if let Known::Is(identity) = &sight.snapshot.identity
        && sight.snapshot.link.state != LinkState::Down
    {
        let up = sight.ago(identity.started);
        // A start within the hour is news.
        let (rank, meaning) = match up.as_secs() {
            0..3600 => (4, Meaning::Warning),
            _ => (LEAST, Meaning::Muted),
        };
        parts.push(Part { rank, line: vec![piece(format!("up {}", age(up)), meaning)] });
    }
    if sight.server_stale().is_some() {
        for piece in parts.iter_mut().skip(1).flat_map(|part| &mut part.line) {
            piece.meaning = Meaning::Stale;
        }
    }
    parts
}

fn who(sight: &Sight<'_>, identity: &Identity, parts: &mut Vec<Part>) {
    let role = match identity.role {
        Role::Primary => "primary",
        Role::Standby => "standby",
    };
    parts.push(Part { rank: 1, line: vec![piece(role, Meaning::Text)] });
    parts.push(Part { rank: 7, line: vec![piece(identity.version.to_string(), Meaning::Muted)] });
    let timeline =
        identity.timeline.map_or_else(|| sight.glyphs.unknown().to_owned(), |tl| tl.to_string());
    parts.push(Part {
        rank: 3,
        line: vec![piece("tl ", Meaning::Muted), piece(timeline, Meaning::Text)],
    });
    let tail = format!("{}{:04}", sight.glyphs.ellipsis(), identity.system_identifier % 10_000);
    parts.push(Part { rank: 2, line: vec![piece(tail, Meaning::Text)] });
}

fn connections(sight: &Sight<'_>) -> Line {
    match &sight.snapshot.server {
        Known::Is(server) => {
            let (used, usable) = (server.sessions, server.usable());
            let mut slots = vec![
                piece(used.to_string(), Meaning::Text),
                piece(format!("/{usable} conns"), Meaning::Muted),
            ];
            if used >= usable {
                slots.push(piece(" ", Meaning::Text));
                slots.push(marked(sight.glyphs, Tone::STOP, "FULL"));
            }
            slots
        }
        Known::Blind(_) => {
            vec![marked(sight.glyphs, Tone::BLIND, "BLIND"), piece(" conns", Meaning::Muted)]
        }
        Known::Unknown(_) => vec![sight.unknown(), piece(" conns", Meaning::Muted)],
    }
}

/// The second line: what could be brought back; at its right, never cut, how many alerts fire.
pub fn recoverability(canvas: &mut Canvas<'_>, sight: &Sight<'_>, area: Rect) {
    let area =
        if area.width > 40 { Rect { x: area.x + 1, width: area.width - 2, ..area } } else { area };
    let counts = counts(sight);
    let start = canvas.line_right(area, &counts);
    let left = Rect { width: start.saturating_sub(area.x + 2), ..area };
    let line = recovery::line(sight, usize::from(left.width));
    canvas.line(left, &line);
}

fn counts(sight: &Sight<'_>) -> Line {
    let (critical, warning) = alerts::firing(sight);
    let mut line = Line::new();
    for (many, tone, word) in [(critical, Tone::STOP, "CRIT"), (warning, Tone::WARN, "WARN")] {
        if many > 0 {
            if !line.is_empty() {
                line.push(piece("  ", Meaning::Text));
            }
            line.push(marked(sight.glyphs, tone, &format!("{many} {word}")));
        }
    }
    let silent = alerts::silent(sight);
    if silent > 0 {
        // Neither fires nor is well: counted apart.
        let tone = Tone { mark: Mark::Dot, meaning: Meaning::Muted };
        let gap = if line.is_empty() { "" } else { "  " };
        line.push(piece(gap, Meaning::Text));
        line.push(marked(sight.glyphs, tone, &format!("{silent} silenced")));
    }
    if line.is_empty() {
        // None fires: one that somebody has taken, or that is about to fire, is still not "no alert".
        let quiet = [AlertState::Acked, AlertState::Pending, AlertState::Resolving];
        let alerts = &sight.snapshot.alerts;
        if let Some(first) =
            quiet.iter().find_map(|state| alerts.iter().find(|alert| alert.state == *state))
        {
            let many = alerts.iter().filter(|alert| alert.state == first.state).count();
            let words = format!("{many} {}", alerts::state_word(first.state));
            line.push(marked(sight.glyphs, alerts::tone(first), &words));
        }
    }
    if line.is_empty() && sight.server_stale().is_some() {
        line.push(marked(sight.glyphs, Tone::STALE, "alerts STALE"));
    }
    if line.is_empty() {
        let (tone, _) = checks::verdict(sight);
        let word = match tone.mark {
            Mark::Good => "no alert",
            Mark::Blind => "no alert, some BLIND",
            Mark::Warn => "no alert yet",
            _ => "no check yet",
        };
        line.push(marked(sight.glyphs, tone, word));
    }
    line
}

/// Draws the headline into the top of `area` and returns the rows that it took.
pub fn banner(canvas: &mut Canvas<'_>, banner: &Banner, tone: Tone, area: Rect) -> u16 {
    let chip = if tone.mark == Mark::Wait { Meaning::Title } else { Meaning::Banner };
    let width = usize::from(area.width.saturating_sub(2));
    let word = format!(" {} {} ", canvas.glyphs.mark(tone.mark), banner.word);
    let first = Rect { height: 1, ..area };
    let indent = crate::base::text::width(&word) + 1;
    let mut what = wrap(&banner.what, width.saturating_sub(indent).max(12)).into_iter();
    let head = vec![
        piece(word, chip),
        piece(format!(" {}", what.next().unwrap_or_default()), Meaning::Strong),
    ];
    canvas.line(first, &head);
    let rest: Vec<String> = what.collect();
    let mut lines: Vec<(String, Meaning)> =
        wrap(&rest.join(" "), width).into_iter().map(|line| (line, Meaning::Strong)).collect();
    lines.extend(wrap(&banner.help, width).into_iter().map(|line| (line, Meaning::Text)));
    let mut taken = 1;
    for (line, meaning) in lines.into_iter().take(usize::from(area.height.saturating_sub(1))) {
        canvas.line(
            Rect { x: area.x + 1, y: area.y + taken, width: area.width - 1, height: 1 },
            &[piece(line, meaning)],
        );
        taken += 1;
    }
    taken
}
