//! Parts of the README that tests write: each must be current.
#![allow(clippy::panic, reason = "a test that finds the README out of date has failed")]

use std::{fs, path::Path};

/// Holds what stands between two marks of the README against `part`; where it differs, it is written anew and
/// the test fails.
pub fn part(name: &str, part: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(&path).expect("the README");
    let wanted = with_part(&readme, name, part);
    if readme != wanted {
        fs::write(&path, wanted).expect("writable");
        panic!("README.md was out of date ('{name}'); it is written anew: look at the difference");
    }
}

/// `text` with what stands between the two marks of that name replaced.
fn with_part(text: &str, name: &str, part: &str) -> String {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let (before, rest) = text.split_once(&begin).expect("the first mark");
    let (_, after) = rest.split_once(&end).expect("the second mark");
    format!("{before}{begin}{part}{end}{after}")
}
