//! `backup_manifest`: PostgreSQL's own list of the files of a base backup (PostgreSQL documentation, "Backup
//! Manifest Format").

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    base::digest::sha256,
    recover::{Fault, Kind, Result, repository::manifest::parse_lsn},
};

/// A whole manifest whose own checksum is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseManifest {
    /// The files, by path below the data folder, as bytes.
    pub files: BTreeMap<Vec<u8>, Entry>,
    /// The WAL that makes the backup consistent, oldest first.
    pub wal: Vec<Range>,
    /// The cluster, where the manifest tells (17 and later).
    pub system_identifier: Option<u64>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256 in hex digits; none when another algorithm was used, or none.
    pub sha256: Option<String>,
}

/// A stretch of WAL on one timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The timeline.
    pub timeline: u32,
    /// Where replay begins.
    pub start: u64,
    /// How far it must come.
    pub end: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawFile {
    path: Option<String>,
    #[serde(rename = "Encoded-Path")]
    encoded_path: Option<String>,
    size: u64,
    #[serde(rename = "Checksum-Algorithm")]
    algorithm: Option<String>,
    checksum: Option<String>,
}

#[derive(Deserialize)]
struct RawRange {
    #[serde(rename = "Timeline")]
    timeline: u32,
    #[serde(rename = "Start-LSN")]
    start: String,
    #[serde(rename = "End-LSN")]
    end: String,
}

#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "Files")]
    files: Vec<RawFile>,
    #[serde(rename = "WAL-Ranges")]
    wal: Vec<RawRange>,
    #[serde(rename = "System-Identifier")]
    system_identifier: Option<u64>,
    #[serde(rename = "Manifest-Checksum")]
    checksum: String,
}

impl BaseManifest {
    /// Reads it and checks its own checksum: SHA-256 of every byte before the line of that checksum.
    ///
    /// # Errors
    /// [`Kind::Damaged`].
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let damaged =
            |why: &str| Fault::new(Kind::Damaged, format!("backup_manifest is damaged: {why}"));
        let raw: Raw =
            serde_json::from_slice(bytes).map_err(|error| damaged(&error.to_string()))?;
        let mark = b"\n\"Manifest-Checksum\"";
        let at = bytes
            .windows(mark.len())
            .rposition(|window| window == mark)
            .ok_or_else(|| damaged("its checksum has no line of its own"))?;
        if sha256(bytes.get(..=at).unwrap_or_default()) != raw.checksum.to_lowercase() {
            return Err(damaged("its own checksum differs"));
        }
        let mut files = BTreeMap::new();
        for file in raw.files {
            let path = match (file.path, file.encoded_path) {
                (Some(path), _) => path.into_bytes(),
                (None, Some(encoded)) => {
                    from_hex(&encoded).ok_or_else(|| damaged("a path is no hex digits"))?
                }
                (None, None) => return Err(damaged("a file has no path")),
            };
            let ours = file.algorithm.as_deref() == Some("SHA256");
            let sha256 = file.checksum.filter(|_| ours).map(|sum| sum.to_lowercase());
            files.insert(path, Entry { size: file.size, sha256 });
        }
        let position =
            |text: &str| parse_lsn(text).ok_or_else(|| damaged("a position in WAL is none"));
        let mut wal = Vec::new();
        for range in raw.wal {
            let (start, end) = (position(&range.start)?, position(&range.end)?);
            wal.push(Range { timeline: range.timeline, start, end });
        }
        // Written newest timeline first.
        wal.sort_by_key(|range| range.start);
        if wal.is_empty() {
            return Err(damaged("it names no WAL"));
        }
        Ok(Self { files, wal, system_identifier: raw.system_identifier })
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect::<Option<_>>()
        .filter(|_| text.len().is_multiple_of(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(files: &str) -> Vec<u8> {
        let head = format!(
            "{{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [\n{files}],\n\"WAL-Ranges\": [\n\
             {{ \"Timeline\": 3, \"Start-LSN\": \"0/A3000028\", \"End-LSN\": \"0/A3000138\" }}\n],\n"
        );
        format!("{head}\"Manifest-Checksum\": \"{}\"}}\n", sha256(head.as_bytes())).into_bytes()
    }

    #[test]
    fn files_and_wal_are_read() {
        let bytes = written(
            "{ \"Path\": \"PG_VERSION\", \"Size\": 3, \"Last-Modified\": \"x\", \"Checksum-Algorithm\": \"SHA256\", \"Checksum\": \"AB01\" },\n\
             { \"Encoded-Path\": \"61ff\", \"Size\": 0, \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"00000000\" }\n",
        );
        let manifest = BaseManifest::parse(&bytes).expect("sound");
        let version = manifest.files.get(b"PG_VERSION".as_slice()).expect("listed");
        assert_eq!((version.size, version.sha256.as_deref()), (3, Some("ab01")));
        assert_eq!(manifest.files.get(b"a\xff".as_slice()).expect("listed").sha256, None);
        assert_eq!(manifest.wal, [Range { timeline: 3, start: 0xA300_0028, end: 0xA300_0138 }]);
    }

    #[test]
    fn any_changed_byte_is_found() {
        let bytes = written("{ \"Path\": \"PG_VERSION\", \"Size\": 3 }\n");
        BaseManifest::parse(&bytes).expect("sound");
        // The last two bytes close the text, behind the checksum.
        for at in 0..bytes.len() - 2 {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(BaseManifest::parse(&changed).is_err(), "byte {at}");
        }
    }
}
