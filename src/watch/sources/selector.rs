//! Which samples a profile means, written as PromQL writes selectors.
//!
//! ```text
//! expression = selector { (" + " | " - ") selector }
//! selector   = name [ "{" label ("=" | "!=") "value" { "," ... } "}" ] [ " on " sample-label "=" pool-label ]
//! ```
//!
//! A name may hold `*` for anything and may end in `[_total]`, which some exporters add and others
//! do not. A value may be one of several, `"used|busy"`. Dots in names count as underscores, so that
//! one profile reads both ways of writing OpenTelemetry's names. `on` brings in a sample of another
//! shape: `pool_size on name=database` is the `pool_size` whose `name` is the pool's `database`.

use std::borrow::Cow;

use serde::Deserialize;

use super::exposition_text::{Cursor, is_label_char};

/// A sum of samples.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub struct Expression(Vec<(f64, Selector)>);

impl Expression {
    /// The selectors in it.
    pub fn selectors(&self) -> impl Iterator<Item = &Selector> {
        self.0.iter().map(|(_, selector)| selector)
    }

    /// The sum, if `value` knows each of its parts.
    pub fn sum(&self, value: impl Fn(&Selector) -> Option<f64>) -> Option<f64> {
        self.0.iter().map(|(sign, selector)| value(selector).map(|value| sign * value)).sum()
    }
}

impl TryFrom<String> for Expression {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut rest = Cursor(&text);
        let mut terms = Vec::new();
        let mut sign = 1.0;
        loop {
            terms.push((sign, selector(&mut rest).map_err(|why| format!("`{text}`: {why}"))?));
            rest.skip_blanks();
            sign = if rest.eat('+') {
                1.0
            } else if rest.eat('-') {
                -1.0
            } else if rest.0.is_empty() {
                return Ok(Self(terms));
            } else {
                return Err(format!("`{text}`: cannot read from `{}` on", rest.0));
            };
        }
    }
}

/// A set of samples.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub struct Selector {
    /// The names that it means.
    pub name: Pattern,
    tests: Vec<LabelTest>,
    /// The label of the sample and the label of the pool that must hold the same value.
    pub on: Option<(String, String)>,
}

#[derive(Clone, Debug, PartialEq)]
struct LabelTest {
    label: String,
    values: Vec<String>,
    wanted: bool,
}

impl Selector {
    /// True when the labels of a sample with a matching name are right; `label` finds a label's value.
    pub fn admits<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.tests.iter().all(|test| {
            let value = label(&test.label).unwrap_or("");
            test.values.iter().any(|known| known == value) == test.wanted
        })
    }

    /// The labels that it looks at.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.tests.iter().map(|test| &*test.label)
    }

    /// The same set of a family's other samples, such as those whose name ends in `_bucket`.
    #[must_use]
    pub fn with_suffix(&self, suffix: &str) -> Self {
        let name = Pattern { stem: format!("{}{suffix}", self.name.stem), ..self.name.clone() };
        Self { name, ..self.clone() }
    }
}

impl TryFrom<String> for Selector {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut rest = Cursor(&text);
        let read = selector(&mut rest).map_err(|why| format!("`{text}`: {why}"))?;
        rest.skip_blanks();
        if rest.0.is_empty() { Ok(read) } else { Err(format!("`{text}`: one selector is wanted")) }
    }
}

