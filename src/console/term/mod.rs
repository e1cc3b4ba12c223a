//! The terminal: taking it, drawing on it, reading from it, giving it back.
//!
//! The only place that names crossterm. Everything goes through a descriptor of our own that never
//! blocks ([`tty`]), because a terminal that nobody reads would otherwise stop whoever writes to it.

pub mod backend;
pub mod frame;
pub mod input;
pub mod session;
pub mod signals;
pub mod tty;
pub mod watchdog;

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    #[test]
    fn nobody_else_names_the_terminal_library() {
        fn look(folder: &Path, offenders: &mut Vec<String>) {
            for entry in fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.ends_with("console/term") {
                    continue;
                }
                if path.is_dir() {
                    look(&path, offenders);
                } else if fs::read_to_string(&path).is_ok_and(|text| text.contains("crossterm")) {
                    offenders.push(path.display().to_string());
                }
            }
        }
        let mut offenders = Vec::new();
        look(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut offenders);
        assert!(offenders.is_empty(), "{offenders:?}");
    }
}
