//! Finds PostgreSQL's server programs, or says how to install them here.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::ClusterError;

/// A folder with PostgreSQL's server programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    folder: PathBuf,
}

/// Where packagers put the server programs, `*` standing for a version.
/// Sources: Debian's postgresql-common, the PGDG's RPMs, openSUSE's and Alpine's packages, Homebrew's
/// and MacPorts' formulae, Postgres.app's documentation.
const USUAL_PLACES: [&str; 9] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/lib/postgresql*/bin",
    "/usr/libexec/postgresql*",
    "/usr/local/pgsql/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
    "/opt/local/lib/postgresql*/bin",
];

impl Binaries {
    /// Looks in `HOWDAH_PG_BIN`, in `PATH`, where `pg_config` says, and in the usual places, newest
    /// version first.
    ///
    /// # Errors
    /// [`ClusterError::WrongBinaries`] when `HOWDAH_PG_BIN` is set and wrong;
    /// [`ClusterError::NoBinaries`], with the command to install them, when there are none.
    pub fn find() -> Result<Self, ClusterError> {
        let explicit = env::var_os("HOWDAH_PG_BIN").filter(|value| !value.is_empty());
        Self::find_among(explicit.map(PathBuf::from), &searched_folders())
    }

    /// Those of one major version, from all places where [`find`](Self::find) looks: several versions stand
    /// side by side on many machines, and a cluster, its WAL and its physical backups want their own.
    ///
    /// # Errors
    /// The same; [`ClusterError::OtherVersion`] when there are only others.
    pub fn of_major(major: u32) -> Result<Self, ClusterError> {
        let found = Self::find()?;
        if found.major() == Some(major) {
            return Ok(found);
        }
        let others = searched_folders();
        let own = others.iter().filter_map(|folder| Self::at(folder));
        own.into_iter().find(|other| other.major() == Some(major)).ok_or_else(|| {
            ClusterError::OtherVersion { wanted: major, found: found.folder.clone() }
        })
    }

    /// Those for work with a server of that major version: its own, so that what is dumped is what that version
    /// takes back, else the ones that [`find`](Self::find) prefers.
    ///
    /// # Errors
    /// Those of [`find`](Self::find).
    pub fn for_server(major: u32) -> Result<Self, ClusterError> {
        Self::of_major(major).or_else(|_| Self::find())
    }

    fn find_among(explicit: Option<PathBuf>, folders: &[PathBuf]) -> Result<Self, ClusterError> {
        if let Some(folder) = explicit {
            return Self::at(&folder).ok_or(ClusterError::WrongBinaries(folder));
        }
        folders.iter().find_map(|folder| Self::at(folder)).ok_or_else(|| ClusterError::NoBinaries {
            searched: format!("PATH, pg_config --bindir, {}", USUAL_PLACES.join(", ")),
            install: install_command(
                env::consts::OS,
                &fs::read_to_string("/etc/os-release").unwrap_or_default(),
            ),
        })
    }