fn selector(rest: &mut Cursor<'_>) -> Result<Selector, &'static str> {
    rest.skip_blanks();
    let end = rest.0.find(|c| !is_name_char(c)).unwrap_or(rest.0.len());
    let (name, after) = rest.0.split_at(end);
    if name.is_empty() {
        return Err("a metric name is missing");
    }
    let maybe_total = after.strip_prefix("[_total]");
    rest.0 = maybe_total.unwrap_or(after);
    let stem = canonical(name).into_owned();
    let name = Pattern { star: stem.find('*'), stem, maybe_total: maybe_total.is_some() };
    let mut tests = Vec::new();
    if rest.eat('{') {
        while !rest.eat('}') {
            tests.push(label_test(rest)?);
            rest.skip_blanks();
            if !rest.eat(',') && !rest.0.starts_with('}') {
                return Err("the labels are never closed by `}`");
            }
            rest.skip_blanks();
        }
    }
    let mut ahead = Cursor(rest.0);
    ahead.skip_blanks();
    let mut on = None;
    if let Some(pair) = ahead.0.strip_prefix("on ") {
        let mut pair = Cursor(pair);
        pair.skip_blanks();
        let theirs = pair.name(is_label_char)?.to_owned();
        if !pair.eat('=') {
            return Err("`on` wants `label=label`");
        }
        on = Some((theirs, pair.name(is_label_char)?.to_owned()));
        rest.0 = pair.0;
    }
    Ok(Selector { name, tests, on })
}

fn label_test(rest: &mut Cursor<'_>) -> Result<LabelTest, &'static str> {
    rest.skip_blanks();
    let label = rest.name(|c| is_label_char(c) || c == '.')?;
    rest.skip_blanks();
    let wanted = !rest.eat('!');
    if !rest.eat('=') {
        return Err("a label wants `=` or `!=`");
    }
    rest.skip_blanks();
    if !rest.eat('"') {
        return Err("a label value stands in quotes");
    }
    let values = rest.quoted()?.split('|').map(str::to_owned).collect();
    Ok(LabelTest { label: canonical(label).into_owned(), values, wanted })
}

fn is_name_char(c: char) -> bool {
    is_label_char(c) || matches!(c, ':' | '.' | '*')
}

/// A name as profiles write it: dots are underscores.
pub fn canonical(name: &str) -> Cow<'_, str> {
    if name.contains('.') { Cow::Owned(name.replace('.', "_")) } else { Cow::Borrowed(name) }
}

/// One metric name, or several that look alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern {
    stem: String,
    /// Where its first `*` stands.
    star: Option<usize>,
    maybe_total: bool,
}

impl Pattern {
    /// True when that name, in its canonical form, is meant.
    pub fn matches(&self, name: &str) -> bool {
        let means = |name: &str| match self.star {
            None => self.stem == name,
            // Almost all names differ in their first letters.
            Some(star) => name.get(..star) == self.stem.get(..star) && glob(&self.stem, name),
        };
        means(name) || self.maybe_total && name.strip_suffix("_total").is_some_and(means)
    }

    /// The names that it means, if they can be counted.
    pub fn exact(&self) -> Option<impl Iterator<Item = String>> {
        let total = self.maybe_total.then(|| format!("{}_total", self.stem));
        self.star.is_none().then(|| [self.stem.clone()].into_iter().chain(total))
    }
}

/// `*` stands for anything, nothing included. Takes at most `pattern × name` steps.
fn glob(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(first) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return name.ends_with(part);
        }
        let Some(at) = name.find(part) else { return false };
        name = &name[at + part.len()..];
    }
    true
}

/// How a pool or breaker gets its name: `{label}` stands for the value of that label, `{__name__}` for
/// the name of the metric, `{*}` for the values of all labels that nothing else needs.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Words(String),
    Label(String),
    Rest,
}

