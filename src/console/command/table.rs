//! The catalogue as a Markdown table, for the README.

use std::fmt::Write as _;

use super::CATALOGUE;

/// All commands with the keys that they come with.
pub fn markdown_table() -> String {
    let mut table = String::from("| key | command | what it does |\n|---|---|---|\n");
    for command in CATALOGUE {
        let keys: Vec<String> = command.keys.iter().map(|key| format!("`{key}`")).collect();
        let keys = if keys.is_empty() { "palette".to_owned() } else { keys.join(", ") };
        // Writing to a string cannot fail.
        let _ = writeln!(table, "| {keys} | `{}` | {} |", command.id, command.help);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_its_row() {
        let table = markdown_table();
        assert_eq!(table.lines().count(), CATALOGUE.len() + 2);
        assert!(table.contains("| `q`, `ctrl-c` | `quit` | Leave the console. |"));
        assert!(table.contains("| palette | `incident-hang` |"));
    }
}
