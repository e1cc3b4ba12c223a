//! Where the door is, and how it is opened so that nobody else comes in.

use std::{
    fmt, fs, io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use tokio::net::{TcpListener, UnixListener};

use crate::base::{secret::Secret, text::Text};

/// Characters that a token must have at least: 96 bits, where they are drawn from letters and digits.
const TOKEN: usize = 16;

/// A door, for who opens it and for who goes through it.
#[derive(Clone, Debug)]
pub enum Door {
    /// A socket file that only its owner may use.
    Unix(PathBuf),
    /// A port of this machine, and the bearer token that opens it.
    Loopback(SocketAddr, Secret),
}

/// Why there is no door.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The words name none.
    #[error("'{0}' is no control endpoint: write unix:/path or http://127.0.0.1:port")]
    Words(Text),
    /// The address is not of this machine alone.
    #[error("{0} is no loopback address: breakers are not controlled over the network")]
    NotLoopback(SocketAddr),
    /// A port without a token that deserves the name.
    #[error(
        "a loopback port is open to everybody on this machine: it wants a token of at least {TOKEN} characters"
    )]
    Token,
    /// Somebody serves there.
    #[error("another process serves '{}'", .0.display())]
    Taken(PathBuf),
    /// Something else stands there.
    #[error("'{}' is no socket: it is left alone", .0.display())]
    NotASocket(PathBuf),
    /// Two breakers of one name could not be told apart.
    #[error("two breakers are called '{0}'")]
    Twice(Text),
    /// The system says no.
    #[error("cannot open {what}: {source}")]
    Io {
        /// The door.
        what: String,
        /// Why.
        source: io::Error,
    },
}

impl Door {
    /// The door that words name: `unix:/path`, or `http://127.0.0.1:port` with a token.
    ///
    /// # Errors
    /// [`DoorError::Words`], [`DoorError::NotLoopback`], [`DoorError::Token`].
    pub fn parse(words: &str, token: Option<Secret>) -> Result<Self, DoorError> {
        let unknown = || DoorError::Words(Text::foreign(words));
        if let Some(path) = words.strip_prefix("unix:") {
            let path = PathBuf::from(path);
            return if path.is_absolute() { Ok(Self::Unix(path)) } else { Err(unknown()) };
        }
        let authority = words.strip_prefix("http://").ok_or_else(unknown)?;
        let address = authority.trim_end_matches('/').parse().map_err(|_| unknown())?;
        let door = Self::Loopback(address, token.unwrap_or_default());
        door.sound()?;
        Ok(door)
    }

    fn sound(&self) -> Result<(), DoorError> {
        match self {
            Self::Loopback(address, _) if !address.ip().is_loopback() => {
                Err(DoorError::NotLoopback(*address))
            }
            Self::Loopback(_, token) if token.expose().len() < TOKEN => Err(DoorError::Token),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Loopback(address, _) => write!(f, "http://{address}"),
        }
    }
}

/// An open door.
#[derive(Debug)]
pub(super) enum Open {
    /// The file goes with it.
    Unix {
        listener: UnixListener,
        _file: SocketFile,
    },
    Loopback(TcpListener),
}

pub(super) async fn open(door: &Door) -> Result<Open, DoorError> {
    door.sound()?;
    let failed = |source| DoorError::Io { what: door.to_string(), source };
    match door {
        Door::Unix(path) => {
            vacant(path)?;
            let (listener, file) = SocketFile::bind(path).map_err(failed)?;
            Ok(Open::Unix { listener, _file: file })
        }
        Door::Loopback(address, _) => {
            Ok(Open::Loopback(TcpListener::bind(address).await.map_err(failed)?))
        }
    }
}

/// Nobody serves there, and nothing but what a dead process left may stand there.
fn vacant(path: &Path) -> Result<(), DoorError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => {
            Err(DoorError::NotASocket(path.to_owned()))
        }
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            Err(DoorError::Taken(path.to_owned()))
        }
        _ => Ok(()),
    }
}

/// A socket file of ours; dropping it removes it, unless another one has taken its place.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl SocketFile {
    /// Made in a folder that nobody else may enter and moved into its place with the right mode: there is no
    /// moment in which others may connect.
    fn bind(path: &Path) -> io::Result<(UnixListener, Self)> {
        let beside = path.parent().unwrap_or(Path::new("/"));
        let workshop = tempfile::Builder::new().prefix(".control").tempdir_in(beside)?;
        let draft = workshop.path().join("s");
        let listener = UnixListener::bind(&draft)?;
        fs::set_permissions(&draft, fs::Permissions::from_mode(0o600))?;
        let inode = fs::metadata(&draft)?.ino();
        fs::rename(&draft, path)?;
        Ok((listener, Self { path: path.to_owned(), inode }))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode);
        if ours {
            // A file that stays is found dead by the next one.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lead_to_a_door_of_this_machine_only() {
        let token = || Some(Secret::new("0123456789abcdef"));
        let door = |words: &str| Door::parse(words, token()).map(|door| door.to_string());
        assert_eq!(door("unix:/run/a").expect("good"), "unix:/run/a");
        assert_eq!(door("http://127.0.0.1:9001/").expect("good"), "http://127.0.0.1:9001");
        assert_eq!(door("http://[::1]:9001").expect("good"), "http://[::1]:9001");
        for words in ["unix:run/a", "https://127.0.0.1:1", "http://localhost:1", "127.0.0.1:1", ""]
        {
            assert!(matches!(door(words), Err(DoorError::Words(_))), "{words}");
        }
        assert!(matches!(door("http://10.0.0.7:1"), Err(DoorError::NotLoopback(_))));
        for token in [None, Some(Secret::new("short"))] {
            assert!(matches!(Door::parse("http://127.0.0.1:1", token), Err(DoorError::Token)));
        }
        let shown = format!("{:?}", Door::parse("http://127.0.0.1:1", token()));
        assert!(!shown.contains("0123456789abcdef"), "{shown}");
    }
}
