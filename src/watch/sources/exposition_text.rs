//! A reader of metrics as text: Prometheus text format 0.0.4 and OpenMetrics 1.0, with quoted UTF-8
//! names (<https://prometheus.io/docs/instrumenting/exposition_formats/>,
//! <https://prometheus.io/docs/specs/om/open_metrics_spec/>).
//!
//! It reads what it can, in one pass, and tells which lines it could not read: an application whose
//! one metric is broken still shows its pool. It never panics, whatever the bytes.

use std::borrow::Cow;

use crate::base::text::{Text, fit};

/// Longest line that is looked at, in bytes.
const MAX_LINE: usize = 64 * 1024;
/// Most labels of one sample.
const MAX_LABELS: usize = 64;
/// Most samples kept of one exposition.
const MAX_SAMPLES: usize = 100_000;
/// Most families whose type, unit and help are kept.
const MAX_FAMILIES: usize = 10_000;
/// Most unreadable lines kept with reason and excerpt; all are counted.
const MAX_UNREADABLE: usize = 20;
/// Cells of an excerpt.
const EXCERPT: usize = 60;

/// Everything that was read of one exposition.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exposition<'a> {
    /// The samples that were wanted, in the order of the text.
    pub samples: Vec<Sample<'a>>,
    /// What `# TYPE`, `# UNIT` and `# HELP` told, in the order of the text.
    pub families: Vec<Family<'a>>,
    /// The first lines that could not be read; at most 20.
    pub unreadable: Vec<Unreadable>,
    /// How many lines could not be read, in all.
    pub unreadable_count: u32,
    /// Readable samples, also those that nobody wanted.
    pub seen: u64,
    /// True when `# EOF` was there: an OpenMetrics exposition without it was cut.
    pub ended: bool,
}

/// One value of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'a> {
    /// The name, with its suffix such as `_bucket` or `_total`.
    pub name: Cow<'a, str>,
    /// Labels in the order of the text; no name stands twice.
    pub labels: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// The value; may be NaN or infinite.
    pub value: f64,
    /// The timestamp as written: milliseconds in the Prometheus format, seconds in OpenMetrics.
    pub timestamp: Option<f64>,
}

impl Sample<'_> {
    /// The value of that label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| label == name).map(|(_, value)| &**value)
    }
}

/// What the exposition says about a family of samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Family<'a> {
    /// Its name, without suffixes.
    pub name: Cow<'a, str>,
    /// The word after `# TYPE`, such as `counter`.
    pub kind: Option<Cow<'a, str>>,
    /// The word after `# UNIT`, such as `seconds`.
    pub unit: Option<Cow<'a, str>>,
    /// The words after `# HELP`.
    pub help: Option<Cow<'a, str>>,
}

/// A line that could not be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Unreadable {
    /// Its number, from 1.
    pub line: u32,
    /// Why.
    pub reason: &'static str,
    /// How it begins, made safe to show.
    pub excerpt: Text,
}

/// Reads an exposition and keeps every sample (the first 100,000).
pub fn parse(bytes: &[u8]) -> Exposition<'_> {
    parse_wanted(bytes, |_| true)
}

/// Reads an exposition and keeps the samples whose name is wanted (the first 100,000 of those).
pub fn parse_wanted(bytes: &[u8], wanted: impl Fn(&str) -> bool) -> Exposition<'_> {
    let mut read = Exposition::default();
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Err(reason) = read.line(line, &wanted) {
            read.unreadable_count = read.unreadable_count.saturating_add(1);
            if read.unreadable.len() < MAX_UNREADABLE {
                let line_number = u32::try_from(number + 1).unwrap_or(u32::MAX);
                read.unreadable.push(Unreadable {
                    line: line_number,
                    reason,
                    excerpt: excerpt(line),
                });
            }
        }
    }
    read
}

fn excerpt(line: &[u8]) -> Text {
    let start = String::from_utf8_lossy(&line[..line.len().min(4 * EXCERPT)]);
    let clean = Text::foreign(&start);
    Text::from(fit(&clean, EXCERPT, "…").into_owned())
}

