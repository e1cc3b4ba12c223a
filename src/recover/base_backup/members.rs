//! Reads the tar archives of a base backup, and compares what is in them with PostgreSQL's own manifest.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    io::{self, Read},
};

use super::{BaseManifest, Label, manifest::Range};
use crate::{
    base::{digest::Hasher, text::Text},
    recover::{Fault, Kind, Result},
};

/// No file that is kept whole while reading is larger: a manifest has some 200 bytes for each file.
const LIMIT: u64 = 1 << 30;
/// How much is read at once.
const PART: usize = 1 << 18;

/// What stood in the archives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Size and SHA-256 of each file, by path below the data folder. Without WAL segments and the manifest.
    pub files: BTreeMap<Vec<u8>, (u64, String)>,
    /// WAL: name and size.
    pub wal: BTreeMap<String, u64>,
    /// `backup_label`.
    pub label: Option<Vec<u8>>,
    /// `tablespace_map`.
    pub tablespace_map: Option<Vec<u8>>,
    /// `backup_manifest`, where it stood in an archive.
    pub manifest: Option<Vec<u8>>,
    /// The cluster that `pg_control` is of.
    pub system_identifier: Option<u64>,
}

/// Where the members of an archive go while they are read, in its order.
pub trait Destination {
    /// A folder, by its path in the archive, with its permission bits.
    ///
    /// # Errors
    /// Why it cannot be there.
    fn folder(&mut self, path: &[u8], mode: u32) -> Result<()>;

    /// A file begins, and what was begun before is whole.
    ///
    /// # Errors
    /// Why it cannot be there.
    fn file(&mut self, path: &[u8], mode: u32) -> Result<()>;

    /// The next bytes of the file that began last.
    ///
    /// # Errors
    /// Why they cannot be there.
    fn bytes(&mut self, part: &[u8]) -> Result<()>;
}

/// Where below the data folder the files of a tablespace are listed.
pub fn tablespace_prefix(oid: u32) -> String {
    format!("pg_tblspc/{oid}/")
}

/// For those who only look.
struct Nowhere;

impl Destination for Nowhere {
    fn folder(&mut self, _: &[u8], _: u32) -> Result<()> {
        Ok(())
    }

    fn file(&mut self, _: &[u8], _: u32) -> Result<()> {
        Ok(())
    }

    fn bytes(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }
}

impl Members {
    /// Reads one archive to its very end. `tablespace` is the number of the tablespace that it is of.
    ///
    /// # Errors
    /// [`Kind::Damaged`] when it is no sound archive; else what reading says.
    pub fn read(&mut self, archive: impl Read, tablespace: Option<u32>) -> Result<()> {
        let prefix = tablespace.map(tablespace_prefix).unwrap_or_default();
        self.read_into(archive, &prefix, &mut Nowhere)
    }

    /// The same, and hands on what it reads: folders and files. Links are left out: those of `pg_tblspc` the
    /// server makes itself, by `tablespace_map`, and a base backup has no others (`sendDir` in basebackup.c).
    /// `prefix` is where below the data folder the archive belongs, with its slash.
    ///
    /// # Errors
    /// [`Kind::Damaged`] when it is no sound archive; else what reading or the destination says.
    pub fn read_into(
        &mut self,
        archive: impl Read,
        prefix: &str,
        to: &mut dyn Destination,
    ) -> Result<()> {
        let mut archive = tar::Archive::new(archive);
        let mut buffer = vec![0; PART];
        for entry in archive.entries().map_err(|error| unreadable(&error))? {
            let mut entry = entry.map_err(|error| unreadable(&error))?;
            let path = entry.path_bytes();
            let path = path.strip_prefix(b"./").unwrap_or(&path).to_owned();
            let mode = entry.header().mode().map_err(|error| unreadable(&error))?;
            match entry.header().entry_type() {
                kind if kind.is_dir() => to.folder(&path, mode)?,
                kind if kind.is_file() => {
                    to.file(&path, mode)?;
                    self.take(&mut entry, &[prefix.as_bytes(), &path].concat(), &mut buffer, to)?;
                }
                _ => {}
            }
        }
        // Behind the end mark tar archives are filled up: that is to be read, too.
        io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(|error| unreadable(&error))?;
        Ok(())
    }

    fn take(
        &mut self,
        entry: &mut impl Read,
        path: &[u8],
        buffer: &mut [u8],
        to: &mut dyn Destination,
    ) -> Result<()> {
        let keep = matches!(
            path,
            b"backup_label" | b"tablespace_map" | b"backup_manifest" | b"global/pg_control"
        );
        let wal = path.strip_prefix(b"pg_wal/").and_then(segment_name);
        let (mut hasher, mut size, mut kept) = (Hasher::default(), 0, Vec::new());
        loop {
            let read = match entry.read(buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(unreadable(&error)),
            };
            let part = buffer.get(..read).unwrap_or_default();
            size += read as u64;
            if keep && size <= LIMIT {
                kept.extend_from_slice(part);
            }
            if wal.is_none() {
                hasher.update(part);
            }
            to.bytes(part)?;
        }
        if let Some(name) = wal {
            self.wal.insert(name, size);
            return Ok(());
        }
        match path {
            b"backup_manifest" => {
                self.manifest = Some(kept);
                return Ok(());
            }
            b"backup_label" => self.label = Some(kept),
            b"tablespace_map" => self.tablespace_map = Some(kept),
            // Its first member (`ControlFileData` in pg_control.h), as this machine orders bytes.
            b"global/pg_control" => {
                self.system_identifier = kept.first_chunk().map(|first| u64::from_ne_bytes(*first));
            }
            _ => {}
        }
        self.add(path.to_owned(), (size, hasher.finish()))
    }

