//! Values read out of what a command printed.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    spec::{Fact, From, Look},
    values::Values,
};
use crate::base::text::{Text, clean};

/// What a look has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The facts, in the order of the guide.
    pub facts: Vec<Observed>,
    /// The choices.
    pub options: Vec<Offer>,
}

/// A fact that was observed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The value's name.
    pub name: String,
    /// What it is called on the screen, if it is shown.
    pub label: Option<String>,
    /// The value; none where the command did not tell.
    pub value: Option<Text>,
    /// Whether it is well; none where nobody judges it.
    pub well: Option<bool>,
}

/// A choice that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// What it is called.
    pub label: Text,
    /// What it sets.
    pub values: Vec<(String, String)>,
}

impl Seen {
    /// True when nothing that is judged is wrong.
    pub fn well(&self) -> bool {
        self.facts.iter().all(|fact| fact.well != Some(false))
    }

    /// True when it may be taken as it is: nothing is wrong, or what is wrong is what the look is there for.
    pub fn may_be_taken(&self, look: Option<&Look>) -> bool {
        self.well() || look.is_some_and(|look| look.diagnosis)
    }
}

/// Reads the facts and the choices of a look.
pub fn read(look: &Look, from: Option<&From>, printed: &Value) -> Seen {
    let options = from.map_or_else(Vec::new, |from| offers(from, printed));
    Seen { facts: all(&look.facts, printed), options }
}

/// Reads facts.
pub fn all(facts: &[Fact], printed: &Value) -> Vec<Observed> {
    facts.iter().map(|fact| observe(fact, printed)).collect()
}

/// Reads one fact.
pub fn observe(fact: &Fact, printed: &Value) -> Observed {
    let found = find(printed, &fact.at);
    let exact = match &found {
        Some(Value::Null) => fact.null.clone(),
        found => found.as_ref().map(word),
    };
    let exact = exact.map(|word| match fact.last {
        Some(last) => word.chars().skip(word.chars().count().saturating_sub(last)).collect(),
        None => word,
    });
    let number = exact.as_ref().and_then(|word| word.parse::<f64>().ok());
    // What is not known is not well.
    let well = fact.is_judged().then(|| {
        exact.is_some()
            && fact.good.as_ref().is_none_or(|good| good.iter().any(|g| Some(g) == exact.as_ref()))
            && fact.at_most.is_none_or(|most| number.is_some_and(|n| n <= most))
            && fact.at_least.is_none_or(|least| number.is_some_and(|n| n >= least))
    });
    // Where it is wrong by a hair, the hair is shown.
    let rounded = found.as_ref().filter(|_| well != Some(false)).and_then(short);
    let shown = rounded.or(exact);
    let value = shown.map(|word| Text::one_line(&clean(&word)));
    Observed { name: fact.name.clone(), label: fact.label.clone(), value, well }
}

fn offers(from: &From, printed: &Value) -> Vec<Offer> {
    let Some(Value::Array(members)) = printed.pointer(&from.each) else { return Vec::new() };
    members
        .iter()
        .map(|member| {
            let known = from.values.iter().filter_map(|fact| {
                let value = observe(fact, member).value?;
                Some((fact.name.clone(), value.as_str().to_owned()))
            });
            let values: Vec<(String, String)> = known.collect();
            let mut all = Values::default();
            all.extend(values.clone());
            Offer { label: Text::one_line(&all.fill(&from.label)), values }
        })
        .collect()
}

/// What stands at a place.
fn find(printed: &Value, at: &str) -> Option<Value> {
    if let Some(list) = at.strip_suffix("/#") {
        return match find(printed, list)? {
            Value::Array(list) => Some(list.len().into()),
            Value::Null => Some(Value::Null),
            _ => None,
        };
    }
    match at.split_once("/-") {
        Some((list, rest)) => find(printed.pointer(list)?.as_array()?.last()?, rest),
        None => pointed(printed, at),
    }
}

/// What a pointer points at; null in what is null as a whole.
fn pointed(printed: &Value, at: &str) -> Option<Value> {
    let whole = || at.rmatch_indices('/').find_map(|(end, _)| printed.pointer(&at[..end]));
    printed.pointer(at).or_else(|| whole().filter(|whole| whole.is_null())).cloned()
}

fn word(found: &Value) -> String {
    match found {
        Value::String(word) => word.clone(),
        other => other.to_string(),
    }
}

