//! Which commands the palette finds for what was typed. The screen and the update of the model use the
//! same, so that Enter runs the line that is marked.

use crate::console::model::Entry;

/// A command that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Its place in the catalogue.
    pub entry: usize,
    /// The letters of its title that were found, counted in characters.
    pub at: Vec<usize>,
}

/// The commands whose title holds the letters of `typed` in their order, whatever their case; the
/// closest first: found in one piece at the start of a word, then in one piece, then scattered. Among
/// equals the catalogue's order stays. Nothing typed finds everything.
pub fn find(entries: &[Entry], typed: &str) -> Vec<Hit> {
    let wanted: Vec<char> =
        typed.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect();
    let mut hits: Vec<(u8, Hit)> = entries
        .iter()
        .enumerate()
        .filter_map(|(entry, command)| {
            let (rank, at) = letters(command.title, &wanted)?;
            Some((rank, Hit { entry, at }))
        })
        .collect();
    hits.sort_by_key(|(rank, _)| *rank);
    hits.into_iter().map(|(_, hit)| hit).collect()
}

fn letters(title: &str, wanted: &[char]) -> Option<(u8, Vec<usize>)> {
    let title: Vec<char> = title.chars().map(|c| c.to_lowercase().next().unwrap_or(c)).collect();
    let run = |start: usize| {
        let end = start + wanted.len();
        (title.get(start..end) == Some(wanted)).then(|| (start..end).collect::<Vec<_>>())
    };
    let starts_word = |at: usize| at == 0 || !title[at - 1].is_alphanumeric();
    if let Some(at) = (0..title.len().max(1)).filter(|at| starts_word(*at)).find_map(run) {
        return Some((0, at));
    }
    if let Some(at) = (0..title.len()).find_map(run) {
        return Some((1, at));
    }
    let mut at = Vec::with_capacity(wanted.len());
    let mut from = 0;
    for letter in wanted {
        let found = from + title.get(from..)?.iter().position(|c| c == letter)?;
        at.push(found);
        from = found + 1;
    }
    Some((2, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(title: &'static str) -> Entry {
        Entry { id: title, group: "View", title, help: "", keys: Vec::new(), disabled: None }
    }

    fn found(typed: &str) -> Vec<&'static str> {
        let entries = [entry("Freeze the screen"), entry("Retry now"), entry("Next theme")];
        find(&entries, typed).into_iter().map(|hit| entries[hit.entry].title).collect()
    }

    #[test]
    fn the_closest_comes_first() {
        assert_eq!(found("re"), ["Retry now", "Freeze the screen"]);
        assert_eq!(found("THE"), ["Freeze the screen", "Next theme"]);
        assert_eq!(found("nt"), ["Next theme"]);
        assert_eq!(found("fz sc"), ["Freeze the screen"]);
        assert!(found("xyz").is_empty());
        assert_eq!(found("").len(), 3);
    }

    #[test]
    fn the_letters_found_are_told() {
        let hits = find(&[entry("Retry now")], "now");
        assert_eq!(hits, [Hit { entry: 0, at: vec![6, 7, 8] }]);
    }
}