    fn add(&mut self, path: Vec<u8>, file: (u64, String)) -> Result<()> {
        match self.files.entry(path) {
            Entry::Occupied(there) => {
                let what = format!("'{}' is there twice", shown(there.key()));
                Err(Fault::new(Kind::Damaged, what))
            }
            Entry::Vacant(place) => {
                place.insert(file);
                Ok(())
            }
        }
    }

    /// Adds what another archive of the same backup holds.
    ///
    /// # Errors
    /// [`Kind::Damaged`] when both hold the same file.
    pub fn join(&mut self, other: Self) -> Result<()> {
        for (path, file) in other.files {
            self.add(path, file)?;
        }
        self.wal.extend(other.wal);
        self.label = self.label.take().or(other.label);
        self.tablespace_map = self.tablespace_map.take().or(other.tablespace_map);
        self.manifest = self.manifest.take().or(other.manifest);
        self.system_identifier = self.system_identifier.or(other.system_identifier);
        Ok(())
    }

    /// What the label says.
    ///
    /// # Errors
    /// [`Kind::Damaged`] when there is none, or it cannot be understood.
    pub fn label(&self) -> Result<Label> {
        let Some(label) = &self.label else {
            return Err(Fault::new(Kind::Damaged, "the base backup has no backup_label"));
        };
        Label::parse(&String::from_utf8_lossy(label))
    }
}

/// What the archives have other than the manifest says, each naming the thing; nothing when all is well.
/// `segment` is the size of a WAL segment in bytes.
pub fn compare(manifest: &BaseManifest, members: &Members, segment: u64) -> Vec<String> {
    let mut wrong = Vec::new();
    for (path, entry) in &manifest.files {
        let Some((size, sha256)) = members.files.get(path) else {
            wrong.push(format!("'{}' is missing", shown(path)));
            continue;
        };
        if *size != entry.size {
            let (path, wanted) = (shown(path), entry.size);
            wrong.push(format!("'{path}' has {size} bytes instead of {wanted}"));
        } else if entry.sha256.as_ref().is_some_and(|wanted| wanted != sha256) {
            wrong.push(format!(
                "'{}' is not what PostgreSQL read: its SHA-256 differs",
                shown(path)
            ));
        }
    }
    let more = members.files.keys().filter(|path| !manifest.files.contains_key(*path));
    wrong.extend(more.map(|path| format!("'{}' is not in backup_manifest", shown(path))));
    match members.label() {
        Err(fault) => wrong.push(fault.what().as_str().to_owned()),
        Ok(label) if manifest.wal.first().is_none_or(|first| label.start != first.start) => {
            wrong.push(
                "backup_label and backup_manifest begin at different places in WAL".to_owned(),
            );
        }
        Ok(_) => {}
    }
    wrong.extend(missing_wal(&manifest.wal, members, segment));
    wrong
}

/// The WAL that is needed and not there, or not whole.
fn missing_wal(needed: &[Range], members: &Members, segment: u64) -> Vec<String> {
    // On which timeline a segment lies where one ends and the next begins, only the history file tells:
    // any will do here.
    let by_place: BTreeMap<&str, u64> =
        members.wal.iter().filter_map(|(name, size)| Some((name.get(8..)?, *size))).collect();
    let places: BTreeSet<u64> = needed.iter().flat_map(|range| segments(*range, segment)).collect();
    let mut wrong = Vec::new();
    for place in places {
        let name = segment_place(place, segment);
        match by_place.get(name.as_str()) {
            None => wrong.push(format!("the WAL segment …{name} is missing")),
            Some(&size) if size != segment => {
                wrong
                    .push(format!("the WAL segment …{name} has {size} bytes instead of {segment}"));
            }
            Some(_) => {}
        }
    }
    wrong
}

/// The name of a WAL segment. What else stands beside them (histories, `archive_status`) is in the manifest,
/// as all other files are.
fn segment_name(name: &[u8]) -> Option<String> {
    let digit = |c: &u8| c.is_ascii_digit() || (b'A'..=b'F').contains(c);
    (name.len() == 24 && name.iter().all(digit)).then(|| String::from_utf8_lossy(name).into_owned())
}

/// The numbers of the segments that a range lies in.
fn segments(range: Range, segment: u64) -> std::ops::RangeInclusive<u64> {
    let segment = segment.max(1);
    // The end is the first byte that is not needed.
    range.start / segment..=range.end.saturating_sub(1).max(range.start) / segment
}

