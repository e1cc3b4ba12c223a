//! What is said to a run by those who do not drive it: one file for each word in the run's folder, until the driver
//! has taken it into the journal.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    GuideError,
    error::io,
    state::{Event, Input},
};
use crate::base::paths::{private_folder, write_private};

const POST: &str = "post";

/// Leaves a word. Its name sorts by its moment.
pub fn leave(run: &Path, event: &Event) -> Result<(), GuideError> {
    let folder = run.join(POST);
    private_folder(&folder).map_err(io(&folder))?;
    let name = format!("{}-{}.json", event.at.as_nanosecond(), std::process::id());
    let json = serde_json::to_vec(event).map_err(|error| GuideError::Spec(error.to_string()))?;
    write_private(&folder.join(name), &json).map_err(io(&folder))
}

/// The names of what was left and not taken yet, in the order of their moments.
pub fn names(run: &Path) -> Vec<String> {
    let entries = fs::read_dir(run.join(POST)).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    // One that is being written has another name.
    names.retain(|name| Path::new(name).extension().is_some_and(|ext| ext == "json"));
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    names
}

/// What was left, each with the file that it stands in. What cannot be read, or is nothing that others may say, is
/// none of it.
pub fn read(run: &Path) -> Vec<(PathBuf, Event)> {
    let left = names(run).into_iter().filter_map(|name| {
        let path = run.join(POST).join(name);
        let event: Event = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
        let others = matches!(event.input, Input::Note(_) | Input::Todo(_) | Input::Second(_));
        others.then_some((path, event))
    });
    left.collect()
}