    /// The programs in that folder, if it has them.
    pub fn at(folder: &Path) -> Option<Self> {
        let complete = ["initdb", "postgres"].iter().all(|name| folder.join(name).is_file());
        complete.then(|| Self { folder: folder.to_owned() })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of one program: beside the server, or beside what a link to the server leads to. Client
    /// programs may stand elsewhere: then `PATH` is to find them.
    pub fn program(&self, name: &str) -> PathBuf {
        let here = self.folder.join(name);
        if here.is_file() {
            return here;
        }
        let real = fs::canonicalize(self.folder.join("postgres")).ok();
        let there = real.and_then(|server| Some(server.parent()?.join(name)));
        there.filter(|there| there.is_file()).unwrap_or_else(|| PathBuf::from(name))
    }

    /// What the server says of itself, such as `postgres (PostgreSQL) 15.18`.
    pub fn version(&self) -> Result<String, ClusterError> {
        let program = self.program("postgres");
        let output = Command::new(&program)
            .arg("--version")
            .output()
            .map_err(ClusterError::io(format!("cannot run {}", program.display())))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// The server's major version; none when it cannot be run, or does not say.
    pub fn major(&self) -> Option<u32> {
        major_of(&self.version().ok()?)
    }
}

/// The major version that one of PostgreSQL's programs tells with `--version`: 15 of
/// `pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`, 18 of `… 18beta1`.
pub fn major_of(says: &str) -> Option<u32> {
    let version = says.split_once("(PostgreSQL) ")?.1;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn searched_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        folders.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    folders.extend(USUAL_PLACES.iter().flat_map(|pattern| expand(Path::new("/"), pattern)));
    folders
}

/// The folders below `root` that a pattern with one `*` names, highest version first.
fn expand(root: &Path, pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else {
        return vec![root.join(pattern.trim_start_matches('/'))];
    };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let parent = root.join(parent.trim_start_matches('/'));
    let Ok(entries) = fs::read_dir(&parent) else { return Vec::new() };
    let mut versions: Vec<(Vec<u32>, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = version_of(name.strip_prefix(prefix)?)?;
            Some((version, parent.join(name).join(after.trim_start_matches('/'))))
        })
        .collect();
    versions.sort_by(|a, b| b.cmp(a));
    versions.into_iter().map(|(_, folder)| folder).collect()
}

/// `15` is 15, `9.6` is 9 6; what is no version (`latest`) is none.
fn version_of(text: &str) -> Option<Vec<u32>> {
    text.split(['.', '-']).map(|part| part.parse().ok()).collect()
}

/// The command that installs the server here, by `/etc/os-release` (os-release(5): `ID`, then
/// `ID_LIKE`).
fn install_command(system: &str, os_release: &str) -> String {
    if system == "macos" {
        return "brew install postgresql@17".into();
    }
    let field = |name: &str| -> String {
        os_release
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            .map(|value| value.trim_matches(['"', '\'']).to_owned())
            .unwrap_or_default()
    };
    let family = format!("{} {}", field("ID"), field("ID_LIKE"));
    let command = family.split_whitespace().find_map(|id| match id {
        "debian" | "ubuntu" => Some("sudo apt-get install postgresql"),
        "fedora" | "rhel" | "centos" | "rocky" | "almalinux" => {
            Some("sudo dnf install postgresql-server")
        }
        "suse" | "sles" | "opensuse" | "opensuse-leap" | "opensuse-tumbleweed" => {
            Some("sudo zypper install postgresql-server")
        }
        "alpine" => Some("sudo apk add postgresql"),
        "arch" => Some("sudo pacman -S postgresql"),
        _ => None,
    });
    command.unwrap_or("your system's package manager (package `postgresql`)").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fake_install(root: &Path, folder: &str) {
        let folder = root.join(folder);
        fs::create_dir_all(&folder).expect("folder");
        for name in ["initdb", "postgres"] {
            fs::write(folder.join(name), "").expect("file");
        }
    }

    #[test]
    fn the_newest_version_comes_first_by_number_not_by_letter() {
        let root = tempfile::tempdir().expect("folder");
        for version in ["9.6", "15", "17", "latest"] {
            fake_install(root.path(), &format!("usr/lib/postgresql/{version}/bin"));
        }
        let found = expand(root.path(), "/usr/lib/postgresql/*/bin");
        let names: Vec<_> =
            found.iter().map(|f| f.strip_prefix(root.path()).expect("below").to_owned()).collect();
        let want =
            ["17", "15", "9.6"].map(|v| PathBuf::from(format!("usr/lib/postgresql/{v}/bin")));
        assert_eq!(names, want);
        assert!(expand(root.path(), "/usr/pgsql-*/bin").is_empty());
    }

    #[test]
    fn a_prefix_before_the_version_is_honoured() {
        let root = tempfile::tempdir().expect("folder");
        fake_install(root.path(), "usr/pgsql-16/bin");
        fake_install(root.path(), "usr/other-18/bin");
        assert_eq!(expand(root.path(), "/usr/pgsql-*/bin"), [root.path().join("usr/pgsql-16/bin")]);
    }

    #[test]
    fn a_folder_with_only_the_client_programs_will_not_do() {
        let root = tempfile::tempdir().expect("folder");
        fs::write(root.path().join("psql"), "").expect("file");
        assert_eq!(Binaries::at(root.path()), None);
        let error = Binaries::find_among(Some(root.path().to_owned()), &[]);
        assert!(matches!(error, Err(ClusterError::WrongBinaries(_))), "{error:?}");
    }

    #[test]
    fn programs_beside_a_linked_server_are_found() {
        let root = tempfile::tempdir().expect("folder");
        fake_install(root.path(), "real");
        fs::write(root.path().join("real/pg_waldump"), "").expect("file");
        fs::create_dir(root.path().join("bin")).expect("folder");
        for name in ["initdb", "postgres"] {
            let link = root.path().join("bin").join(name);
            std::os::unix::fs::symlink(root.path().join("real").join(name), link).expect("link");
        }
        let binaries = Binaries::at(&root.path().join("bin")).expect("complete");
        let real = fs::canonicalize(root.path().join("real/pg_waldump")).expect("real");
        assert_eq!(binaries.program("pg_waldump"), real);
        assert_eq!(binaries.program("psql"), PathBuf::from("psql"));
    }

    #[test]
    fn without_binaries_the_message_says_how_to_get_them() {
        let error = Binaries::find_among(None, &["/nonexistent".into()]).expect_err("none");
        let message = error.to_string();
        assert!(message.contains("Install them with"), "{message}");
        assert!(message.contains("HOWDAH_PG_BIN"), "{message}");
    }

    #[test]
    fn a_program_tells_its_major_version() {
        assert_eq!(major_of("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), Some(15));
        assert_eq!(major_of("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major_of("pg_dump"), None);
    }

    #[test]
    fn a_version_that_is_not_here_is_refused_with_what_is() {
        let own = Binaries::find().expect("server programs").major().expect("a version");
        assert_eq!(Binaries::of_major(own).expect("its own").major(), Some(own));
        let error = Binaries::of_major(9).expect_err("none of that version").to_string();
        assert!(error.contains("install PostgreSQL 9"), "{error}");
        assert_eq!(Binaries::for_server(9).expect("others").major(), Some(own));
    }

    #[test]
    fn each_system_gets_its_own_install_command() {
        for (os_release, want) in [
            ("ID=debian\n", "apt-get install postgresql"),
            ("NAME=x\nID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", "apt-get install postgresql"),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", "dnf install postgresql-server"),
            ("ID=fedora\n", "dnf install postgresql-server"),
            ("ID=\"opensuse-leap\"\n", "zypper install postgresql-server"),
            ("ID=alpine\n", "apk add postgresql"),
            ("ID=arch\n", "pacman -S postgresql"),
            ("", "package manager"),
        ] {
            let command = install_command("linux", os_release);
            assert!(command.contains(want), "{os_release:?}: {command}");
        }
        assert!(install_command("macos", "").starts_with("brew"));
    }

    #[test]
    fn this_machine_has_them() {
        let binaries = Binaries::find().expect("server programs");
        assert!(binaries.version().expect("a version").contains("PostgreSQL"));
    }
}
