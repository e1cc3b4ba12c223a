//! What a frame costs: the time to draw it, and the bytes that a changing one sends to the terminal.
//!
//! `cargo bench --bench draw`
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::too_many_lines,
    reason = "a benchmark: its figures are for people, its fixtures cannot fail"
)]

#[path = "../tests/support/sights/mod.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod sights;

use std::{hint::black_box, sync::Arc, time::Duration};

use criterion::{BenchmarkId, Criterion, criterion_group};
use howdah::{
    base::clock::Timestamp,
    console::{
        command,
        model::{Model, Pane, UiState},
        screen::Painter,
        term::backend::FrameBackend,
        theme::{Depth, Glyphs, Themes},
    },
    watch::snapshot::Snapshot,
};
use ratatui::{Terminal, buffer::Buffer, layout::Rect};
use sights::NOW;

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 60)];

fn model(snapshot: Snapshot) -> Model {
    let snapshot = Arc::new(snapshot);
    Model {
        latest: Arc::clone(&snapshot),
        snapshot,
        keys: command::keymap(&std::collections::BTreeMap::default()).expect("the keys are right"),
        state: UiState { theme: "ansi".to_owned(), ..UiState::default() },
        ..Model::default()
    }
}

fn painter() -> Painter {
    Painter::new(Themes::built_in(), Depth::Ansi16, Glyphs::Unicode)
}

fn wall(tick: u64) -> Timestamp {
    Timestamp::from_second(sights::wall().as_second() + tick as i64).expect("a moment")
}

/// The snapshot a few seconds later: every pool, trend, breaker and age has moved.
fn live(mut snapshot: Snapshot, tick: u64) -> Snapshot {
    let now = NOW.plus(Duration::from_secs(tick));
    for source in &mut snapshot.sources {
        source.last_good = source.last_good.map(|_| now);
    }
    snapshot.link.last_answer = Some(now);
    for (n, pool) in snapshot.pools.iter_mut().enumerate() {
        let max = pool.max.unwrap_or(1);
        let used = (pool.in_use.unwrap_or(0) + tick * (n as u64 + 3)) % (max + 1);
        pool.in_use = Some(used);
        pool.trend.rotate_left(tick as usize % 48);
    }
    for breaker in &mut snapshot.breakers {
        breaker.calls = breaker.calls.map(|calls| calls + tick * 7);
    }
    snapshot
}

fn draw(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("draw");
    let mut zoomed = model(sights::degraded());
    zoomed.state.zoom = Some(Pane::Alerts);
    let mut crowded = sights::crowded();
    let many = crowded.pools[6].clone();
    crowded.pools.extend((0..20_000).map(|_| many.clone()));
    for (name, model) in [
        ("overview", model(sights::degraded())),
        ("zoom", zoomed),
        ("20,000 pools", model(crowded)),
    ] {
        for (width, height) in SIZES {
            let area = Rect::new(0, 0, width, height);
            let mut painter = painter();
            let mut buf = Buffer::empty(area);
            let id = BenchmarkId::new(name, format!("{width}x{height}"));
            group.bench_with_input(id, &model, |bencher, model| {
                bencher.iter(|| {
                    black_box(painter.paint(model, NOW, sights::wall(), area, &mut buf));
                });
            });
        }
    }
    group.finish();
}

/// Bytes of a frame: the first, one in which nothing changed, one in which only a second passed, and one
/// in which everything that can move has moved.
fn bytes() {
    println!("\nbytes per frame (16 colours)");
    println!("{:>8}  {:>6}  {:>9}  {:>6}  {:>6}", "size", "first", "unchanged", "second", "live");
    for (width, height) in SIZES {
        let area = Rect::new(0, 0, width, height);
        let mut painter = painter();
        let backend = FrameBackend::new(std::io::sink(), (width, height));
        let mut terminal = Terminal::new(backend).expect("a terminal");
        let mut frame = |snapshot: Snapshot, tick: u64| {
            let model = model(snapshot);
            let before = terminal.backend().frames().counts().bytes;
            terminal
                .draw(|frame| {
                    let now = NOW.plus(Duration::from_secs(tick));
                    painter.paint(&model, now, wall(tick), area, frame.buffer_mut());
                })
                .expect("drawn");
            terminal.backend_mut().frames_mut().commit().expect("sent");
            terminal.backend().frames().counts().bytes - before
        };
        let base = sights::healthy;
        let first = frame(base(), 0);
        let unchanged = frame(base(), 0);
        let second = frame(live(base(), 0), 1);
        let ticks: Vec<u64> = (2..12).map(|tick| frame(live(base(), tick), tick)).collect();
        let mean = ticks.iter().sum::<u64>() / ticks.len() as u64;
        let size = format!("{width}x{height}");
        println!("{size:>8}  {first:>6}  {unchanged:>9}  {second:>6}  {mean:>6}");
    }
}

criterion_group!(benches, draw);

fn main() {
    benches();
    bytes();
    Criterion::default().configure_from_args().final_summary();
}
