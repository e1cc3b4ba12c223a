//! What is generated must be current: each test writes the file anew and fails when that changed it.

#![expect(clippy::expect_used, clippy::panic, reason = "clippy sees tests only in test functions")]

use std::{fs, path::Path, process::Command};

fn howdah(words: &[&str]) -> String {
    let home = tempfile::tempdir().expect("a folder");
    let out = Command::new(env!("CARGO_BIN_EXE_howdah"))
        .args(words)
        .env_clear()
        .env("HOME", home.path())
        .output()
        .expect("it runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("UTF-8")
}

fn current(file: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let found = fs::read_to_string(&path).unwrap_or_default();
    if found != wanted {
        fs::write(&path, wanted).expect("writable");
        panic!("{file} was out of date; it is written anew: look at the difference");
    }
}

/// `text` with what stands between the two marks of that name replaced.
fn with_part(text: &str, name: &str, part: &str) -> String {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let (before, rest) = text.split_once(&begin).expect("the first mark");
    let (_, after) = rest.split_once(&end).expect("the second mark");
    format!("{before}{begin}{part}{end}{after}")
}

#[test]
fn the_example_configuration_is_current() {
    current("assets/config.example.toml", &howdah(&["config", "example"]));
}

#[test]
fn the_readmes_tables_are_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(path).expect("the README");
    let readme = with_part(&readme, "keys", &howdah(&["keys"]));
    let help = format!("```text\n{}```\n", howdah(&["--help"]));
    current("README.md", &with_part(&readme, "help", &help));
}
