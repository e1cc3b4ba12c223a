//! The rooms of the house, and who may enter where.

#![expect(clippy::expect_used, reason = "clippy sees tests only in test functions")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Each room with the rooms that it may enter, as the table in `src/lib.rs` says.
const MAY_ENTER: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("resilience", &["base"]),
    ("watch", &["base", "resilience"]),
    ("cluster", &["base"]),
    ("recover", &["base", "resilience", "cluster"]),
    ("jobs", &["base", "resilience", "watch", "recover"]),
    ("guide", &["base", "jobs"]),
    ("sandbox", &["base", "resilience", "watch", "cluster", "recover", "jobs"]),
    ("console", &["base", "resilience", "watch", "recover", "jobs", "guide", "sandbox"]),
    (
        "cli",
        &[
            "base",
            "resilience",
            "watch",
            "cluster",
            "recover",
            "jobs",
            "guide",
            "sandbox",
            "console",
        ],
    ),
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The code without comments and without what is for tests only: tests may look anywhere.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("readable");
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join(" ")
}

/// The rooms named behind every `crate::`, in `crate::a::b` and in `crate::{a::b, c::{d}}`.
fn entered(code: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for (at, found) in code.match_indices("crate::") {
        let rest = &code[at + found.len()..];
        if let Some(list) = rest.strip_prefix('{') {
            rooms.extend(heads(list));
        } else {
            rooms.insert(word(rest));
        }
    }
    rooms
}

/// The first word of each item of a braced list, at its top level.
fn heads(list: &str) -> Vec<String> {
    let (mut depth, mut begins, mut found) = (0, true, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            c if begins && depth == 0 && !c.is_whitespace() => {
                found.push(word(&list[at..]));
                begins = false;
            }
            _ => {}
        }
    }
    found
}

fn word(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn every_import_goes_the_allowed_way() {
    let rules: BTreeMap<&str, &[&str]> = MAY_ENTER.iter().copied().collect();
    let mut wrong = Vec::new();
    for path in sources(&src()) {
        let inside = path.strip_prefix(src()).expect("below src");
        let room = inside.iter().next().and_then(|room| room.to_str()).unwrap_or_default();
        if matches!(room, "lib.rs" | "main.rs") {
            continue;
        }
        let allowed = rules.get(room).unwrap_or_else(|| panic!("no rule for the room '{room}'"));
        for entered in entered(&code(&path)) {
            if entered != room && !allowed.contains(&entered.as_str()) {
                wrong.push(format!("{} enters '{entered}'", inside.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that the house does not allow:\n{}", wrong.join("\n"));
}

#[test]
fn the_reader_of_imports_sees_every_form() {
    let seen = entered("use crate::a::b; use crate::{ b, c::{x, y::z}, d::e as f }; crate::g::h()");
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["a", "b", "c", "d", "g"]);
}

#[test]
fn only_the_terminal_room_names_the_terminal_crate() {
    let outside = sources(&src()).into_iter().filter(|path| {
        !path.starts_with(src().join("console/term")) && code(path).contains("crossterm::")
    });
    assert_eq!(outside.collect::<Vec<_>>(), Vec::<PathBuf>::new());
}

#[test]
fn the_table_of_rooms_in_the_crates_documentation_names_every_room() {
    let lib = fs::read_to_string(src().join("lib.rs")).expect("readable");
    for (room, _) in MAY_ENTER {
        assert!(lib.contains(&format!("pub mod {room};")), "{room} is not a module");
        assert!(lib.contains(&format!("`{room}`")), "{room} is not in the table");
    }
}

/// A file that is not declared is not built, and none of its tests would ever run.
#[test]
fn every_file_of_tests_is_part_of_the_program() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let program = fs::read_to_string(tests.join("all.rs")).expect("readable");
    let declared: BTreeSet<&str> = program
        .lines()
        .filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'))
        .filter(|name| *name != "support")
        .collect();
    let files: Vec<PathBuf> = fs::read_dir(&tests)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect();
    let there: BTreeSet<&str> = files
        .iter()
        .filter_map(|path| path.file_stem()?.to_str())
        .filter(|name| *name != "all")
        .collect();
    assert_eq!(declared, there);
}
