//! A guide that is being walked by plain lines.

use std::{
    io::{Read as _, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use super::howdah;

pub struct Walk {
    child: Child,
    lines: Option<ChildStdin>,
    prints: ChildStdout,
    said: String,
}

impl Walk {
    pub fn start(home: &Path, words: &[&str]) -> Self {
        Self::start_with(howdah(home, words))
    }

    pub fn start_with(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("started");
        let (lines, prints) = (child.stdin.take(), child.stdout.take().expect("a pipe"));
        Self { child, lines, prints, said: String::new() }
    }

    /// Answers each question until there are none. `answer` is told what was printed since the last one.
    pub fn answer(&mut self, answer: &mut dyn FnMut(&str) -> String) {
        let mut since = 0;
        let mut bytes = Vec::new();
        let mut part = [0; 4096];
        while let Ok(read) = self.prints.read(&mut part)
            && read > 0
        {
            bytes.extend_from_slice(&part[..read]);
            self.said = String::from_utf8_lossy(&bytes).into_owned();
            let asked = self.said.get(since..).unwrap_or_default();
            if asked.ends_with("> ") || asked.ends_with("reason: ") {
                let line = answer(asked) + "\n";
                since = self.said.len();
                let Some(lines) = &mut self.lines else { return };
                // It may have been killed meanwhile.
                let _ = lines.write_all(line.as_bytes());
            }
        }
    }

    /// How it ended, and all that it said.
    pub fn end(mut self) -> (Option<i32>, String) {
        drop(self.lines.take());
        (self.child.wait().expect("ended").code(), self.said)
    }
}