impl<'a> Exposition<'a> {
    fn line(&mut self, line: &'a [u8], wanted: &impl Fn(&str) -> bool) -> Result<(), &'static str> {
        if line.len() > MAX_LINE {
            return Err("longer than 64 KiB");
        }
        let line = std::str::from_utf8(line).map_err(|_| "not UTF-8")?;
        let line = line.trim_start_matches(BLANKS);
        if line.is_empty() {
            return Ok(());
        }
        if let Some(comment) = line.strip_prefix('#') {
            return self.comment(comment);
        }
        let sample = read_sample(line)?;
        self.seen += 1;
        if wanted(&sample.name) {
            if self.samples.len() == MAX_SAMPLES {
                return Err("beyond the first 100,000 samples");
            }
            self.samples.push(sample);
        }
        Ok(())
    }

    /// Any comment is allowed; only the three keywords and the end mark have a meaning.
    fn comment(&mut self, comment: &'a str) -> Result<(), &'static str> {
        let mut rest = Cursor(comment);
        rest.skip_blanks();
        let keyword = rest.token();
        if keyword == "EOF" {
            self.ended = true;
            return Ok(());
        }
        if !matches!(keyword, "TYPE" | "UNIT" | "HELP") {
            return Ok(());
        }
        rest.skip_blanks();
        let name = if rest.eat('"') { rest.quoted()? } else { rest.name(is_metric_char)?.into() };
        rest.skip_blanks();
        let Some(family) = self.family(name) else { return Ok(()) };
        match keyword {
            "HELP" => family.help = Some(unescape(rest.0)),
            _ if rest.0.trim_end_matches(BLANKS).is_empty() => {
                return Err("no word after the name");
            }
            "TYPE" => family.kind = Some(rest.0.trim_end_matches(BLANKS).into()),
            _ => family.unit = Some(rest.0.trim_end_matches(BLANKS).into()),
        }
        Ok(())
    }

    /// The entry of that family: the lines about one family stand together.
    fn family(&mut self, name: Cow<'a, str>) -> Option<&mut Family<'a>> {
        if self.families.last().is_none_or(|last| last.name != name) {
            if self.families.len() == MAX_FAMILIES {
                return None;
            }
            self.families.push(Family { name, kind: None, unit: None, help: None });
        }
        self.families.last_mut()
    }
}

fn read_sample(line: &str) -> Result<Sample<'_>, &'static str> {
    let mut rest = Cursor(line);
    let mut name = if rest.0.starts_with('{') {
        None
    } else {
        Some(Cow::Borrowed(rest.name(is_metric_char)?))
    };
    let spaced = rest.skip_blanks();
    let braces = rest.eat('{');
    let labels = if braces { rest.labels(&mut name)? } else { Vec::new() };
    let name = name.ok_or("no metric name")?;
    if rest.0.trim_start_matches(BLANKS).is_empty() {
        return Err("no value");
    }
    // After `}` a blank is usual, but nothing needs it.
    if !rest.skip_blanks() && !spaced && !braces {
        return Err("no blank after the name");
    }
    let value = number(rest.token()).ok_or("the value is not a number")?;
    rest.skip_blanks();
    let timestamp = if rest.0.starts_with('#') || rest.0.is_empty() {
        None
    } else {
        Some(number(rest.token()).ok_or("the timestamp is not a number")?)
    };
    rest.skip_blanks();
    // What follows ` # ` is an exemplar: nothing that is shown comes from it, so it may be anything.
    if !(rest.0.is_empty() || rest.0.starts_with('#')) {
        return Err("more than a value and a timestamp");
    }
    Ok(Sample { name, labels, value, timestamp })
}

const BLANKS: [char; 2] = [' ', '\t'];

/// Digits, `NaN`, `+Inf` and `-Inf` in any case.
fn number(token: &str) -> Option<f64> {
    token.parse().ok()
}

fn is_metric_char(c: char) -> bool {
    is_label_char(c) || c == ':'
}

pub(super) fn is_label_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// What is left of a line.
pub(super) struct Cursor<'a>(pub &'a str);

impl<'a> Cursor<'a> {
    /// Skips blanks; true if there were any.
    pub fn skip_blanks(&mut self) -> bool {
        let before = self.0.len();
        self.0 = self.0.trim_start_matches(BLANKS);
        self.0.len() < before
    }

    pub fn eat(&mut self, wanted: char) -> bool {
        self.0.strip_prefix(wanted).map(|rest| self.0 = rest).is_some()
    }

    /// Everything up to the next blank.
    pub fn token(&mut self) -> &'a str {
        let (token, rest) = self.0.split_at(self.0.find(BLANKS).unwrap_or(self.0.len()));
        self.0 = rest;
        token
    }

    pub fn name(&mut self, allowed: fn(char) -> bool) -> Result<&'a str, &'static str> {
        let end = self.0.find(|c| !allowed(c)).unwrap_or(self.0.len());
        let (name, rest) = self.0.split_at(end);
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err("no name where one must stand");
        }
        self.0 = rest;
        Ok(name)
    }

