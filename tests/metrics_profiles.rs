//! Every built-in profile against an exposition as its library writes it, and users' own profiles.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests fail by panicking")]

use std::{collections::BTreeSet, fmt::Write as _, path::PathBuf, time::Duration};

use howdah::{
    base::{
        clock::{Stamp, Timestamp},
        text::Text,
        units,
    },
    watch::{
        snapshot::{Breaker, Pool, WaitMeaning},
        sources::{
            exposition_text::parse,
            interpret::{Interpretation, Memory, Now, interpret},
            profile::Profile,
            profiles::Profiles,
        },
    },
};

fn fixture(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/metrics").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// When the nth scrape is: at 100 s, 102 s, ...
fn at(scrape: usize) -> Now {
    after(Duration::from_secs(100 + 2 * scrape as u64))
}

/// So long after the start of this process, which was at the Unix time 1,700,000,000.
fn after(time: Duration) -> Now {
    let start = Timestamp::from_second(1_700_000_000).expect("a time");
    Now { stamp: Stamp::default().plus(time), wall: start.saturating_add(time).expect("a time") }
}

/// Interprets one text after the other and gives what the last one tells.
fn tell(texts: &[&str], profiles: &Profiles) -> Interpretation {
    let mut told = Interpretation::default();
    for (scrape, text) in texts.iter().enumerate() {
        let read = parse(text.as_bytes());
        assert_eq!(read.unreadable, []);
        told = interpret(&Text::ours("app"), &told.memory, &read, profiles, at(scrape));
    }
    told
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn pool(pool: &Pool) -> String {
    let mut line = format!(
        "{} {:?} {}/{} idle {} waiting {} timeouts {} wait ",
        pool.name,
        pool.kind,
        or_dash(pool.in_use),
        or_dash(pool.max),
        or_dash(pool.idle),
        or_dash(pool.waiting),
        or_dash(pool.timeouts),
    );
    line += &pool.wait.map_or_else(
        || "-".to_owned(),
        |wait| {
            let meaning = match wait.meaning {
                WaitMeaning::LongestNow => "longest",
                WaitMeaning::MeanRecent => "mean",
                WaitMeaning::P99Recent => "p99",
                WaitMeaning::MaxRecent => "max",
            };
            format!("{meaning} {}", units::span(wait.value))
        },
    );
    if let Some(note) = &pool.note {
        let _ = write!(line, " {note}");
    }
    line
}

fn breaker(breaker: &Breaker) -> String {
    let seconds = |stamp: Stamp| stamp.since(Stamp::default()).as_secs_f64();
    let exact = if breaker.since_exact { "" } else { "~" };
    let probes = breaker.probes.map(|(good, wanted)| format!(" probes {good}/{wanted}"));
    format!(
        "{} {} since {exact}{} failure {} slow {} calls {} rejected {} next {}{}",
        breaker.name,
        breaker.state.word(),
        or_dash(breaker.since.map(seconds)),
        or_dash(breaker.failure_rate),
        or_dash(breaker.slow_rate),
        or_dash(breaker.calls),
        or_dash(breaker.rejected),
        or_dash(breaker.next_try.map(seconds)),
        probes.unwrap_or_default(),
    )
}

fn lines(told: &Interpretation) -> Vec<String> {
    told.pools.iter().map(pool).chain(told.breakers.iter().map(breaker)).collect()
}

/// The files that are scraped one after the other, and what is known after the last one.
const EXPECTED: &[(&[&str], &[&str])] = &[
    (
        &["howdah.1"],
        &[
            "app Application 8/20 idle 4 waiting 3 timeouts 5 wait -",
            "app CLOSED since 38.5 failure 0.625 slow 0.25 calls 16 rejected 41 next -",
            "audit FORCED OPEN since ~100 failure - slow - calls - rejected - next -",
            "mail HALF-OPEN since ~100 failure - slow - calls - rejected - next - probes 2/3",
        ],
    ),
    (
        &["howdah.1", "howdah.2"],
        &[
            "app Application 9/20 idle 3 waiting 3 timeouts 6 wait p99 100ms",
            "app OPEN since 100.5 failure 0.625 slow 0.25 calls 16 rejected 41 next 120",
            "audit FORCED OPEN since ~100 failure - slow - calls - rejected - next -",
            "mail HALF-OPEN since ~100 failure - slow - calls - rejected - next - probes 2/3",
        ],
    ),
    // The application restarted: its counters began again.
    (
        &["howdah.2", "howdah.1"],
        &[
            "app Application 8/20 idle 4 waiting 3 timeouts 5 wait p99 10ms",
            "app CLOSED since 100 failure 0.625 slow 0.25 calls 16 rejected 41 next -",
            "audit FORCED OPEN since ~100 failure - slow - calls - rejected - next -",
            "mail HALF-OPEN since ~100 failure - slow - calls - rejected - next - probes 2/3",
        ],
    ),
    (
        &["go-database-sql.1"],
        &[
            "orders Application 24/25 idle 1 waiting - timeouts - wait -",
            "reports Application 2/- idle 1 waiting - timeouts - wait -",
        ],
    ),
    (
        &["go-database-sql.1", "go-database-sql.2"],
        &[
            "orders Application 25/25 idle 0 waiting - timeouts - wait mean 125ms",
            "reports Application 2/- idle 1 waiting - timeouts - wait mean 0us",
        ],
    ),
    // A full pool in which no wait began or ended: somebody may wait since long.
    (
        &["go-database-sql.2", "go-database-sql.2"],
        &[
            "orders Application 25/25 idle 0 waiting - timeouts - wait -",
            "reports Application 2/- idle 1 waiting - timeouts - wait mean 0us",
        ],
    ),
    (
        &["go-database-sql.2", "go-database-sql.1"],
        &[
            "orders Application 24/25 idle 1 waiting - timeouts - wait mean 40ms",
            "reports Application 2/- idle 1 waiting - timeouts - wait mean 0us",
        ],
    ),
    (
        &["pgxpool.1", "pgxpool.2"],
        &[
            "7/b Application 1/4 idle - waiting - timeouts - wait -",
            "ledger Application 6/8 idle 2 waiting - timeouts 4 wait mean 25ms",
        ],
    ),
    (
        &["hikaricp-micrometer.1"],
        &["HikariPool-1 Application 4/10 idle 6 waiting 0 timeouts 0 wait max 31ms"],
    ),
    (
        &["hikaricp-micrometer.1", "hikaricp-micrometer.2"],
        &["HikariPool-1 Application 7/10 idle 3 waiting 2 timeouts 4 wait mean 5ms"],
    ),
    (&["hikaricp-native.1"], &["main Application 6/15 idle 2 waiting 1 timeouts 2 wait p99 5ms"]),
    (
        &["hikaricp-native.1", "hikaricp-native.2"],
        &["main Application 6/15 idle 2 waiting 1 timeouts 2 wait mean 4ms"],
    ),
    (
        &["spring-jdbc.1"],
        &[
            "dataSource Application 3/8 idle 5 waiting - timeouts - wait -",
            "reporting Application 0/- idle 1 waiting - timeouts - wait -",
        ],
    ),
    (
        &["agroal.1", "agroal.2"],
        &["default Application 3/- idle 7 waiting 1 timeouts - wait mean 12ms"],
    ),
    (
        &["opentelemetry.1", "opentelemetry.2"],
        &["billing Application 6/10 idle 4 waiting 2 timeouts 3 wait p99 9ms"],
    ),
    (
        &["npgsql.1"],
        &[
            "Host=db;Database=shop Application 91/100 idle 9 waiting 0 timeouts 0 wait -",
            "b Application 2/- idle - waiting 5 timeouts - wait -",
        ],
    ),
    (
        &["opentelemetry-old.1", "opentelemetry-old.2"],
        &["HikariPool-1 Application 9/10 idle 1 waiting 4 timeouts 1 wait mean 75ms"],
    ),
    (
        &["rails.1"],
        &[
            "app Application 1/5 idle - waiting - timeouts - wait -",
            "primary Application 8/10 idle 1 waiting 2 timeouts - wait -",
        ],
    ),
    (
        &["sqlalchemy.1"],
        &[
            "jobs Application 12/15 idle 0 waiting - timeouts - wait -",
            "web Application 4/- idle 1 waiting - timeouts - wait -",
        ],
    ),
    (
        &["pgbouncer-exporter.1"],
        &[
            "app/ann PgBouncer 0/3 idle 2 waiting 0 timeouts - wait longest 0us paused",
            "app/postgres PgBouncer 3/3 idle 0 waiting 5 timeouts - wait longest 2.3s paused",
        ],
    ),
    (
        &["resilience4j.1"],
        &[
            "payments CLOSED since ~100 failure - slow - calls 4 rejected 0 next -",
            "quiet METRICS since ~100 failure - slow - calls - rejected - next -",
        ],
    ),
    (
        &["resilience4j.1", "resilience4j.2"],
        &[
            "payments HALF-OPEN since 102 failure 0.6 slow 0.125 calls 10 rejected 33 next -",
            "quiet METRICS since ~100 failure - slow - calls - rejected - next -",
        ],
    ),
    // Three states have been there: which one lasts shows only when one grows.
    (
        &["microprofile.1"],
        &["org.shop.Stock.read UNKNOWN since ~100 failure - slow - calls - rejected 10 next -"],
    ),
    (
        &["microprofile.1", "microprofile.2"],
        &["org.shop.Stock.read OPEN since ~102 failure 0.25 slow - calls 8 rejected 30 next -"],
    ),
    (
        &["smallrye.1"],
        &["org.shop.Stock.read HALF-OPEN since ~100 failure - slow - calls - rejected 10 next -"],
    ),
    (
        &["tower-resilience.1"],
        &[
            "fresh CLOSED since ~100 failure - slow - calls - rejected - next -",
            "pg HALF-OPEN since ~100 failure - slow - calls - rejected - next -",
        ],
    ),
    (
        &["tower-resilience.1", "tower-resilience.2"],
        &[
            "fresh CLOSED since ~100 failure - slow - calls - rejected - next -",
            "pg OPEN since 102 failure 1 slow - calls 1 rejected 4 next -",
        ],
    ),
    (
        &["polly.1"],
        &["orders/CircuitBreaker UNKNOWN since ~100 failure - slow - calls - rejected - next -"],
    ),
    (
        &["polly.1", "polly.2", "polly.2"],
        &["orders/CircuitBreaker OPEN since ~102 failure - slow - calls - rejected - next -"],
    ),
    // gobreaker's 1 is half-open, where ours is open.
    (
        &["gobreaker.1"],
        &[
            "audit OPEN since ~100 failure - slow - calls - rejected - next -",
            "cart OPEN since ~100 failure - slow - calls - rejected - next -",
            "odd UNKNOWN since ~100 failure - slow - calls - rejected - next -",
            "read CLOSED since ~100 failure - slow - calls - rejected - next -",
            "write HALF-OPEN since ~100 failure - slow - calls - rejected - next -",
        ],
    ),
];

#[test]
fn every_library_is_read_as_it_writes() {
    for (files, expected) in EXPECTED {
        let texts: Vec<String> =
            files.iter().map(|file| fixture(&format!("{file}.prom"))).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        assert_eq!(lines(&tell(&texts, &Profiles::built_in())), *expected, "{files:?}");
    }
}

#[test]
fn every_built_in_profile_and_every_fixture_is_tested() {
    let tested: BTreeSet<String> = EXPECTED
        .iter()
        .flat_map(|(files, _)| files.iter().map(|file| format!("{file}.prom")))
        .collect();
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/metrics");
    let there: BTreeSet<String> = std::fs::read_dir(folder)
        .expect("fixtures")
        .map(|file| file.expect("a file").file_name().into_string().expect("a name"))
        .collect();
    assert_eq!(tested, there);
    for profile in &Profiles::built_in().list {
        assert!(there.contains(&format!("{}.1.prom", profile.name)), "{}", profile.name);
        assert!(!profile.about.is_empty(), "{}", profile.name);
    }
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/profiles"));
    assert_eq!(files.expect("profiles").count(), Profiles::built_in().list.len());
}

#[test]
fn all_libraries_in_one_process_keep_apart() {
    let all: String = [
        "howdah.1",
        "go-database-sql.1",
        "hikaricp-micrometer.1",
        "resilience4j.1",
        "gobreaker.1",
        "tower-resilience.1",
        "opentelemetry.1",
        "opentelemetry-old.1",
    ]
    .iter()
    .map(|file| fixture(&format!("{file}.prom")))
    .collect();
    let told = tell(&[&all], &Profiles::built_in());
    let names: Vec<&str> = told.pools.iter().map(|pool| &*pool.name).collect();
    // Spring's and old OpenTelemetry's view of the same pools keep silent.
    assert_eq!(names, ["orders", "reports", "HikariPool-1", "app", "billing"]);
    let names: BTreeSet<&str> = told.breakers.iter().map(|breaker| &*breaker.name).collect();
    assert_eq!(names.len(), told.breakers.len());
}

#[test]
fn names_are_made_unique_by_process_then_profile_then_number() {
    let text = "\
        go_sql_in_use_connections{db_name=\"a\",pod=\"p1\"} 1\n\
        go_sql_in_use_connections{db_name=\"a\",pod=\"p2\"} 2\n\
        go_sql_in_use_connections{db_name=\"b\"} 3\n\
        pgxpool_acquired_conns{db=\"b\"} 4\n\
        go_sql_in_use_connections{db_name=\"x\\u{202e}\"} 5\n\
        pgxpool_acquired_conns{db=\"x<U+202E>\"} 6\n";
    let text = text.replace("\\u{202e}", "\u{202e}");
    let told = tell(&[&text], &Profiles::built_in());
    let named: Vec<(&str, Option<u64>)> =
        told.pools.iter().map(|pool| (&*pool.name, pool.in_use)).collect();
    assert_eq!(
        named,
        [
            ("a @ p1", Some(1)),
            ("a @ p2", Some(2)),
            ("b (go-database-sql)", Some(3)),
            ("x<U+202E>", Some(5)),
            ("b (pgxpool)", Some(4)),
            ("x<U+202E> #2", Some(6)),
        ]
    );
}

#[test]
fn unknown_figures_stay_unknown() {
    let text = "\
        go_sql_in_use_connections{db_name=\"a\"} NaN\n\
        go_sql_idle_connections{db_name=\"a\"} -3\n\
        go_sql_max_open_connections{db_name=\"a\"} +Inf\n\
        hikaricp_connections_active{pool=\"p\"} 1\n\
        hikaricp_connections_max{pool=\"p\"} NaN\n\
        db_circuit_breaker_state{database=\"d\"} NaN\n\
        db_circuit_breaker_rejected_total{database=\"d\"} 4\n";
    let told = tell(&[text], &Profiles::built_in());
    assert_eq!(
        lines(&told),
        [
            "p Application 1/- idle - waiting - timeouts - wait -",
            "d UNKNOWN since ~100 failure - slow - calls - rejected 4 next -",
        ]
    );
}

#[test]
fn too_many_pools_are_bounded_and_told() {
    let mut text = String::new();
    for n in 0..700 {
        let _ = writeln!(text, "go_sql_in_use_connections{{db_name=\"d{n}\"}} 1");
    }
    let told = tell(&[&text], &Profiles::built_in());
    assert_eq!((told.pools.len(), told.left_out), (500, 200));
}

#[test]
fn a_change_behind_a_long_gap_is_not_exact() {
    let state = |n| format!("gobreaker_state{{name=\"x\"}} {n}\n");
    let profiles = Profiles::built_in();
    let look = |memory: &Memory, n, seconds| {
        let text = state(n);
        let when = after(Duration::from_secs(seconds));
        interpret(&Text::ours("app"), memory, &parse(text.as_bytes()), &profiles, when)
    };
    let first = look(&Memory::default(), 0, 100);
    let later = look(&first.memory, 2, 300);
    assert_eq!(later.breakers[0].since, Some(Stamp::default().plus(Duration::from_mins(5))));
    assert!(!later.breakers[0].since_exact);
    let soon = look(&later.memory, 1, 302);
    assert!(soon.breakers[0].since_exact);
    let same = look(&soon.memory, 1, 304);
    assert_eq!(same.breakers[0].since, soon.breakers[0].since);
}

#[test]
fn an_exporters_clock_may_be_wrong() {
    let profiles = Profiles::built_in();
    let look = |memory: &Memory, state: u32, unix: f64, seconds| {
        let text = format!(
            "db_circuit_breaker_state{{database=\"x\"}} {state}\n\
             db_circuit_breaker_state_since_seconds{{database=\"x\"}} {unix}\n"
        );
        let now = after(Duration::from_secs(seconds));
        interpret(&Text::ours("app"), memory, &parse(text.as_bytes()), &profiles, now)
    };
    let since = |told: &Interpretation| {
        let since = told.breakers[0].since.expect("known").since(Stamp::default());
        (since.as_secs(), told.breakers[0].since_exact)
    };
    // It told a change before this process began, which a stamp cannot hold.
    let first = look(&Memory::default(), 0, 1_699_990_000.0, 100);
    assert_eq!(since(&first), (0, false));
    // Its clock is an hour ahead: it opens "in the future", which was between two scrapes.
    let opened = look(&first.memory, 1, 1_700_003_701.0, 102);
    assert_eq!(since(&opened), (102, true));
    // Its clock is an hour behind: the same.
    let opened = look(&first.memory, 1, 1_699_996_501.0, 102);
    assert_eq!(since(&opened), (100, true));
    let same = look(&opened.memory, 1, 1_699_996_501.0, 104);
    assert_eq!(since(&same), (100, true));
    // It was half-open in between, which we did not see, and opened again.
    let again = look(&same.memory, 1, 1_699_996_505.0, 106);
    assert_eq!(since(&again), (104, true));
}

const OWN: &str = r#"
name = "shop"
[[pool]]
name = "{db}"
in_use = 'shop_db_open - shop_db_idle'
max = 'shop_db_limit'
wait = [{ longest = 'shop_db_oldest_wait_ms', unit = "ms" }]
[[breaker]]
name = "{db}"
failure_rate = [{ gauge = 'shop_breaker_failures', full = 100 }]
[[breaker.state]]
metric = 'shop_breaker'
read = "number"
values = { 0 = "open", 1 = "closed" }
"#;

#[test]
fn users_write_profiles_of_the_same_kind() {
    let text = "shop_db_open{db=\"a\"} 9\nshop_db_idle{db=\"a\"} 2\nshop_db_limit{db=\"a\"} 10\n\
        shop_db_oldest_wait_ms{db=\"a\"} 70\nshop_breaker{db=\"a\"} 0\nshop_breaker_failures{db=\"a\"} 7\n";
    let profiles = Profiles::with(vec![Profile::from_toml(OWN).expect("sound")]).expect("sound");
    let expected = [
        "a Application 7/10 idle - waiting - timeouts - wait longest 70ms",
        "a OPEN since ~100 failure 0.07 slow - calls - rejected - next -",
    ];
    assert_eq!(lines(&tell(&[text], &profiles)), expected);
    assert_eq!(lines(&tell(&[text], &Profiles::built_in())), [""; 0]);
}

#[test]
fn a_users_profile_takes_the_place_of_a_built_in_one() {
    let own = "name = \"gobreaker\"\n[[breaker]]\nname = \"{name}\"\n[[breaker.state]]\n\
        metric = 'gobreaker_state'\nread = \"number\"\nvalues = { 0 = \"open\", 1 = \"closed\" }\n";
    let profiles = Profiles::with(vec![Profile::from_toml(own).expect("sound")]).expect("sound");
    let told = tell(&["gobreaker_state{name=\"x\"} 0\n"], &profiles);
    assert_eq!(lines(&told), ["x OPEN since ~100 failure - slow - calls - rejected - next -"]);
    assert_eq!(profiles.list.len(), Profiles::built_in().list.len());
}

#[test]
fn a_bad_profile_says_what_is_wrong_with_it() {
    let pool = "name = \"p\"\n[[pool]]\nname = \"{a}\"\n";
    let state = "name = \"p\"\n[[breaker]]\n[[breaker.state]]\nmetric = 'm'\n";
    for (text, words) in [
        ("", "metrics profile `?`: "),
        ("name = 3\n", "metrics profile `?`: "),
        ("name = \"p\"\n", "`p`: describes neither a pool nor a breaker"),
        (&format!("{pool}in_us = 'x'\n"), "unknown field `in_us`"),
        (&format!("{pool}idle = 'x{{'\n"), "`x{`: no name where one must stand"),
        (&format!("{pool}idle = 'x y'\n"), "`x y`: cannot read from `y` on"),
        (&format!("{pool}idle = 3\n"), "a string or a list of strings"),
        (&format!("{pool}timeouts = 'x'\n"), "wants one of in_use, idle, max, waiting"),
        (&format!("{pool}idle = 'x'\nkind = \"server room\"\n"), "unknown variant `server room`"),
        (&format!("{pool}idle = 'x'\n[[pool.wait]]\nlongest = 'y'\n"), "missing field `unit`"),
        (&format!("{pool}idle = 'x'\n[[pool.wait]]\nunit = \"h\"\n"), "unknown variant `h`"),
        (&format!("{pool}idle = 'x'\n[[pool.wait]]\nunit = \"s\"\n"), "a wait wants one of"),
        (&format!("{pool}idle = 'x'\n[[pool.wait]]\nunit = \"s\"\nsum = 'y'\n"), "together"),
        (
            &format!("{state}read = \"number\"\nvalues = {{ open = \"open\" }}\n"),
            "`open` is not a number",
        ),
        (&format!("{state}read = \"flag\"\nvalues = {{ a = \"open\" }}\n"), "wants a `label`"),
        (&format!("{state}read = \"number\"\nvalues = {{}}\n"), "wants `values`"),
        (
            &format!("{state}read = \"number\"\nvalues = {{ 0 = \"ajar\" }}\n"),
            "unknown variant `ajar`",
        ),
        (
            &format!(
                "{state}read = \"flag\"\nlabel = \"s\"\nfrom = \"t\"\nvalues = {{ a = \"open\" }}\n"
            ),
            "`from`",
        ),
        (
            &format!(
                "{state}read = \"number\"\nvalues = {{ 0 = \"open\" }}\n[[breaker.failure_rate]]\nbad = 'b'\n"
            ),
            "a rate wants",
        ),
        ("name = \"p\"\n[[breaker]]\nname = \"{a}\"\n", "missing field `state`"),
    ] {
        let error = Profile::from_toml(text).expect_err(text).to_string();
        assert!(error.contains(words), "{text}\n{error}");
    }
    let one = Profile::from_toml(OWN).expect("sound");
    let error = Profiles::with(vec![one.clone(), one.clone()]).expect_err("two of a name");
    assert_eq!(error.to_string(), "metrics profile `shop`: there are two of that name");
    let mut lost = one;
    lost.yields_to.push("nobody".to_owned());
    let error = Profiles::with(vec![lost]).expect_err("nobody").to_string();
    assert!(error.contains("`nobody`, which does not exist"), "{error}");
}