/// A fraction as a person reads it: no finer than a thousandth, unless it is smaller. It is judged as it is.
fn short(found: &Value) -> Option<String> {
    let value = found.as_f64().filter(|_| found.is_f64())?;
    let rounded = (value * 1000.0).round() / 1000.0;
    (rounded != 0.0).then(|| rounded.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fact(at: &str) -> Fact {
        Fact {
            name: "x".into(),
            label: None,
            at: at.into(),
            good: None,
            at_most: None,
            at_least: None,
            last: None,
            null: None,
        }
    }

    #[test]
    fn facts_stand_where_the_pointer_says() {
        let printed =
            json!({ "id": "7654321", "lag": 3.5, "none": null, "list": [{ "a": 1 }, { "a": 2 }] });
        let value = |at: &str| observe(&fact(at), &printed).value;
        assert_eq!(value("/list/-/a").as_deref(), Some("2"));
        assert_eq!(value("/list/#").as_deref(), Some("2"));
        let nested = json!([{ "found": ["a"] }, { "found": ["b", "c"] }, { "of": null }]);
        let value_of = |at: &str, all: &serde_json::Value| observe(&fact(at), all).value;
        assert_eq!(value_of("/#", &nested).as_deref(), Some("3"));
        assert_eq!(value_of("/1/found/-", &nested).as_deref(), Some("c"));
        assert_eq!(value_of("/-/found/#", &nested), None);
        let newest = &nested.as_array().expect("a list")[..2];
        assert_eq!(value_of("/-/found/#", &newest.into()).as_deref(), Some("2"));
        assert_eq!(value_of("/-/found/-", &newest.into()).as_deref(), Some("c"));
        let held = Fact { null: Some("nobody looked".into()), ..fact("/-/of/found/#") };
        assert_eq!(observe(&held, &nested).value.as_deref(), Some("nobody looked"));
        assert_eq!(value("/none"), None);
        assert_eq!(value("/gone"), None);
        let tail = observe(&Fact { last: Some(4), ..fact("/id") }, &printed);
        assert_eq!(tail.value.expect("told").as_str(), "4321");
    }

    #[test]
    fn what_is_not_known_is_not_well() {
        let printed = json!({ "lag": 3.5, "state": "on" });
        let well = |fact: Fact| observe(&fact, &printed).well;
        assert_eq!(well(fact("/lag")), None, "nobody judges it");
        // Null may be a word of its own; what is not there is not known.
        let held = |at: &str| Fact { null: Some("nobody".into()), ..fact(at) };
        let value = |fact: Fact| observe(&fact, &json!({ "by": null, "to": {} })).value;
        assert_eq!(value(held("/by")).as_deref(), Some("nobody"));
        assert_eq!(value(held("/by/name")).as_deref(), Some("nobody"));
        assert_eq!(value(held("/to/name")), None);
        assert_eq!(value(held("/gone")), None);
        assert_eq!(value(fact("/by")), None);
        assert_eq!(well(Fact { at_most: Some(4.0), ..fact("/lag") }), Some(true));
        assert_eq!(well(Fact { at_most: Some(3.0), ..fact("/lag") }), Some(false));
        assert_eq!(well(Fact { at_most: Some(3.0), ..fact("/gone") }), Some(false));
        assert_eq!(well(Fact { good: Some(vec!["on".into()]), ..fact("/state") }), Some(true));
        assert_eq!(well(Fact { at_least: Some(1.0), ..fact("/state") }), Some(false));
    }

    #[test]
    fn a_fraction_is_shown_to_the_thousandth_and_judged_as_it_is() {
        let printed = json!([0.084_709_594, 60.0, 0.000_04, 0.0504]);
        let shown = |at| observe(&fact(at), &printed).value.expect("told").to_string();
        let all = ["/0", "/1", "/2", "/3"].map(shown);
        assert_eq!(all, ["0.085", "60", "0.00004", "0.05"]);
        let judged = observe(&Fact { at_most: Some(0.05), ..fact("/3") }, &printed);
        assert_eq!((judged.well, judged.value.as_deref()), (Some(false), Some("0.0504")));
    }

    #[test]
    fn choices_say_what_they_are_without_control_characters() {
        let printed = json!({ "list": [{ "name": "a\u{1b}[2J" }] });
        let from =
            From { each: "/list".into(), values: vec![fact("/name")], label: "table {x}".into() };
        let offers = offers(&from, &printed);
        assert_eq!(offers.len(), 1);
        assert_eq!(offers[0].label.as_str(), "table a^[[2J");
    }
}
