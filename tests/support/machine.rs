//! The guides' machine, walked without a server: events go in, and what the hands would bring is made up from what
//! the guide says of itself.

#![allow(
    clippy::panic,
    clippy::expect_used,
    reason = "a helper that cannot help has failed the test"
)]

use howdah::{
    base::{clock::Timestamp, text::Text},
    guide::{
        facts::{Observed, Offer, Seen},
        machine::{begin, step, wish},
        spec::{Fact, Grade, Guide, Kind, Step},
        state::{Effect, Event, Input, Phase, Plan, State},
        values::Values,
    },
};

/// The challenge of severe acts, as [`base`] and the made-up facts lead to it.
pub const NAME: &str = "prod-eu";

/// A run with its events.
pub struct Walk {
    pub guide: Guide,
    pub state: State,
    pub events: Vec<Event>,
    pub base: Values,
    /// Milliseconds since its beginning.
    pub now: i64,
}

pub fn at(milliseconds: i64) -> Timestamp {
    let first: Timestamp = "2026-11-23T09:12:44Z".parse().expect("a moment");
    Timestamp::from_millisecond(first.as_millisecond() + milliseconds).expect("a moment")
}

/// What is known at the beginning of every run.
pub fn base() -> Values {
    let mut values = Values::default();
    values.set("name", NAME);
    values.set("repository", "/srv/backup/howdah");
    values.set_words("place", vec!["--target".into(), NAME.into()]);
    values.set_words("at", vec![NAME.into()]);
    values.set("scratch", "/tmp/howdah-restored-20261123_091244");
    values.set("side", "howdah_restore_20261123_091244");
    values.set("port", "38211");
    values
}

/// The guides that come with howdah.
pub fn ours() -> Vec<Guide> {
    howdah::guide::library::guides(std::path::Path::new("/nowhere")).expect("all good")
}

impl Walk {
    pub fn new(guide: Guide, base: Values) -> Self {
        let state = begin(&guide, base.clone(), at(0));
        Self { guide, state, events: Vec::new(), base, now: 0 }
    }

    pub fn after(&mut self, milliseconds: i64) -> &mut Self {
        self.now += milliseconds;
        self
    }

    /// The step where it stands; none at its end.
    pub fn step(&self) -> Option<&Step> {
        self.guide.steps.get(self.state.at)
    }

    /// True when it was taken.
    pub fn take(&mut self, input: Input) -> bool {
        let event = Event { at: at(self.now), by: "anna".into(), input };
        match step(&self.guide, &self.state, &event) {
            Ok(next) => {
                self.state = next;
                self.events.push(event);
                true
            }
            Err(_) => false,
        }
    }

    #[track_caller]
    pub fn must(&mut self, input: Input) {
        let told = format!("{input:?}");
        assert!(self.take(input), "{told} in {:?}", self.state.phase);
    }

    pub fn wish(&self) -> Option<Effect> {
        wish(&self.guide, &self.state)
    }

    /// What the hands would bring, well or not; false when nothing is wished for.
    pub fn bring(&mut self, well: bool) -> bool {
        let ticket = self.state.ticket;
        let Some((wish, step)) = self.wish().zip(self.step()) else { return false };
        let input = match wish {
            Effect::Look(_) => Input::Seen(ticket, Ok(seen(step, well))),
            Effect::Plan(_) => Input::Planned(ticket, Ok(plan(step))),
            Effect::Start { .. } => {
                Input::Started(ticket, Ok(format!("20261123-0914{:02}-ka", self.now % 60)))
            }
            Effect::Seek(_) => Input::Sought(ticket, None),
            Effect::Watch(_) if well => Input::Ended(ticket, Ok(result(step))),
            Effect::Watch(_) => Input::Ended(ticket, Err("it broke".into())),
            Effect::End(_) => Input::Ended(ticket, Err("it was cancelled".into())),
        };
        self.must(input);
        true
    }

    /// The confirmation that the act which waits for one needs.
    pub fn confirmation(&self) -> Input {
        let Some(Step { kind: Kind::Act { grade, challenge, .. }, .. }) = self.step() else {
            panic!("no act waits: {:?}", self.state.phase)
        };
        let typed = match grade {
            Grade::Mild => String::new(),
            Grade::Moderate => "y".to_owned(),
            Grade::Severe => self.state.values.fill(challenge.as_ref().expect("a challenge")),
        };
        Input::Confirm { typed, reason: "told to".into() }
    }

    /// The answer that leads on; of choices that one. False where it is not the person's turn.
    pub fn answer(&mut self, choice: usize) -> bool {
        let input = match (&self.state.phase, self.step().map(|step| &step.kind)) {
            (Phase::Asking, Some(Kind::Accept {})) => Input::Accept,
            (Phase::Asking, Some(Kind::Choose { options, .. })) => {
                let many =
                    if options.is_empty() { self.state.seen.options.len() } else { options.len() };
                Input::Choose(choice % many.max(1))
            }
            (Phase::Asking, Some(Kind::Enter { into, .. })) => {
                Input::Enter(if into == "table" { "public.orders" } else { "" }.to_owned())
            }
            (Phase::Confirming { .. }, _) => {
                self.now += 2_000;
                self.confirmation()
            }
            (Phase::ActFailed(_), _) => Input::Again,
            _ => return false,
        };
        self.take(input)
    }
}

