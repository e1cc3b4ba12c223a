//! Small objects: JSON for people and programs, closed by its own fingerprint.
//!
//! The last member is `"sha256"`, on a line of its own: the SHA-256 of every byte before that line, as
//! PostgreSQL closes its own `backup_manifest`. What is altered by chance is told as damage instead of being
//! believed; a signature it is not. An object without that line, written by hand or by others, is taken as it
//! is.

use std::io::{Read as _, Write as _};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Repository, key::Key, storage::Overwrite};
use crate::{
    base::digest::sha256,
    recover::{Fault, Kind, Result},
};

/// No object of ours that is read whole is larger: a manifest holds some hundred bytes for each table.
const LIMIT: u64 = 1 << 30;
/// The member's name. No record has one of its own that is called so.
const MEMBER: &str = "sha256";
/// What stands before the fingerprint, and behind it.
const SEAL: (&str, &str) = ("  \"sha256\": \"", "\"\n}\n");
/// The end of a pretty-printed object with at least one member.
const END: &str = "\n}";

impl Repository {
    /// Reads a small object as JSON.
    ///
    /// # Errors
    /// [`Kind::Damaged`] when it is not JSON of that shape, or not what was written.
    pub fn read_json<T: DeserializeOwned>(&self, key: &Key) -> Result<T> {
        let mut text = Vec::new();
        self.storage()
            .open(key)?
            .take(LIMIT)
            .read_to_end(&mut text)
            .map_err(Fault::io(format!("cannot read '{key}'")))?;
        let damaged = |why: String| Fault::new(Kind::Damaged, format!("'{key}' {why}"));
        let value =
            parse(&text).map_err(|error| damaged(format!("cannot be understood: {error}")))?;
        if let Some(claimed) = value.1
            && claimed != fingerprint(&text)
        {
            return Err(damaged("is not what was written: its own SHA-256 differs".to_owned()));
        }
        serde_json::from_value(value.0)
            .map_err(|error| damaged(format!("cannot be understood: {error}")))
    }

    /// The same; none where there is no such object. That is asked for only when reading failed: what stands
    /// in the way of every segment must be quick.
    pub fn read_if_there<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>> {
        match self.read_json(key) {
            Ok(value) => Ok(Some(value)),
            Err(_) if self.storage().stat(key)?.is_none() => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Writes a small object as JSON, made for people to read, too.
    pub fn write_json<T: Serialize>(
        &self,
        key: &Key,
        value: &T,
        overwrite: Overwrite,
    ) -> Result<()> {
        let text = sealed(value).map_err(|error| {
            Fault::new(Kind::Failed, format!("'{key}' cannot be written as JSON: {error}"))
        })?;
        let mut upload = self.storage().create(key, overwrite)?;
        upload.write_all(text.as_bytes()).map_err(Fault::io(format!("cannot write '{key}'")))?;
        upload.finish()
    }
}

/// The text of an object with its fingerprint; what has no members has nothing to be altered.
fn sealed<T: Serialize>(value: &T) -> serde_json::Result<String> {
    let mut text = serde_json::to_string_pretty(value)?;
    if let Some(members) = text.strip_suffix(END) {
        let before = format!("{members},\n");
        text = format!("{before}{}{}{}", SEAL.0, sha256(before.as_bytes()), SEAL.1);
    } else {
        text.push('\n');
    }
    Ok(text)
}

/// The value without its fingerprint, and that.
fn parse(text: &[u8]) -> serde_json::Result<(Value, Option<String>)> {
    let mut value: Value = serde_json::from_slice(text)?;
    let claimed = value.as_object_mut().and_then(|members| members.remove(MEMBER));
    Ok((value, claimed.map(|claimed| claimed.as_str().unwrap_or_default().to_owned())))
}

/// The fingerprint of what stands before the line that tells it.
fn fingerprint(text: &[u8]) -> String {
    let line = [b"\n", SEAL.0.as_bytes()].concat();
    let at = text.windows(line.len()).rposition(|window| window == line);
    sha256(at.and_then(|at| text.get(..=at)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use super::*;
    use crate::recover::repository::folder::Folder;

    #[test]
    fn no_changed_bit_is_believed() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = Arc::new(Folder::open(home.path()).expect("opened"));
        let repository = Repository::new(folder, "prod").expect("a name");
        let key = repository.target().join("x.json").expect("a key");
        let value: BTreeMap<&str, Value> =
            BTreeMap::from([("rows", 25.into()), ("inner", serde_json::json!({"sha256": "ab"}))]);
        repository.write_json(&key, &value, Overwrite::Never).expect("written");
        let read = || repository.read_json::<BTreeMap<String, Value>>(&key);
        assert_eq!(read().expect("as written")["rows"], 25);
        let path = home.path().join(key.as_str());
        let whole = std::fs::read(&path).expect("read");
        let (mut refused, mut same) = (0, 0);
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &bytes).expect("written");
            match read() {
                Err(fault) => {
                    assert_eq!(fault.kind, Kind::Damaged);
                    refused += 1;
                }
                // In the fingerprint's own name, or in the white space behind it: what counts is whole.
                Ok(value) => {
                    assert_eq!(
                        (&value["rows"], &value["inner"]["sha256"]),
                        (&25.into(), &"ab".into())
                    );
                    same += 1;
                }
            }
        }
        assert!(refused > 20 * same, "{refused} refused, {same} harmless");
        std::fs::write(&path, r#"{"rows": 3}"#).expect("written");
        assert_eq!(read().expect("by hand")["rows"], 3);
    }
}
