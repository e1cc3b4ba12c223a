//! What would be done, before anything is: the WAL is checked up to the target, and nothing is written.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use serde_json::json;

use super::{
    archive::Archive,
    chain::{Chain, Shelf},
    fetchable, guards,
    survey::{self, Survey},
    target::{Aim, Reach, Target, both},
    timeline::history_name,
    unpack::Places,
};
use crate::{
    base::{digest::mark, disk, progress::Observer, units},
    cluster::Binaries,
    recover::{
        Fault, Kind, Result,
        repository::manifest::{Manifest, lsn},
    },
};

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Order {
    /// The moment.
    pub target: Target,
    /// The timeline; none for the newest, when there is no doubt which.
    pub timeline: Option<u32>,
    /// Where it goes.
    pub into: Into,
    /// The port of the restored cluster.
    pub port: u16,
}

/// Where a restored cluster goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Into {
    /// Into a new folder, as `data` and `tablespaces` below it.
    Folder(PathBuf),
    /// In place of a stopped cluster with this data folder, which is moved aside.
    Place(PathBuf),
    /// Into a folder that was made for it and is thrown away afterwards.
    Scratch(PathBuf),
}

/// What would be done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What was wanted, its folder without links.
    pub order: Order,
    /// The backup.
    pub manifest: Manifest,
    /// The WAL behind it.
    pub chain: Chain,
    /// What that WAL holds.
    pub survey: Survey,
    /// What can be reached.
    pub reach: Reach,
    /// What the server will be told, and what it must reach.
    pub aim: Aim,
    /// The folder of everything that is made.
    pub folder: PathBuf,
    /// Where the parts go.
    pub places: Places,
    /// Bytes that are needed there, and that are free.
    pub space: (u64, u64),
    /// Tables that come back empty.
    pub unlogged: Vec<String>,
}

impl Plan {
    /// Plans a restore of a backup with the WAL of an archive.
    ///
    /// # Errors
    /// [`Kind::Refused`] when it would not be safe, the target lies outside of what can be reached, or the
    /// server's account cannot reach the WAL,
    /// [`Kind::Damaged`] when the WAL in front of the target is, [`Kind::NoSpace`].
    pub fn make(
        order: Order,
        manifest: Manifest,
        archive: &dyn Archive,
        binaries: &Binaries,
        observer: &dyn Observer,
    ) -> Result<Self> {
        let base = survey::span(&manifest)?.clone();
        let (order, folder, places) = place(order, &manifest)?;
        let shelf = Shelf::of(archive, base.segment_size)?;
        let timeline = choose(&shelf, &base, order.timeline)?;
        let chain = shelf.chain(&base, timeline)?;
        let survey = survey::survey(&chain, archive, &manifest, binaries, observer)?;
        let aim = Aim::at(&order.target, &manifest, &chain, &survey)?;
        let space = room(&manifest, &folder)?;
        fetchable::by_the_server(archive, &chain)?;
        let reach = Reach::of(&manifest, &survey);
        let unlogged = unlogged(&manifest);
        Ok(Self { order, manifest, chain, survey, reach, aim, folder, places, space, unlogged })
    }

    /// What the plan comes to: another one has another mark. How much room is free is not part of it.
    pub fn mark(&self) -> String {
        mark(&json!({
            "backup": self.manifest.id,
            "target": self.order.target.to_string(),
            "timeline": self.aim.timeline,
            "promise": self.aim.promise.map(|last| last.lsn),
            "left_out": self.aim.left_out,
            "replay": self.aim.replay,
            "in_place": matches!(self.order.into, Into::Place(_)),
            "data": self.places.data,
            "tablespaces": self.places.tablespaces,
            "port": self.order.port,
            "unlogged": self.unlogged,
        }))
    }

    /// The plan in words, for a person.
    pub fn words(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let m = &self.manifest;
        let size = units::bytes(m.content_size());
        writeln!(out, "backup     {} of {}, {size}", m.id, both(m.began))?;
        writeln!(
            out,
            "cluster    system identifier {}, PostgreSQL {}",
            m.cluster.system_identifier,
            m.cluster.version / 10_000
        )?;
        writeln!(out, "reachable  {}", self.reach)?;
        writeln!(out, "target     {}, timeline {}", self.order.target, self.aim.timeline)?;
        if let Some(last) = &self.aim.promise {
            let what = if last.committed { "commit" } else { "rollback" };
            writeln!(
                out,
                "promise    the last transaction is the {what} of {}, at {}",
                both(last.at),
                lsn(last.lsn)
            )?;
        }
        let lost = match self.aim.left_out {
            0 => "no commit that is in the archive".to_owned(),
            1 => "1 later commit that is in the archive".to_owned(),
            n => format!("{n} later commits that are in the archive"),
        };
        writeln!(out, "left out   {lost}; and what was not archived")?;
        match &self.order.into {
            Into::Place(_) => {
                writeln!(
                    out,
                    "into       '{}', in place: what is there is moved aside",
                    self.places.data.display()
                )?;
            }
            _ => writeln!(out, "into       '{}', port {}", self.folder.display(), self.order.port)?,
        }
        for (oid, place) in &self.places.tablespaces {
            writeln!(out, "           tablespace {oid} in '{}'", place.display())?;
        }
        writeln!(
            out,
            "space      {} needed, {} free",
            units::bytes(self.space.0),
            units::bytes(self.space.1)
        )?;
        writeln!(out, "replay     {} of WAL", units::bytes(self.aim.replay))?;
        if !self.unlogged.is_empty() {
            writeln!(
                out,
                "empty      unlogged, so they come back without rows: {}",
                self.unlogged.join(", ")
            )?;
        }
        if let Some(fault) = &self.survey.damage {
            writeln!(out, "behind it  {}", fault.what())?;
        }
        Ok(())
    }
}