    /// The rest of a quoted string, whose opening quote has been eaten.
    pub fn quoted(&mut self) -> Result<Cow<'a, str>, &'static str> {
        let mut escaped = false;
        let end = self.0.bytes().position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        let end = end.ok_or("a quote is never closed")?;
        let inner = &self.0[..end];
        self.0 = &self.0[end + 1..];
        Ok(unescape(inner))
    }

    /// Labels up to and with `}`, whose opening brace has been eaten. A quoted string without `=` is
    /// the name of the metric.
    #[expect(clippy::type_complexity, reason = "a list of pairs; a name for it would say less")]
    fn labels(
        &mut self,
        name: &mut Option<Cow<'a, str>>,
    ) -> Result<Vec<(Cow<'a, str>, Cow<'a, str>)>, &'static str> {
        let mut labels: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::new();
        loop {
            self.skip_blanks();
            if self.eat('}') {
                return Ok(labels);
            }
            let quoted = self.eat('"');
            let label: Cow<'a, str> =
                if quoted { self.quoted()? } else { self.name(is_label_char)?.into() };
            self.skip_blanks();
            if self.eat('=') {
                self.skip_blanks();
                if !self.eat('"') {
                    return Err("a label value without quotes");
                }
                let value = self.quoted()?;
                if labels.len() == MAX_LABELS {
                    return Err("more than 64 labels");
                }
                if labels.iter().any(|(known, _)| *known == label) {
                    return Err("a label stands twice");
                }
                labels.push((label, value));
            } else if quoted && name.is_none() && !label.is_empty() {
                *name = Some(label);
            } else {
                return Err("a label without a value");
            }
            self.skip_blanks();
            if !self.eat(',') && !self.0.starts_with('}') {
                return Err("the labels are never closed");
            }
        }
    }
}