/// The last 16 digits of a segment's name (`XLogFileName`).
fn segment_place(number: u64, segment: u64) -> String {
    let per_log = (1 << 32) / segment.max(1);
    format!("{:08X}{:08X}", number / per_log, number % per_log)
}

fn shown(path: &[u8]) -> Text {
    Text::foreign(&String::from_utf8_lossy(path))
}

/// The archive cannot be read on: tar tells its own findings without a system's error.
fn unreadable(error: &io::Error) -> Fault {
    if let Some(fault) = Fault::inside(error) {
        return fault;
    }
    match error.kind() {
        io::ErrorKind::StorageFull => {
            Fault::io("cannot keep the archive")(io::Error::from(error.kind()))
        }
        _ if error.raw_os_error().is_some() => {
            Fault::new(Kind::Failed, format!("the archive cannot be read: {error}"))
        }
        _ => Fault::new(Kind::Damaged, format!("the archive is damaged: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{base::digest::sha256, recover::base_backup::manifest};

    const SEGMENT: u64 = 16;

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, bytes) in files {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o600);
            builder.append_data(&mut header, path, *bytes).expect("written");
        }
        builder.into_inner().expect("finished")
    }

    const LABEL: &[u8] = b"START WAL LOCATION: 0/20 (file x)\nLABEL: l\nSTART TIMELINE: 1\n";

    fn sound() -> (BaseManifest, Vec<(&'static str, &'static [u8])>) {
        let files: Vec<(&str, &[u8])> = vec![
            ("backup_label", LABEL),
            ("base/1/2", b"rows"),
            ("pg_wal/000000010000000000000002", &[0; 16]),
            ("pg_wal/000000010000000000000003", &[0; 16]),
        ];
        let listed = files.iter().take(2).map(|(path, bytes)| {
            let entry = manifest::Entry { size: bytes.len() as u64, sha256: Some(sha256(bytes)) };
            (path.as_bytes().to_owned(), entry)
        });
        let wal = vec![Range { timeline: 1, start: 0x20, end: 0x40 }];
        (BaseManifest { files: listed.collect(), wal, system_identifier: None }, files)
    }

    fn findings(manifest: &BaseManifest, files: &[(&str, &[u8])]) -> Vec<String> {
        let mut members = Members::default();
        members.read(archive(files).as_slice(), None).expect("read");
        compare(manifest, &members, SEGMENT)
    }

    #[test]
    fn each_kind_of_damage_has_its_own_finding() {
        let (manifest, files) = sound();
        assert_eq!(findings(&manifest, &files), [""; 0]);
        for (at, with, word) in [
            (1, ("base/1/2", b"Rows".as_slice()), "SHA-256"),
            (1, ("base/1/2", b"row"), "3 bytes instead of 4"),
            (1, ("base/1/3", b"rows"), "'base/1/2' is missing"),
            (1, ("base/1/3", b"rows"), "'base/1/3' is not in backup_manifest"),
            (2, ("pg_wal/000000010000000000000009", &[0; 16]), "…0000000000000002 is missing"),
            (3, ("pg_wal/000000010000000000000003", &[0; 8]), "has 8 bytes instead of 16"),
            (0, ("label", LABEL), "no backup_label"),
        ] {
            let mut changed = files.clone();
            changed[at] = with;
            let found = findings(&manifest, &changed);
            assert!(found.iter().any(|finding| finding.contains(word)), "{word}: {found:?}");
        }
        let mut later = manifest;
        later.wal[0].start = 0x21;
        assert!(findings(&later, &files).iter().any(|f| f.contains("different places")));
    }

    #[test]
    fn an_archive_that_is_cut_off_is_damaged() {
        let (_, files) = sound();
        let whole = archive(&files);
        let cut = whole.get(..700).expect("long enough");
        let fault = Members::default().read(cut, None).expect_err("cut");
        assert_eq!(fault.kind, Kind::Damaged, "{fault}");
    }

    #[test]
    fn archives_of_one_backup_are_told_together_and_hold_no_file_twice() {
        let (manifest, files) = sound();
        let read = |files: &[_], tablespace| {
            let mut members = Members::default();
            members.read(archive(files).as_slice(), tablespace).expect("read");
            members
        };
        let mut members = read(&files[..1], None);
        members.join(read(&files[1..], None)).expect("different files");
        assert_eq!(compare(&manifest, &members, SEGMENT), [""; 0]);
        members.join(read(&files[1..2], Some(5))).expect("elsewhere");
        let fault = members.join(read(&files[1..2], None)).expect_err("twice");
        assert!(fault.to_string().contains("'base/1/2' is there twice"), "{fault}");
    }

    #[test]
    fn segments_are_named_as_postgresql_does() {
        assert_eq!(segment_place(0x1234, 16 << 20), "0000001200000034");
        assert_eq!(segment_place(5, 1 << 30), "0000000100000001");
        let range = Range { timeline: 1, start: 16 << 20, end: 32 << 20 };
        assert_eq!(segments(range, 16 << 20), 1..=1);
    }
}
