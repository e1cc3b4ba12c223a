//! What goes in comes out, and damage is found.

use std::io::{Read as _, Write as _};

use age::secrecy::ExposeSecret as _;
use proptest::prelude::*;

use super::*;
use crate::{
    base::digest::Hasher,
    recover::{
        Fault, Kind, Result,
        repository::{encryption::Keys, folder::Folder, storage::Storage as _},
    },
};

/// An identity, in a file of its own.
struct Holder {
    keys: Keys,
    recipients: Recipients,
    _file: tempfile::NamedTempFile,
}

fn holder() -> Holder {
    let identity = age::x25519::Identity::generate();
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(identity.to_string().expose_secret().as_bytes()).expect("written");
    let recipients = Recipients::parse([identity.to_public().to_string().as_str()]);
    Holder { keys: Keys::of_file(file.path()), recipients: recipients.expect("a key"), _file: file }
}

fn seal(folder: &Folder, bytes: &[u8], seal: &Seal) -> Stored {
    let key = Key::new("a/x.zst").expect("a name");
    let mut sealing = Sealing::create(folder, &key, seal).expect("begun");
    sealing.write_all(bytes).expect("written");
    sealing.finish().expect("published")
}

fn read(folder: &Folder, stored: &Stored, keys: &Keys) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = open(folder, stored, keys)?.read_to_end(&mut bytes);
    read.map_err(Fault::io("cannot read it back"))?;
    Ok(bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_goes_in_comes_out_and_any_damage_is_found(
        bytes in prop::collection::vec(any::<u8>(), 1..5000),
        packed in any::<bool>(),
        encrypted in any::<bool>(),
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
        how in 0_u8..3,
    ) {
        let home = tempfile::tempdir().expect("a folder");
        let folder = Folder::open(home.path()).expect("opened");
        let compression = if packed { Compression::Zstd } else { Compression::None };
        let holder = holder();
        let recipients = if encrypted { holder.recipients } else { Recipients::default() };
        let stored = seal(&folder, &bytes, &Seal { compression, threads: 2, recipients, md5: true });
        prop_assert_eq!(&read(&folder, &stored, &holder.keys).expect("sound"), &bytes);
        prop_assert_eq!(check(&folder, &stored, &holder.keys).expect("sound"), Sight::Content);
        let path = folder.path(&stored.key).expect("a path");
        let mut raw = std::fs::read(&path).expect("read");
        let at = at.index(raw.len());
        match how {
            0 => raw.truncate(at),
            1 => raw[at] ^= 1 << bit,
            _ => raw.push(bit),
        }
        std::fs::write(&path, raw).expect("damaged");
        // A header for another key cannot be told from a damaged one before the stored hash is known:
        // that is what a check is for.
        let fault = read(&folder, &stored, &holder.keys).expect_err("damaged");
        prop_assert_eq!(fault.kind, Kind::Damaged, "{}", fault);
        for keys in [&holder.keys, &Keys::default()] {
            let fault = check(&folder, &stored, keys).expect_err("damaged");
            prop_assert_eq!(fault.kind, Kind::Damaged, "{}", fault);
        }
    }
}

#[test]
fn every_recipient_opens_it_and_for_others_only_the_envelope_is_checked() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = Folder::open(home.path()).expect("opened");
    let (one, two, other) = (holder(), holder(), holder());
    let names = [one.recipients.names(), two.recipients.names()].concat();
    let recipients = Recipients::parse(names.iter().map(String::as_str)).expect("keys");
    // More than one block of age, and exactly two of them.
    for length in [200_000, 131_072] {
        let bytes = vec![7; length];
        let (compression, recipients) = (Compression::None, recipients.clone());
        let plan = Seal { compression, recipients, ..Seal::default() };
        let stored = seal(&folder, &bytes, &plan);
        assert_eq!(stored.recipients, names);
        for keys in [&one.keys, &two.keys] {
            assert_eq!(read(&folder, &stored, keys).expect("opened"), bytes);
        }
        for (keys, word) in [(&Keys::default(), "no identity given"), (&other.keys, "holds")] {
            let fault = read(&folder, &stored, keys).expect_err("sealed");
            assert_eq!(fault.kind, Kind::Config);
            let words = [word, &names[0], "sealed for"];
            assert!(words.iter().all(|word| fault.to_string().contains(word)), "{fault}");
            let Sight::Envelope(why) = check(&folder, &stored, keys).expect("whole") else {
                panic!("the content cannot have been looked at");
            };
            assert!(why.contains(word), "{why}");
        }
        folder.remove(&stored.key).expect("removed");
    }
}

#[test]
fn what_comes_packed_is_kept_as_it_comes_and_read_as_what_it_holds() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = Folder::open(home.path()).expect("opened");
    let holder = holder();
    let bytes: Vec<u8> = (0..400_000_u32).map(|n| (n / 7) as u8).collect();
    // As a server writes it: without zstd's checksum.
    let packed = zstd::encode_all(bytes.as_slice(), 1).expect("packed");
    for (name, recipients) in
        [("open", Recipients::default()), ("encrypted", holder.recipients.clone())]
    {
        let key = Key::new(name).expect("a name");
        let plan = Seal { recipients, md5: true, ..Seal::default() };
        let mut sealing = SealingPacked::create(&folder, &key, &plan).expect("begun");
        sealing.write_all(&packed).expect("written");
        let mut content = Hasher::default();
        content.update(&bytes);
        let stored = sealing.finish(content).expect("published");
        assert_eq!(stored.compression, Compression::Zstd);
        assert_eq!(read(&folder, &stored, &holder.keys).expect("sound"), bytes, "{name}");
        let kept = std::fs::read(folder.path(&key).expect("a path")).expect("read");
        assert_eq!(kept == packed, name == "open");
    }
}

#[test]
fn what_is_sealed_for_others_than_the_manifest_says_is_damage() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = Folder::open(home.path()).expect("opened");
    let (one, two) = (holder(), holder());
    let plan = Seal { recipients: one.recipients.clone(), ..Seal::default() };
    let mut stored = seal(&folder, b"words", &plan);
    stored.recipients = two.recipients.names();
    assert_eq!(check(&folder, &stored, &two.keys).expect_err("damage").kind, Kind::Damaged);
    // Said to be sealed, and is not; and the other way round.
    stored.recipients.clear();
    assert_eq!(check(&folder, &stored, &one.keys).expect_err("damage").kind, Kind::Damaged);
    folder.remove(&stored.key).expect("removed");
    let mut plain = seal(&folder, b"words", &Seal::default());
    plain.recipients = one.recipients.names();
    assert_eq!(check(&folder, &plain, &one.keys).expect_err("damage").kind, Kind::Damaged);
}

#[test]
fn an_object_dropped_on_the_way_leaves_nothing() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = Folder::open(home.path()).expect("opened");
    let (key, above) = (Key::new("a/x").expect("a name"), Key::new("a").expect("a name"));
    for recipients in [Recipients::default(), holder().recipients] {
        let plan = Seal { recipients, md5: true, ..Seal::default() };
        let mut sealing = Sealing::create(&folder, &key, &plan).expect("begun");
        sealing.write_all(b"half").expect("written");
        drop(sealing);
        assert_eq!(folder.list(&above).expect("listed"), []);
        assert_eq!(folder.leftovers(&above).expect("listed"), []);
    }
}
