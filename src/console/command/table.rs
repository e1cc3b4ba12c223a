//! The catalogue as a Markdown table, for the README and `howdah keys`.

use std::fmt::Write as _;

use super::CATALOGUE;
use crate::console::input::keymap::Keymap;

/// All commands with their keys.
pub fn markdown_table(keymap: &Keymap) -> String {
    let mut table = String::from("| key | command | what it does |\n|---|---|---|\n");
    for command in CATALOGUE {
        let keys: Vec<String> =
            keymap.keys_of(command.id).iter().map(|key| format!("`{key}`")).collect();
        let keys = if keys.is_empty() { "palette".to_owned() } else { keys.join(", ") };
        // Writing to a string cannot fail.
        let _ = writeln!(table, "| {keys} | `{}` | {} |", command.id, command.help);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::{command::keymap, input::keymap::Keys};

    #[test]
    fn every_command_has_its_row_with_the_keys_in_force() {
        let changed = [("quit".to_owned(), Keys::Many(vec!["x".to_owned()]))].into();
        let keymap = keymap(&changed).expect("good keys");
        let table = markdown_table(&keymap);
        assert_eq!(table.lines().count(), CATALOGUE.len() + 2);
        assert!(table.contains("| `x` | `quit` | Leave the console. |"));
        assert!(table.contains("| palette | `incident-hang` |"));
    }
}
