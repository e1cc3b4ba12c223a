//! What is known in a run, and its place in words.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::exec::quoted;

/// Values by name. One that is a list of words takes the place of a whole word.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Values(BTreeMap<String, Value>);

/// One value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A word.
    Word(String),
    /// Words that stand or fall together, such as `--target prod`.
    Words(Vec<String>),
}

impl Values {
    /// Sets a word.
    pub fn set(&mut self, name: &str, word: impl Into<String>) {
        self.0.insert(name.to_owned(), Value::Word(word.into()));
    }

    /// Sets words.
    pub fn set_words(&mut self, name: &str, words: Vec<String>) {
        self.0.insert(name.to_owned(), Value::Words(words));
    }

    /// A value as a word; words are joined.
    pub fn get(&self, name: &str) -> Option<String> {
        Some(match self.0.get(name)? {
            Value::Word(word) => word.clone(),
            Value::Words(words) => words.join(" "),
        })
    }

    /// A text with its values in it: `{name}`. What is not known stays `—`.
    pub fn fill(&self, text: &str) -> String {
        self.fill_with(text, &str::to_owned)
    }

    /// The same for words that a person may type: what goes into a command of howdah is quoted for the shell.
    pub fn fill_command(&self, text: &str) -> String {
        let quote = |word: &str| quoted(word.as_ref());
        if text.starts_with("howdah ") { self.fill_with(text, &quote) } else { self.fill(text) }
    }

    fn fill_with(&self, text: &str, spelled: &dyn Fn(&str) -> String) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            out += before;
            match behind.split_once('}') {
                Some((name, after)) if is_name(name) => {
                    out += &match self.0.get(name) {
                        Some(Value::Word(word)) => spelled(word),
                        Some(Value::Words(words)) => {
                            words.iter().map(|word| spelled(word)).collect::<Vec<_>>().join(" ")
                        }
                        None => "—".to_owned(),
                    };
                    rest = after;
                }
                _ => {
                    out.push('{');
                    rest = behind;
                }
            }
        }
        out + rest
    }

    /// The words of a command. `{name}` alone becomes all words of that value, and none when it is empty
    /// words.
    ///
    /// # Errors
    /// The name of a value that is not known: such a command must not run.
    pub fn words(&self, words: &[String]) -> Result<Vec<String>, String> {
        let mut filled = Vec::with_capacity(words.len());
        for word in words {
            if let Some(unknown) = names(word).find(|name| !self.0.contains_key(*name)) {
                return Err(unknown.to_owned());
            }
            let whole = word.strip_prefix('{').and_then(|word| word.strip_suffix('}'));
            match whole.and_then(|name| self.0.get(name)) {
                Some(Value::Words(words)) => filled.extend(words.iter().cloned()),
                _ => filled.push(self.fill(word)),
            }
        }
        Ok(filled)
    }
}

impl Extend<(String, String)> for Values {
    fn extend<T: IntoIterator<Item = (String, String)>>(&mut self, values: T) {
        self.0.extend(values.into_iter().map(|(name, word)| (name, Value::Word(word))));
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

/// The names in a text.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split('{')
        .skip(1)
        .filter_map(|part| part.split_once('}'))
        .map(|(name, _)| name)
        .filter(|name| is_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_take_their_places() {
        let mut values = Values::default();
        values.set("table", "public.o{x}rders");
        values.set_words("place", vec!["--target".into(), "a b".into()]);
        values.set_words("none", Vec::new());
        let words =
            ["find", "{place}", "{none}", "--table={table}", "{}", "{ x }"].map(str::to_owned);
        let filled = values.words(&words).expect("all known");
        assert_eq!(
            filled,
            ["find", "--target", "a b", "--table=public.o{x}rders", "{}", "{ x }"],
            "a value is never filled in twice"
        );
        assert_eq!(values.words(&["{gone}".to_owned()]).expect_err("unknown"), "gone");
        assert_eq!(values.fill("{table} at {gone}"), "public.o{x}rders at —");
        values.set("folder", "/srv/it's new");
        let undo = values.fill_command("howdah restore discard {folder} {place}");
        assert_eq!(undo, r"howdah restore discard '/srv/it'\''s new' --target 'a b'");
        assert_eq!(values.fill_command("DROP TABLE {table}"), "DROP TABLE public.o{x}rders");
    }
}