/// What the look of a step sees.
pub fn seen(step: &Step, well: bool) -> Seen {
    let facts = step.look.iter().flat_map(|look| &look.facts).map(|fact| observed(fact, well));
    let from = match &step.kind {
        Kind::Choose { from, .. } => from.as_ref(),
        _ => None,
    };
    let offers = from.map_or_else(Vec::new, |from| {
        let offer = |nth: usize| {
            let values: Vec<(String, String)> = from
                .values
                .iter()
                .map(|fact| (fact.name.clone(), offered(&from.each, fact, nth)))
                .collect();
            let mut all = Values::default();
            all.extend(values.clone());
            Offer { label: Text::one_line(&all.fill(&from.label)), values }
        };
        vec![offer(0), offer(1)]
    });
    Seen { facts: facts.collect(), options: offers }
}

/// What an act says at its end.
pub fn result(step: &Step) -> Vec<Observed> {
    match &step.kind {
        Kind::Act { result, .. } => result.iter().map(|fact| observed(fact, true)).collect(),
        _ => Vec::new(),
    }
}

fn observed(fact: &Fact, well: bool) -> Observed {
    let judged = fact.good.is_some() || fact.at_most.is_some() || fact.at_least.is_some();
    let number = |number: f64| number.to_string();
    let good = fact.good.as_ref().map(|good| good[0].clone());
    let good = good.or(fact.at_least.map(number)).or(fact.at_most.map(number));
    let value =
        if well { good.unwrap_or_else(|| word(fact).to_owned()) } else { word(fact).to_owned() };
    let (name, label) = (fact.name.clone(), fact.label.clone());
    // Its disks are seen, so there is no reason why they are not.
    let value = (name != "unseen").then(|| value.into());
    Observed { name, label, value, well: judged.then_some(well) }
}

/// Values as they really occur.
fn word(fact: &Fact) -> &'static str {
    if fact.at.ends_with("_rate") {
        return "0.4";
    }
    by_place(&fact.at).unwrap_or_else(|| by_name(&fact.name))
}

/// Of facts whose name alone does not tell what they are.
fn by_place(at: &str) -> Option<&'static str> {
    Some(match at {
        "/pitr/is/windows" => r#"[{"from":"2026-11-09T02:00:31Z","to":"2026-11-23T09:13:25Z"}]"#,
        "/first_act" => "let it go on: howdah server wake",
        "/breakers/-/hold/reason" => "the checks ran for an hour",
        "/breakers/-/failed" => "804",
        "/breakers/-/state" => "open",
        "/state" => "half-open",
        "/server/archive_mode" => "off",
        "/server/failed" => "14",
        "/server/waiting" => "83",
        "/count/waiting_for_locks" => "19",
        "/count/idle_in_transaction" => "7",
        "/pgbouncer/waiting" => "41",
        "/pgbouncer/answers" => "true",
        "/address" => "bouncer.eu.example:6432/pgbouncer as stats",
        "/postmaster/state" => "T",
        "/hosts/0/why" => "no answer within 3 s",
        "/paused" => "0",
        _ => return None,
    })
}