fn place(order: Order, manifest: &Manifest) -> Result<(Order, PathBuf, Places)> {
    let live = guards::live();
    let (into, folder, places) = match &order.into {
        Into::Folder(path) => {
            guards::free_port(order.port)?;
            let folder = guards::free_folder(path, &live)?;
            (Into::Folder(folder.clone()), folder.clone(), Places::below(&folder, manifest))
        }
        Into::Scratch(path) => {
            let folder = guards::free_folder(path, &live)?;
            (Into::Scratch(folder.clone()), folder.clone(), Places::below(&folder, manifest))
        }
        Into::Place(path) => {
            let data = guards::stopped(path, &live)?;
            let mut beside = data.clone().into_os_string();
            beside.push(".howdah-restore");
            let folder = guards::free_folder(Path::new(&beside), &live)?;
            let tablespaces = super::unpack::tablespaces(manifest)
                .map(|(oid, location)| (oid, PathBuf::from(location)))
                .collect();
            (Into::Place(data.clone()), folder, Places { data, tablespaces })
        }
    };
    Ok((Order { into, ..order }, folder, places))
}

fn choose(
    shelf: &Shelf,
    base: &crate::recover::repository::manifest::WalSpan,
    wanted: Option<u32>,
) -> Result<u32> {
    if let Some(fault) = shelf.unreadable.first().filter(|_| wanted.is_none()) {
        return Err(fault.clone().remedy("name the timeline with --timeline"));
    }
    if let Some(timeline) = shelf.without_history(base).filter(|_| wanted.is_none()) {
        let what = format!(
            "timeline {timeline} is in the archive without its history: '{}' is missing",
            history_name(timeline)
        );
        return Err(Fault::new(Kind::Damaged, what).remedy("name the timeline with --timeline"));
    }
    let newest = shelf.timelines_after(base).into_iter().max().unwrap_or(base.timeline);
    let timeline = wanted.unwrap_or(newest);
    if wanted.is_none()
        && let Some((left, at)) = shelf.abandoned(newest, base).first()
    {
        let what = format!(
            "timeline {newest} left timeline {left} at {}, and timeline {left} went on after that: there are two histories",
            lsn(*at)
        );
        let remedy =
            format!("choose one with --timeline: {left} is the old one, {newest} the new one");
        return Err(Fault::new(Kind::Refused, what).remedy(remedy));
    }
    Ok(timeline)
}

/// Bytes needed and free. The WAL of recovery is fetched segment by segment: room for 1 GiB of it will do.
fn room(manifest: &Manifest, folder: &Path) -> Result<(u64, u64)> {
    let needed = manifest.content_size() + (1 << 30);
    let free = free(folder)?;
    if free < needed {
        let what = format!(
            "'{}' has {} free, and {} are needed",
            existing(folder).display(),
            units::bytes(free),
            units::bytes(needed)
        );
        return Err(Fault::new(Kind::NoSpace, what)
            .remedy("free some space there, or choose another folder"));
    }
    Ok((needed, free))
}

/// Bytes that an ordinary account may still write where a folder is, or would be made.
pub fn free(folder: &Path) -> Result<u64> {
    let existing = existing(folder);
    let room = disk::room(existing)
        .map_err(Fault::io(format!("cannot look at '{}'", existing.display())))?;
    Ok(room.free)
}

fn existing(folder: &Path) -> &Path {
    folder.ancestors().find(|parent| parent.exists()).unwrap_or(Path::new("/"))
}

fn unlogged(manifest: &Manifest) -> Vec<String> {
    let of = |database: &crate::recover::repository::manifest::Database| {
        let name = database.name.clone();
        let tables = database.relations.iter().filter(|r| r.unlogged && r.kind != 'S');
        tables.map(|r| format!("{name}: {}.{}", r.schema, r.name)).collect::<Vec<_>>()
    };
    manifest.inventory.databases.iter().flat_map(of).collect()
}

/// The server programs of a backup's major version.
pub fn binaries(manifest: &Manifest) -> Result<Binaries> {
    Ok(Binaries::of_major(manifest.cluster.version / 10_000)?)
}