impl Template {
    /// The name, if every label is there and not empty.
    pub fn fill<'a>(
        &self,
        label: impl Fn(&str) -> Option<&'a str>,
        rest: impl Fn() -> String,
    ) -> Option<String> {
        let mut name = String::new();
        for part in &self.0 {
            match part {
                Part::Words(words) => name.push_str(words),
                Part::Label(wanted) => {
                    name.push_str(label(wanted).filter(|value| !value.is_empty())?);
                }
                Part::Rest => name.push_str(&Some(rest()).filter(|rest| !rest.is_empty())?),
            }
        }
        Some(name)
    }
}

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = &*text;
        while let Some((words, after)) = rest.split_once('{') {
            let (label, after) =
                after.split_once('}').ok_or_else(|| format!("`{text}`: `{{` is never closed"))?;
            if !words.is_empty() {
                parts.push(Part::Words(words.to_owned()));
            }
            parts.push(match label {
                "*" => Part::Rest,
                "" => return Err(format!("`{text}`: a label's name is missing")),
                label => Part::Label(canonical(label).into_owned()),
            });
            rest = after;
        }
        if parts.is_empty() {
            return Err(format!("`{text}`: names no label; write for example `{{pool}}`"));
        }
        if !rest.is_empty() {
            parts.push(Part::Words(rest.to_owned()));
        }
        Ok(Self(parts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expression(text: &str) -> Result<Expression, String> {
        Expression::try_from(text.to_owned())
    }

    fn labels<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<&'a str> {
        |wanted| pairs.iter().find(|(label, _)| *label == wanted).map(|(_, value)| *value)
    }

    #[test]
    fn sums_add_and_subtract_and_need_every_part() {
        let sum = expression("open - idle + x.y").expect("readable");
        let value = |selector: &Selector| match () {
            () if selector.name.matches("open") => Some(7.0),
            () if selector.name.matches("idle") => Some(3.0),
            () => selector.name.matches("x_y").then_some(0.5),
        };
        assert_eq!(sum.sum(value), Some(4.5));
        assert_eq!(sum.sum(|selector| selector.name.matches("open").then_some(1.0)), None);
    }

    #[test]
    fn labels_are_tested() {
        let selector = Selector::try_from(r#"a{state="used|busy", db!="pgbouncer"}"#.to_owned())
            .expect("readable");
        assert!(selector.admits(labels(&[("state", "busy"), ("db", "app")])));
        assert!(selector.admits(labels(&[("state", "used")])), "a missing label is empty");
        assert!(!selector.admits(labels(&[("state", "idle"), ("db", "app")])));
        assert!(!selector.admits(labels(&[("state", "used"), ("db", "pgbouncer")])));
    }

    #[test]
    fn a_join_is_read() {
        let selector =
            Selector::try_from("size{a=\"b\"} on name=database".to_owned()).expect("readable");
        assert_eq!(selector.on, Some(("name".to_owned(), "database".to_owned())));
    }

    #[test]
    fn names_match_by_pattern() {
        for (pattern, name, matches) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*_state", "x_breaker_state", true),
            ("*_state", "x_breaker_states", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "ac", false),
            ("*", "", true),
            ("ab*ba", "aba", false),
            ("count[_total]", "count", true),
            ("count[_total]", "count_total", true),
            ("count[_total]", "count_totals", false),
            ("x.y", "x_y", true),
        ] {
            let selector = Selector::try_from(pattern.to_owned()).expect("readable");
            assert_eq!(selector.name.matches(name), matches, "{pattern} {name}");
        }
    }

    #[test]
    fn templates_fill_or_pass() {
        let template = Template::try_from("{database}/{user}".to_owned()).expect("readable");
        let rest = || "x".to_owned();
        let both = [("database", "app"), ("user", "ann")];
        assert_eq!(template.fill(labels(&both), rest), Some("app/ann".to_owned()));
        assert_eq!(template.fill(labels(&both[..1]), rest), None);
        let all = Template::try_from("{*}".to_owned()).expect("readable");
        assert_eq!(all.fill(labels(&[]), rest), Some("x".to_owned()));
        assert_eq!(all.fill(labels(&[]), String::new), None);
    }

    #[test]
    fn faults_name_the_text_and_the_reason() {
        for (text, fault) in [
            ("", "``: a metric name is missing"),
            ("a b", "`a b`: cannot read from `b` on"),
            ("a + ", "`a + `: a metric name is missing"),
            ("a{b=c}", "`a{b=c}`: a label value stands in quotes"),
            ("a{b}", "`a{b}`: a label wants `=` or `!=`"),
            ("a{b=\"c\" d=\"e\"}", "`a{b=\"c\" d=\"e\"}`: the labels are never closed by `}`"),
            ("a on b", "`a on b`: `on` wants `label=label`"),
        ] {
            assert_eq!(expression(text), Err(fault.to_owned()));
        }
        assert!(Selector::try_from("a + b".to_owned()).is_err());
        assert!(Template::try_from("pool".to_owned()).is_err());
        assert!(Template::try_from("{pool".to_owned()).is_err());
        assert!(Template::try_from("{}".to_owned()).is_err());
    }
}