fn by_name(name: &str) -> &'static str {
    match name {
        "gaps" | "leftovers" | "findings" | "disk" | "row" | "served" | "changed" => "0",
        "target_name" => NAME,
        // Its disks are seen.
        "unseen" => "",
        "address" => "db1.eu.example:5432/shop as howdah",
        "role" => "primary",
        "version" => "15.18",
        "tail" => "4821",
        "home" | "database" => "shop",
        "summary" => "2 are to change",
        "damage_such" => {
            "'prod-eu/backups/20261123T020000Z-logical/shop.dump.zst' is not what was written"
        }
        "refusal" => "the data folder: its mode is 0755, and no server starts with that",
        "newest" | "id" => "20261123T020000Z-physical",
        "level" => "L4",
        "from" | "window_from" | "first" => "2026-11-09T02:00:31Z",
        "to" | "window_to" | "last" | "until" => "2026-11-23T09:13:25Z",
        "rto" => "190",
        "link" => "hung",
        "problem" => "no answer for 12 s",
        "state" => "failed",
        "method" => "pg_basebackup",
        "began" => "2026-11-23T02:00:00Z",
        "failed_at" => "copy the data folder",
        "why" => {
            "could not write '/srv/backup/howdah/prod-eu/backups/20261123T020000Z-physical': No space left on device"
        }
        "last_wrong" => {
            "room: 1.2 GB are free on '/srv/backup', the last backup of its kind took 4.1 GB"
        }
        "looked" => "9",
        "damage" | "wrong" | "open" | "silent" | "roots" => "1",
        "changes" | "to_change" | "locks" => "2",
        "trials" => "5",
        "backups" => "6",
        "attempts" | "waits" | "alerts" | "apps" | "extra" => "3",
        "archived" => "1843",
        "missing" => "700",
        "mode" => "forced_open",
        "calls" => "1204",
        "rejected" => "5021",
        "next" => "18",
        "end" | "range_end" => "2/9F000000",
        "segment" => "00000003000000020000009F",
        "failing" | "last_segment" => "00000003000000020000009A",
        "verdict" | "verdict_now" => "hung: a signal has stopped its processes",
        "verdict_code" => "stopped",
        "holder" => "the slot gone_standby which nobody uses",
        "act" => "Drop it, when its owner is gone for good: howdah slot drop gone_standby",
        "dropped" => "gone_standby",
        "wal" | "wal_before" | "wal_now" | "freed" => "18.2 GB",
        "times" | "times_now" => "911",
        "free" | "free_now" => "1.2 GB of 40.0 GB",
        "temporary" | "logs" | "temporary_now" => "412.0 MB",
        "largest" => "public.history: 12.6 GB",
        "fails" | "fails_now" | "kept" | "obeyed" | "answered" => "false",
        "local" => "true",
        "pid" | "root_now" => "21907",
        "stopped" | "signalled" => "8",
        "load" | "latency" => "0.42",
        "longest" => "11",
        "seconds" => "0.004",
        "witness" => "server",
        "took" => "0.2",
        "cause" => "9 of 10 calls failed within 10 s",
        "actor" => "anna (postgres) on db1",
        "age" | "left" => "4m12s",
        "restart" => "archive_mode",
        "data" => "/var/lib/postgresql/15/main",
        "source" => "archived WAL",
        "rpo" => "52",
        "worst" => "61",
        "promise" => "900",
        "patience" => "120",
        "state_now" => "paused",
        "breaker_state" => "closed",
        "lag" | "waiting" => "214",
        "waiting_now" => "41",
        "active" | "active_now" => "31",
        "idle" => "4",
        "all" | "sessions" | "connected" => "38",
        unknown => panic!("no value that really occurs is known of '{unknown}'"),
    }
}

/// Values of the nth choice, of what stands in such a list.
fn offered(each: &str, fact: &Fact, nth: usize) -> String {
    let words = match (fact.name.as_str(), each) {
        ("is", "/candidates") => ["2307", "1914"],
        ("is", "/disks") => ["data", "repository"],
        ("is", "/unused") => ["gone_standby", "reports_sub"],
        ("is", "/databases") => ["app", "reports"],
        ("is", _) if fact.at == "/id" => ["api-1", "api-2"],
        ("is", _) => ["21907", "21933"],
        ("state" | "base_state", "/databases") => ["served", "paused"],
        ("state" | "breaker_state", _) if fact.at == "/state" && each.ends_with("breakers") => {
            ["open", "closed"]
        }
        ("committed", _) => ["2026-11-23T09:10:25Z", "2026-11-22T22:41:07Z"],
        ("lsn", _) => ["2/9E0017B8", "2/7A000F30"],
        ("rows", _) => ["700", "12"],
        ("user", _) => ["api", "reports"],
        ("application", _) => ["nightly-batch", "psql"],
        ("state", _) => ["idle in transaction", "active"],
        ("age", _) => ["14m3s", "2m40s"],
        ("mode", _) => ["auto", "forced_open"],
        ("query", _) => [
            "update accounts set balance = balance + $1 where aid = $2",
            "select a.aid, sum(h.delta) from accounts a join history h using (aid) group by…",
        ],
        ("blocks", _) => ["19", "2"],
        ("kind", _) => ["physical", "logical"],
        ("size", _) => ["18.2 GB", "96.0 MB"],
        ("status", _) => ["extended", "reserved"],
        ("room", _) => ["1.2 GB of 40.0 GB", "211.4 GB of 500.0 GB"],
        ("used", _) => ["97", "57"],
        ("holds", _) => ["data, pg_wal, log", "repository, state"],
        ("active", _) => ["31", "0"],
        ("waiting", _) => ["0", "41"],
        ("held", _) => ["held by nobody", "held by anna (postgres), for another 4:12"],
        (unknown, each) => panic!("no value that really occurs is known of '{unknown}' in {each}"),
    };
    words[nth].to_owned()
}

/// What the plan of an act says.
pub fn plan(step: &Step) -> Plan {
    let text = [
        "does       what it says, to what stands above",
        "touches    nothing else",
        "takes      about 12 s",
    ];
    Plan { text: text.map(Into::into).to_vec(), hash: hash(&step.id) }
}

/// The mark of that step's plan.
pub fn hash(step: &str) -> String {
    format!("{:012x}", step.len() * 7919)
}
