//! `howdah wal canary`: a segment is sent through the archive and back.

use serde_json::json;

use super::{Cli, Exit, Failure, args::CanaryArgs, calls};
use crate::{
    base::{
        ledger::{self, Act},
        progress::Observer,
        units,
    },
    cli::{
        place::{self, Place},
        restore::{json as as_json, recorded},
        say, work,
    },
    recover::{
        Result as Recovered,
        repository::manifest::lsn,
        session::Session,
        wal::{
            canary::{Arrived, Canary, Compared, Continuity, Switched, Verdict, Witness},
            chain::named,
        },
    },
};

/// Lets one fly. 0: it came back and the promise is kept; 2: the promise is not kept; 3: nobody could say
/// whether what came back is what the server wrote; 65: the archive has gaps, or damage came back; 1: it did
/// not arrive.
pub fn run(cli: &Cli, args: &CanaryArgs) -> Result<Exit, Failure> {
    let place = place::place(&calls::config(cli)?, &args.place)?;
    let session = Session::open(&place.settings)?;
    let canary = Canary::prepare(&session, &place.repository)?;
    let observer = work::observer(cli, args.json)?;
    let identifier = session.cluster()?.system_identifier;
    let target = ledger::Target::new(place.frame.target.name.clone(), Some(identifier));
    let details = json!({ "repository": place.repository.storage().describe() });
    let act = Act::new("wal.canary").on(target).with(details);
    let flown = recorded(cli, act, || fly(&canary, args, &place, &*observer))?;
    say(&if args.json { as_json(&flown.document())? } else { flown.text() })?;
    Ok(flown.exit())
}

/// What was seen on the way.
struct Flown {
    switched: Switched,
    arrived: Arrived,
    continuity: Continuity,
    compared: Compared,
    verdict: Verdict,
    segment_size: u64,
}

fn fly(
    canary: &Canary<'_>,
    args: &CanaryArgs,
    place: &Place,
    observer: &dyn Observer,
) -> Recovered<Flown> {
    let switched = canary.switch()?;
    let arrived = canary.wait(&switched, args.within, observer)?;
    let compared = canary.compare(&switched, &arrived)?;
    let continuity = canary.continuity(&switched)?;
    let verdict = canary.verdict(&arrived, place.frame.rpo_target);
    let segment_size = compared.bytes;
    Ok(Flown { switched, arrived, continuity, compared, verdict, segment_size })
}

impl Flown {
    fn exit(&self) -> Exit {
        match &self.compared.witness {
            _ if !self.continuity.gaps.is_empty() => Exit::Damaged,
            Witness::Nobody(_) => Exit::Unknown,
            _ if !self.verdict.kept() => Exit::Critical,
            _ => Exit::Ok,
        }
    }

    fn text(&self) -> String {
        let Self { switched, arrived, continuity, compared, verdict, .. } = self;
        let failures = match arrived.failed {
            0 => String::new(),
            failed => format!(", after {failed} failed attempts"),
        };
        let mut lines = vec![
            format!(
                "switched   {}, our record ends at {}",
                switched.segment,
                lsn(switched.position)
            ),
            format!("arrived    {:.2} s later{failures}", arrived.latency.as_secs_f64()),
            format!(
                "compared   {} bytes, SHA-256 {}…: {}",
                compared.bytes,
                compared.sha256.get(..12).unwrap_or_default(),
                match &compared.witness {
                    Witness::Server => "the server's own file is the same".to_owned(),
                    Witness::Record => "our record is in it".to_owned(),
                    Witness::Nobody(why) => format!("not compared with the server's: {why}"),
                }
            ),
            format!(
                "whole      {} segment{}, {} to {}",
                continuity.segments,
                if continuity.segments == 1 { "" } else { "s" },
                lsn(continuity.from),
                lsn(continuity.to)
            ),
        ];
        for gap in &continuity.gaps {
            lines.push(format!("GAP        {}; lost: {gap}", named(gap, self.segment_size)));
        }
        let target = units::age(verdict.target);
        lines.push(match verdict.worst {
            Some(worst) => format!(
                "RPO        {}: at most {} of {target}",
                if verdict.kept() { "kept" } else { "MISSED" },
                units::age(worst)
            ),
            None => format!(
                "RPO        MISSED: archive_timeout is 0, so nothing of a segment is safe until it is full \
                 ({target} promised)"
            ),
        });
        lines.join("\n") + "\n"
    }

    fn document(&self) -> serde_json::Value {
        let Self { switched, arrived, continuity, compared, verdict, .. } = self;
        json!({
            "segment": switched.segment,
            "means": switched.means,
            "position": lsn(switched.position),
            "latency_seconds": arrived.latency.as_secs_f64(),
            "failed_attempts": arrived.failed,
            "bytes": compared.bytes,
            "sha256": compared.sha256,
            "witness": compared.witness,
            "whole_from": lsn(continuity.from),
            "whole_to": lsn(continuity.to),
            "segments": continuity.segments,
            "gaps": continuity.gaps.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "worst_seconds": verdict.worst.map(|worst| worst.as_secs_f64()),
            "target_seconds": verdict.target.as_secs(),
            "rpo_kept": verdict.kept(),
        })
    }
}