/// Undoes `\\`, `\"` and `\n`; any other escape stays as written.
fn unescape(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some(same @ ('\\' | '"')) => out.push(same),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn only(text: &str) -> Sample<'_> {
        let read = parse(text.as_bytes());
        assert_eq!(read.unreadable, [], "{text}");
        assert_eq!(read.samples.len(), 1, "{text}");
        read.samples.into_iter().next().expect("one sample")
    }

    fn why_not(text: &str) -> &'static str {
        let read = parse(text.as_bytes());
        assert_eq!((read.samples.len(), read.unreadable_count), (0, 1), "{text}");
        read.unreadable[0].reason
    }

    #[test]
    fn plain_samples_are_read() {
        let sample =
            only("  http_requests_total{method=\"post\", code = \"200\" ,} 1027 1395066363000");
        assert_eq!(sample.name, "http_requests_total");
        assert_eq!(sample.label("method"), Some("post"));
        assert_eq!(sample.label("code"), Some("200"));
        assert_eq!(sample.label("path"), None);
        assert_eq!((sample.value, sample.timestamp), (1027.0, Some(1_395_066_363_000.0)));
        assert_eq!(only("up 1").value, 1.0);
        assert_eq!(only("up{} 1").value, 1.0);
        assert_eq!(only("up{}1").value, 1.0);
        assert_eq!(only("a:b:c\t-2.5e-3\r").value, -2.5e-3);
    }

    #[test]
    fn values_that_are_no_digits_are_read() {
        assert!(only("x NaN").value.is_nan());
        assert!(only("x nan").value.is_nan());
        assert_eq!(only("x +Inf").value, f64::INFINITY);
        assert_eq!(only("x -Inf").value, f64::NEG_INFINITY);
    }

    #[test]
    fn label_values_may_hold_anything() {
        let sample = only(r#"q{text="a } b, {c=\"d\"} \\ # \n é",z="1"} 3"#);
        assert_eq!(sample.label("text"), Some("a } b, {c=\"d\"} \\ # \n é"));
        assert_eq!(sample.label("z"), Some("1"));
        assert_eq!(only(r#"q{t="\q\\"} 1"#).label("t"), Some(r"\q\"));
    }

    #[test]
    fn quoted_names_are_read() {
        let sample = only(r#"{"pool.size", "db.name"="a",state="idle"} 4"#);
        assert_eq!(sample.name, "pool.size");
        assert_eq!(sample.label("db.name"), Some("a"));
        assert_eq!(sample.label("state"), Some("idle"));
        assert_eq!(only(r#"{"only"} 1"#).name, "only");
    }

    #[test]
    fn exemplars_are_passed_over() {
        let sample = only(r#"h_bucket{le="0.01"} 8 1.5 # {trace_id="KOO5S4vxi0o"} 0.67"#);
        assert_eq!((sample.value, sample.timestamp), (8.0, Some(1.5)));
        assert_eq!(only(r#"h_bucket{le="10"} 17 # {id="}"} 9.8 1520879607.789"#).value, 17.0);
    }

    #[test]
    fn what_is_said_about_families_is_kept() {
        let read = parse(
            b"# HELP wait How long\\n it \\\\ took\n# TYPE wait histogram\n# UNIT wait seconds\n\
              # TYPE \"a.b\" gauge\r\n#just words\n# \n#\n# EOF\n",
        );
        assert_eq!(read.unreadable, []);
        assert!(read.ended);
        assert_eq!(read.families[0].help.as_deref(), Some("How long\n it \\ took"));
        assert_eq!(read.families[0].kind.as_deref(), Some("histogram"));
        assert_eq!(read.families[0].unit.as_deref(), Some("seconds"));
        assert_eq!(read.families[1].name, "a.b");
    }

    #[test]
    fn each_fault_has_its_reason() {
        for (line, reason) in [
            ("x", "no value"),
            ("x{a=\"b\"} ", "no value"),
            ("x one", "the value is not a number"),
            ("<html>", "no name where one must stand"),
            ("9lives 1", "no name where one must stand"),
            ("a.b 1", "no blank after the name"),
            ("{} 1", "no metric name"),
            ("{a=\"b\"} 1", "no metric name"),
            ("x{a=\"b 1", "a quote is never closed"),
            ("x{a=b} 1", "a label value without quotes"),
            ("x{a} 1", "a label without a value"),
            ("x{a=\"1\" b=\"2\"} 1", "the labels are never closed"),
            ("x{a=\"1\",a=\"2\"} 1", "a label stands twice"),
            ("x{a=\"1\"", "the labels are never closed"),
            ("x 1 soon", "the timestamp is not a number"),
            ("x 1 2 3", "more than a value and a timestamp"),
            ("x{\"y\"} 1", "a label without a value"),
            ("# TYPE x", "no word after the name"),
            ("# TYPE", "no name where one must stand"),
        ] {
            assert_eq!(why_not(line), reason, "{line}");
        }
    }

    #[test]
    fn limits_hold() {
        use std::fmt::Write as _;
        assert_eq!(
            why_not(&format!("x{{a=\"{}\"}} 1", "y".repeat(MAX_LINE))),
            "longer than 64 KiB"
        );
        let many = (0..65).fold(String::new(), |mut all, n| {
            let _ = write!(all, "l{n}=\"\",");
            all
        });
        assert_eq!(why_not(&format!("x{{{many}}} 1")), "more than 64 labels");
        let text = "x 1\n".repeat(MAX_SAMPLES + 30);
        let read = parse(text.as_bytes());
        assert_eq!(read.samples.len(), MAX_SAMPLES);
        assert_eq!((read.unreadable_count, read.unreadable.len()), (30, MAX_UNREADABLE));
        let none = parse_wanted(text.as_bytes(), |name| name == "y");
        assert_eq!((none.samples.len(), none.seen, none.unreadable_count), (0, 100_030, 0));
    }

    #[test]
    fn the_rest_is_read_and_the_excerpt_is_clean() {
        let read = parse(b"a 1\n\x1b[31mred\nb \xff\nc{x=\"\x1b\"} 3\nd 4");
        assert_eq!(read.samples.iter().map(|s| s.value).collect::<Vec<_>>(), [1.0, 3.0, 4.0]);
        assert_eq!(read.unreadable_count, 2);
        assert_eq!((read.unreadable[0].line, &*read.unreadable[0].excerpt), (2, "^[[31mred"));
        assert_eq!((read.unreadable[1].line, read.unreadable[1].reason), (3, "not UTF-8"));
    }

    fn quoted(text: &str) -> String {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
    }

    fn print(sample: &Sample<'_>) -> String {
        let mut parts = vec![quoted(&sample.name)];
        parts.extend(sample.labels.iter().map(|(k, v)| format!("{}={}", quoted(k), quoted(v))));
        let stamp = sample.timestamp.map(|stamp| format!(" {stamp}")).unwrap_or_default();
        format!("{{{}}} {}{stamp}", parts.join(","), sample.value)
    }

    fn any_sample() -> impl Strategy<Value = Sample<'static>> {
        let labels = proptest::collection::btree_map(any::<String>(), any::<String>(), 0..6);
        let value = prop_oneof![
            Just(f64::INFINITY),
            Just(f64::NEG_INFINITY),
            proptest::num::f64::NORMAL,
            Just(0.0)
        ];
        let stamp = proptest::option::of(0_u32..u32::MAX);
        ("(?s).{1,12}", labels, value, stamp).prop_map(|(name, labels, value, stamp)| Sample {
            name: name.into(),
            labels: labels.into_iter().map(|(k, v)| (k.into(), v.into())).collect(),
            value,
            timestamp: stamp.map(f64::from),
        })
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let read = parse(&bytes);
            let lines = bytes.split(|b| *b == b'\n').count() as u64;
            prop_assert!(read.seen + u64::from(read.unreadable_count) <= lines);
        }

        #[test]
        fn no_text_of_its_own_signs_makes_it_panic(text in r#"([a-c:_ \\"{}=,#\n\r\t]|NaN|1|TYPE|# |é){0,200}"#) {
            parse(text.as_bytes());
        }

        #[test]
        fn what_is_printed_is_read_back(
            samples in proptest::collection::vec(any_sample(), 0..8),
            ending in prop_oneof![Just("\n"), Just("\r\n")],
            garbage in "[a-z]{1,9}",
        ) {
            let text: String = samples.iter()
                .flat_map(|sample| [print(sample), ending.to_owned(), garbage.clone(), ending.to_owned()])
                .collect();
            let read = parse(text.as_bytes());
            prop_assert_eq!(&read.samples, &samples);
            prop_assert_eq!(read.unreadable_count as usize, samples.len());
            for (index, fault) in read.unreadable.iter().enumerate() {
                prop_assert_eq!(fault.line as usize, 2 * index + 2);
            }
        }
    }
}
