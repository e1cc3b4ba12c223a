//! The demos that run on this machine: each leaves a note, so that a second terminal finds it.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use directories::ProjectDirs;
use serde::{Deserialize, Serialize};

use super::{SandboxError, settings};
use crate::{
    base::{process::Identity, secret::Secret},
    cluster::{ClusterError, Server, guard, server::write_private},
};

/// A demo application, as others see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its name, such as `api-1`.
    pub name: String,
    /// Where it serves its metrics, such as `http://127.0.0.1:41234/metrics`.
    pub url: String,
}

/// A running demo, as its own process or another one sees it.
#[derive(Clone, Debug)]
pub struct DemoHandle {
    /// The process that owns it; when that ends, so does the demo. None for a kept one.
    pub owner: Option<Identity>,
    /// The sandbox folder.
    pub folder: PathBuf,
    /// The applications.
    pub apps: Vec<Endpoint>,
    /// What the applications want to see before they obey.
    pub token: Secret,
}

/// The note's text. The token is written out: the file is for its owner's eyes only (0600).
#[derive(Serialize, Deserialize)]
struct Note {
    owner: Option<Identity>,
    folder: PathBuf,
    apps: Vec<Endpoint>,
    token: String,
}

impl DemoHandle {
    /// A configuration file with the demo as its target.
    pub fn config(&self) -> PathBuf {
        settings::file(&self.folder)
    }

    /// Its server.
    pub fn server(&self) -> Result<Server, SandboxError> {
        Ok(Server::open(&self.folder)?)
    }

    /// True while it can be used: its owner runs, or it was kept and is still there.
    pub fn alive(&self) -> bool {
        self.folder.exists() && self.owner.as_ref().is_none_or(Identity::alive)
    }
}

/// The folder of notes.
#[derive(Clone, Debug)]
pub struct Registry(PathBuf);

impl Registry {
    /// The user's: in the runtime folder if the system has one, else in the state folder.
    pub fn usual() -> Result<Self, SandboxError> {
        let dirs = ProjectDirs::from("", "", "howdah").ok_or_else(|| ClusterError::Io {
            what: "cannot find a place for the note about this demo".into(),
            source: io::Error::new(io::ErrorKind::NotFound, "no home folder"),
        })?;
        let runtime = dirs.runtime_dir().filter(|folder| folder.parent().is_some_and(Path::exists));
        let folder = runtime.or(dirs.state_dir()).unwrap_or(dirs.data_local_dir());
        Ok(Self(folder.join("demo")))
    }

    /// Another folder.
    pub fn at(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Where the note of the demo in that sandbox folder stands.
    pub fn path_of(&self, sandbox: &Path) -> PathBuf {
        let name = sandbox.file_name().unwrap_or_default().to_string_lossy();
        self.0.join(format!("{name}.json"))
    }

    /// Writes a demo's note, or writes it anew.
    pub fn write(&self, demo: &DemoHandle) -> Result<(), SandboxError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
            .map_err(SandboxError::io(format!("cannot make {}", self.0.display())))?;
        let note = Note {
            owner: demo.owner.clone(),
            folder: demo.folder.clone(),
            apps: demo.apps.clone(),
            token: demo.token.expose().to_owned(),
        };
        let text = serde_json::to_string(&note)
            .map_err(|error| SandboxError::io("cannot describe the demo")(error.into()))?;
        // Whole or not at all: somebody may be reading.
        let path = self.path_of(&demo.folder);
        let draft = path.with_extension("part");
        write_private(&draft, &text)?;
        fs::rename(&draft, &path)
            .map_err(SandboxError::io(format!("cannot write {}", path.display())))
    }

    /// Removes a demo's note. Nothing when there is none.
    pub fn forget(&self, sandbox: &Path) {
        let _ = fs::remove_file(self.path_of(sandbox));
    }

    /// The demo that was started last.
    ///
    /// # Errors
    /// [`SandboxError::NoDemo`] when none runs.
    pub fn newest(&self) -> Result<DemoHandle, SandboxError> {
        self.running().into_iter().next().ok_or(SandboxError::NoDemo)
    }

    /// The demos that run, latest first. What is left of dead ones is put away on the way.
    pub fn running(&self) -> Vec<DemoHandle> {
        let Ok(entries) = fs::read_dir(&self.0) else { return Vec::new() };
        let mut found: Vec<_> = entries
            .flatten()
            .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "json"))
            .filter_map(|entry| {
                let note: Note =
                    serde_json::from_str(&fs::read_to_string(entry.path()).ok()?).ok()?;
                let demo = DemoHandle {
                    owner: note.owner,
                    folder: note.folder,
                    apps: note.apps,
                    token: Secret::new(note.token),
                };
                if demo.alive() {
                    return Some((entry.metadata().and_then(|m| m.modified()).ok(), demo));
                }
                // The guard does this; here is what it could not, such as after a power cut.
                guard::remove_sandbox(&demo.folder);
                let _ = fs::remove_file(entry.path());
                None
            })
            .collect();
        found.sort_by_key(|(written, _)| std::cmp::Reverse(*written));
        found.into_iter().map(|(_, demo)| demo).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::cluster::folder::PrivateFolder;

    fn demo(owner: Option<Identity>, folder: &Path) -> DemoHandle {
        DemoHandle {
            owner,
            folder: folder.to_owned(),
            apps: vec![Endpoint { name: "api-1".into(), url: "http://127.0.0.1:1/metrics".into() }],
            token: Secret::new("open sesame"),
        }
    }

    #[test]
    fn a_running_demo_is_found_with_its_token_and_a_dead_one_put_away() {
        let place = tempfile::tempdir().expect("folder");
        let registry = Registry::at(place.path().join("demo"));
        assert!(registry.running().is_empty());

        let own = Identity::own().expect("we run");
        let dead = Identity { started: "before".into(), ..own.clone() };
        let sandboxes = [(); 3].map(|()| PrivateFolder::create().expect("a folder"));
        registry.write(&demo(Some(own), sandboxes[0].path())).expect("written");
        registry.write(&demo(Some(dead), sandboxes[1].path())).expect("written");
        registry.write(&demo(None, sandboxes[2].path())).expect("written");
        let mode =
            fs::metadata(registry.path_of(sandboxes[0].path())).expect("there").permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);

        let running = registry.running();
        assert_eq!(running.len(), 2, "{running:?}");
        assert!(running.iter().all(|demo| demo.token.expose() == "open sesame"));
        assert!(!sandboxes[1].path().exists(), "the dead one's folder is gone");
        assert!(!registry.path_of(sandboxes[1].path()).exists());

        registry.forget(sandboxes[0].path());
        assert_eq!(registry.running().len(), 1);
    }
}
