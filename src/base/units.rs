//! Figures as people read them.

use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// An age or a wait in at most six cells: `380us`, `2ms`, `1.9s`, `42s`, `1m12s`, `3h05m`, `2d4h`, `41d`.
pub fn span(d: Duration) -> String {
    let secs = d.as_secs();
    match secs {
        0 if d < Duration::from_millis(1) => format!("{}us", d.as_micros()),
        0 => format!("{}ms", d.as_millis()),
        1..10 => format!("{}.{}s", secs, d.subsec_millis() / 100),
        10..MINUTE => format!("{secs}s"),
        MINUTE..HOUR => format!("{}m{:02}s", secs / MINUTE, secs % MINUTE),
        HOUR..DAY => format!("{}h{:02}m", secs / HOUR, secs % HOUR / MINUTE),
        _ if secs < 10 * DAY => format!("{}d{}h", secs / DAY, secs % DAY / HOUR),
        _ => format!("{}d", secs / DAY),
    }
}

/// An age in whole seconds, for what changes once a second: `0s`, `12s`, `1m12s`, `3h05m`, `41d`.
pub fn age(d: Duration) -> String {
    if d.as_secs() < MINUTE { format!("{}s", d.as_secs()) } else { span(d) }
}

/// A duration as a clock shows it: `0:42`, `15:00`, `1:02:03`.
pub fn clock(d: Duration) -> String {
    let secs = d.as_secs();
    let (h, m, s) = (secs / HOUR, secs % HOUR / MINUTE, secs % MINUTE);
    if h == 0 { format!("{m}:{s:02}") } else { format!("{h}:{m:02}:{s:02}") }
}

/// Reads a duration as people write it: `500ms`, `10s`, `15m`, `1h30m`, `2d`. A number without a
/// unit is refused, because nobody can tell seconds from milliseconds.
pub fn parse_span(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, after) = tail.split_at(letters);
        let number: u64 = number.parse().ok()?;
        let millis = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" | "min" => 1000 * MINUTE,
            "h" => 1000 * HOUR,
            "d" => 1000 * DAY,
            _ => return None,
        };
        total = total.checked_add(Duration::from_millis(number.checked_mul(millis)?))?;
        rest = after.trim_start();
    }
    (!text.trim().is_empty()).then_some(total)
}

/// A size in PostgreSQL's own units (powers of 1024, as `pg_size_pretty` writes them): `512 B`,
/// `4.1 GB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value < 99.95 {
        format!("{value:.1} {}", UNITS[unit])
    } else {
        format!("{value:.0} {}", UNITS[unit])
    }
}

/// A count in at most five cells: `999`, `1204`, `12.3k`, `4.5M`.
pub fn count(n: u64) -> String {
    match n {
        0..10_000 => n.to_string(),
        10_000..100_000 => format!("{:.1}k", n as f64 / 1e3),
        100_000..1_000_000 => format!("{}k", n / 1_000),
        1_000_000..100_000_000 => format!("{:.1}M", n as f64 / 1e6),
        100_000_000..1_000_000_000 => format!("{}M", n / 1_000_000),
        _ => format!("{:.1}G", n as f64 / 1e9),
    }
}

/// A measured value without needless digits: `0.21`, `3.5`, `42`, `1204`.
pub fn number(value: f64) -> String {
    let text = match value.abs() {
        v if v >= 100.0 || v == v.trunc() => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    };
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_keep_to_six_cells() {
        for (micros, text) in [
            (0, "0us"),
            (380, "380us"),
            (2_000, "2ms"),
            (1_900_000, "1.9s"),
            (42_000_000, "42s"),
            (72_000_000, "1m12s"),
            (11_100_000_000, "3h05m"),
            (187_200_000_000, "2d4h"),
            (3_542_400_000_000, "41d"),
        ] {
            let got = span(Duration::from_micros(micros));
            assert_eq!(got, text);
            assert!(got.len() <= 6, "{got}");
        }
    }

    #[test]
    fn clocks_read_as_clocks() {
        assert_eq!(clock(Duration::from_secs(42)), "0:42");
        assert_eq!(clock(Duration::from_mins(15)), "15:00");
        assert_eq!(clock(Duration::from_secs(3723)), "1:02:03");
    }

    #[test]
    fn durations_are_read_with_their_unit_only() {
        assert_eq!(parse_span("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse_span("1h30m"), Some(Duration::from_mins(90)));
        assert_eq!(parse_span(" 2 d"), None);
        assert_eq!(parse_span("15"), None);
        assert_eq!(parse_span(""), None);
        assert_eq!(parse_span("99999999999999999999d"), None);
    }

    #[test]
    fn sizes_are_in_powers_of_1024() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(16 << 20), "16.0 MB");
        assert_eq!(bytes(4_402_341_478), "4.1 GB");
        assert_eq!(bytes(1023 * 1024), "1023 kB");
        assert_eq!(bytes(1024 * 1024 - 1), "1.0 MB");
    }

    #[test]
    fn counts_and_numbers_stay_short() {
        assert_eq!(count(1204), "1204");
        assert_eq!(count(12_345), "12.3k");
        assert_eq!(count(4_500_000), "4.5M");
        assert_eq!(number(0.2), "0.2");
        assert_eq!(number(42.0), "42");
        assert_eq!(number(33.333), "33.3");
        assert_eq!(number(f64::NAN), "NaN");
    }
}
