//! A cluster comes back as it was at one moment, or says why not.

#![expect(clippy::expect_used, reason = "clippy sees tests only in test functions")]

mod support;

use howdah::{
    cluster::guard::remove_sandbox,
    recover::{
        Result,
        physical::{
            Order, Plan, Target,
            plan::{self, Into},
            restore::{self, Restored, Stopwatch},
        },
        repository::manifest::Manifest,
    },
};
use support::physical::{Estate, Mark, silent};

struct Gone(Option<Restored>, std::path::PathBuf);

impl Gone {
    fn rows(&self) -> i64 {
        let restored = self.0.as_ref().expect("restored");
        restored.session.one("SELECT count(*) FROM marks", &[]).expect("counted").get(0)
    }
}

impl Drop for Gone {
    fn drop(&mut self) {
        drop(self.0.take());
        remove_sandbox(&self.1);
    }
}

fn planned(
    estate: &Estate,
    manifest: &Manifest,
    target: Target,
    timeline: Option<u32>,
) -> Result<Plan> {
    let folder = estate.path(&format!("howdah-{}", rand::random::<u32>()));
    let order = Order { target, timeline, into: Into::Scratch(folder), port: 5432 };
    let binaries = plan::binaries(manifest).expect("programs");
    Plan::make(order, manifest.clone(), &estate.wal(), &binaries, &silent())
}

fn restored(
    estate: &Estate,
    manifest: &Manifest,
    target: Target,
    timeline: Option<u32>,
) -> Result<Gone> {
    let plan = planned(estate, manifest, target, timeline)?;
    let binaries = plan::binaries(manifest).expect("programs");
    let mut watch = Stopwatch::start();
    let restored = restore::run(
        &plan,
        &estate.repository,
        &estate.wal(),
        &binaries,
        None,
        &mut watch,
        &silent(),
    )?;
    Ok(Gone(Some(restored), plan.folder))
}

fn targets(mark: &Mark) -> [Target; 3] {
    [
        Target::Time(mark.at),
        Target::Xid { xid: mark.xid, exclusive: false },
        Target::Lsn { at: mark.lsn, exclusive: true },
    ]
}

#[test]
fn every_kind_of_target_is_reached_exactly() {
    let estate = Estate::new();
    estate.mark();
    let manifest = estate.backup();
    let first = estate.mark();
    estate.sql("SELECT pg_create_restore_point('before the accident')");
    let second = estate.mark();
    estate.mark();
    estate.switch();
    for target in targets(&first) {
        let gone = restored(&estate, &manifest, target.clone(), None).expect("restored");
        assert_eq!(gone.rows(), first.rows, "{target}");
    }
    let named = Target::Name("before the accident".into());
    assert_eq!(restored(&estate, &manifest, named, None).expect("restored").rows(), first.rows);
    let without = Target::Xid { xid: second.xid, exclusive: true };
    assert_eq!(restored(&estate, &manifest, without, None).expect("restored").rows(), first.rows);
    let mut latest = restored(&estate, &manifest, Target::Latest, None).expect("restored");
    assert_eq!(latest.rows(), 4);
    let restored = latest.0.as_mut().expect("restored");
    assert!(restored.reached.paused, "it waits at its target");
    restored.promote(&mut Stopwatch::start()).expect("promoted");
    restored.session.run("INSERT INTO marks VALUES (99)").expect("it takes writes");
    assert_eq!(
        restored.session.one("SHOW archive_mode", &[]).expect("asked").get::<_, String>(0),
        "off"
    );
}
