//! Whatever an endpoint says, what is told of it is sound and takes no more time than the text is long.

#![allow(clippy::expect_used, reason = "helpers of tests fail by panicking")]

use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

use howdah::{
    base::{
        clock::{Clock, Stamp, Timestamp},
        text::Text,
    },
    watch::sources::{
        exposition_text::parse,
        interpret::{Interpretation, Memory, Now, interpret},
        profiles::Profiles,
    },
};
use proptest::prelude::*;

/// Every line of every fixture.
fn all_lines() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/metrics");
    let files = std::fs::read_dir(folder).expect("fixtures");
    let texts =
        files.map(|file| std::fs::read_to_string(file.expect("a file").path()).expect("text"));
    let lines = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
    lines.filter(|line| !line.starts_with('#') && !line.is_empty()).collect()
}

fn at(scrape: usize) -> Now {
    after(Duration::from_secs(100 + 2 * scrape as u64))
}

/// So long after the start of this process, which was at the Unix time 1,700,000,000.
fn after(time: Duration) -> Now {
    let start = Timestamp::from_second(1_700_000_000).expect("a time");
    Now { stamp: Stamp::default().plus(time), wall: start.saturating_add(time).expect("a time") }
}

fn any_value() -> impl Strategy<Value = f64> {
    const USUAL: &[f64] =
        &[0.0, 1.0, 2.0, -1.0, 3.5, 1e300, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
    prop_oneof![proptest::sample::select(USUAL), any::<f64>(), (0_u32..50).prop_map(f64::from)]
}

/// A scrape of some of those lines with other values.
fn any_scrape() -> impl Strategy<Value = String> {
    let line = (proptest::sample::select(all_lines()), any_value());
    let scrape = proptest::collection::vec(line, 0..120);
    scrape.prop_map(|lines| {
        lines.into_iter().fold(String::new(), |mut text, (line, value)| {
            let series = line.rsplit_once(' ').map_or("", |(series, _)| series);
            let _ = writeln!(text, "{series} {value}");
            text
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_figures_what_is_told_is_sound(
        scrapes in proptest::collection::vec(any_scrape(), 1..4)
    ) {
        let mut told = Interpretation::default();
        for (scrape, text) in scrapes.iter().enumerate() {
            let read = parse(text.as_bytes());
            let source = Text::ours("app");
            told = interpret(&source, &told.memory, &read, &Profiles::built_in(), at(scrape));
        }
        let mut names = BTreeSet::new();
        for pool in &told.pools {
            prop_assert!(names.insert(pool.name.clone()), "{} stands twice", pool.name);
            prop_assert!(pool.max != Some(0), "no limit is no limit of zero");
        }
        names.clear();
        for breaker in &told.breakers {
            prop_assert!(names.insert(breaker.name.clone()), "{} stands twice", breaker.name);
            for rate in [breaker.failure_rate, breaker.slow_rate].into_iter().flatten() {
                prop_assert!((0.0..=1.0).contains(&rate), "{rate}");
            }
            prop_assert!(breaker.since <= Some(at(scrapes.len()).stamp));
        }
    }
}

#[test]
fn hostile_text_takes_no_more_time_than_its_length() {
    const SIZE: usize = 512 << 10;
    let fill = |unit: &str| unit.repeat(SIZE / unit.len());
    let labels = (0..60).fold(String::new(), |mut all, n| {
        let _ = write!(all, "l{n}=\"\\\\\",");
        all
    });
    let name = "gobreaker_".repeat(90);
    let hostile = [
        fill("{"),
        fill("x{a=\"\n"),
        fill("\\"),
        fill("# TYPE x y\n"),
        fill("x{a=\"\",\n"),
        fill("x 1\n"),
        fill(&format!("x{{{labels}}} 1\n")),
        fill(&format!("{name} 1\n")),
        fill("x{y=\"").replace('\n', ""),
        fill("db_connection_pool_size{database=\"app\",state=\"idle\"} 1\n"),
    ];
    let clock = Clock::system();
    for text in &hostile {
        let start = clock.now();
        let read = parse(text.as_bytes());
        interpret(&Text::ours("app"), &Memory::default(), &read, &Profiles::built_in(), at(0));
        let took = clock.now().since(start);
        // Built for debugging it takes about half a second; anything quadratic would take an hour.
        assert!(took < Duration::from_secs(20), "{took:?} for {}", &text[..40]);
    }
}
