//! Folds what the sources say into one snapshot after another.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{
    alerts::{Desk, When},
    checks::{
        derived::{self, Derived},
        run,
    },
    recoverability::{self, Evidence, LsnHistory},
    server::{self, Facts, SERVER, Standing},
    sources::{Reading, keeper::Keeper},
};
use crate::{
    base::{
        clock::{Clock, Stamp},
        text::Text,
    },
    watch::snapshot::{
        Backup, Breaker, Check, Cost, EngineHistory, Folder, Job, Known, Link, LinkState, Pool,
        PoolKind, Recoverability, Repository, Rpo, Server, Snapshot, Source, SourceKind, Target,
    },
};

/// Samples kept for the trend of a pool.
const TREND: usize = 60;

/// What stays the same while a target is watched.
#[derive(Clone, Debug)]
pub struct Frame {
    /// What we look at.
    pub target: Target,
    /// How often the server is asked.
    pub period: Duration,
    /// The promise for the RPO.
    pub rpo_target: Duration,
    /// The promise for the RTO.
    pub rto_target: Duration,
}

/// Everything known of one target, as it comes in.
pub struct Assembler {
    frame: Frame,
    clock: Clock,
    began: Stamp,
    link: Link,
    /// Who answered first, before there were facts.
    met: Option<Box<Standing>>,
    facts: Option<(Stamp, Box<Facts>)>,
    /// The connections, as [`Assembler::facts`] tell them.
    server: Known<Server>,
    lsn: LsnHistory,
    sources: BTreeMap<Text, Voice>,
    own: Option<Breaker>,
    /// What the repository last held; it stays known while the repository is silent.
    kept: Known<Repository>,
    /// What each engine last told, in the order of the configuration.
    engines: Vec<(Text, Known<EngineHistory>)>,
    /// The jobs as they were last read.
    jobs: Known<Vec<Job>>,
    folders: Vec<Folder>,
    trends: BTreeMap<(Text, Text), VecDeque<f32>>,
    states: BTreeMap<(Text, Text), Seen>,
    derived: Vec<Derived>,
    derived_shown: Vec<Check>,
    checks: Vec<Check>,
    desk: Desk,
    cost: Cost,
}

/// What one source last said.
struct Voice {
    source: Source,
    pools: Vec<Pool>,
    breakers: Vec<Breaker>,
}

/// What all sources say at one moment: put together once, then judged and shown.
struct Said {
    pools: Vec<Pool>,
    breakers: Vec<Breaker>,
    sources: Vec<Source>,
}

/// A breaker's state as we saw it.
struct Seen {
    state: crate::watch::snapshot::BreakerState,
    since: Stamp,
    exact: bool,
}

impl Assembler {
    /// Nothing is known yet.
    pub fn new(frame: Frame, derived: Vec<Derived>, clock: Clock) -> Self {
        let cluster = frame.target.name.to_string();
        let began = clock.now();
        Self {
            frame,
            clock,
            began,
            link: Link { since: began, ..Link::default() },
            met: None,
            facts: None,
            server: Known::Unknown(unseen()),
            lsn: LsnHistory::default(),
            sources: BTreeMap::new(),
            own: None,
            kept: Known::Unknown(Text::ours("no backup repository configured")),
            engines: Vec::new(),
            jobs: Known::Unknown(Text::ours("nobody looks after jobs here")),
            folders: Vec::new(),
            trends: BTreeMap::new(),
            states: BTreeMap::new(),
            derived,
            derived_shown: Vec::new(),
            checks: Vec::new(),
            desk: Desk::new(cluster),
            cost: Cost::default(),
        }
    }

    /// A repository is configured and will be heard of.
    pub fn expect_repository(&mut self, keeper: &Keeper) {
        self.kept = Known::Unknown(format!("{} was not read yet", keeper.location).into());
    }

    /// Another backup engine is configured and will be heard of.
    pub fn expect_engine(&mut self, keeper: &Keeper) {
        let name = keeper.location.clone();
        self.engines.push((name, Known::Unknown(Text::ours("not asked yet"))));
    }

    /// The folder of jobs will be heard of.
    pub fn expect_jobs(&mut self) {
        self.jobs = Known::Unknown(Text::ours("not read yet"));
    }

    /// Takes what the server's watcher says.
    pub fn server(&mut self, event: server::Event) {
        match event {
            server::Event::Link { link, breaker } => {
                self.link = link;
                self.own = Some(breaker);
            }
            server::Event::Met { standing, link, breaker, checked } => {
                self.own = Some(breaker);
                self.checked(checked);
                // What another connection told stays old until this one has told its own.
                if self.facts.is_none() {
                    self.link = link;
                    self.met = Some(standing);
                    self.server = Known::Unknown(untold());
                }
            }
            server::Event::Facts { facts, link, cost, breaker, checked } => {
                self.link = link;
                self.own = Some(breaker);
                self.cost = cost;
                self.facts(facts);
                if let Some(checked) = checked {
                    self.checked(checked);
                }
            }
            server::Event::Checked(checked) => self.checked(checked),
        }
    }

    fn checked(&mut self, server::Checked { shown, fresh, at }: server::Checked) {
        let when = When { now: at, wall: self.clock.wall() };
        for (spec, findings) in &fresh {
            self.desk.weigh(spec, findings, when);
        }
        let derived = &self.derived;
        self.desk.keep(|id| {
            shown.iter().any(|c| &*c.id == id) || derived.iter().any(|d| d.spec.id == id)
        });
        self.checks = shown;
    }

    fn facts(&mut self, facts: Box<Facts>) {
        let now = self.clock.now();
        let before = self.facts.take();
        let before =
            before.filter(|(_, before)| before.standing.cluster() == facts.standing.cluster());
        if before.is_none() {
            // Another cluster answers at the same address: its WAL and its counters are its own.
            self.lsn = LsnHistory::default();
        }
        if let Some(lsn) = facts.activity.lsn {
            self.lsn.note(now, lsn);
        }
        let tps = match (&before, facts.activity.transactions) {
            (Some((then, before)), Some(count)) => {
                let seconds = now.since(*then).as_secs_f64();
                // Counters that went back were reset: nothing can be said of this interval.
                let before = before.activity.transactions.filter(|before| *before <= count);
                before.filter(|_| seconds > 0.0).map(|b| (count - b) as f64 / seconds)
            }
            _ => None,
        };
        self.server = facts.server(tps);
        self.facts = Some((now, facts));
        for pool in self.server_pools() {
            self.remember(&pool);
        }
    }

    /// Takes what an application's endpoint or a PgBouncer says. A failed attempt keeps the figures
    /// of the last good one: they are shown as stale.
    pub fn reading(&mut self, reading: Reading) {
        let name = reading.source.name.clone();
        if !reading.answered {
            let problem = reading.source.problem.as_ref();
            if let (SourceKind::Repository, None, Some(problem)) =
                (reading.source.kind, self.kept.value(), problem)
            {
                self.kept = Known::Unknown(problem.what.clone());
            }
            if let (SourceKind::Jobs, None, Some(problem)) =
                (reading.source.kind, self.jobs.value(), problem)
            {
                self.jobs = Known::Unknown(problem.what.clone());
            }
            if let (Some((_, told)), Some(problem)) = (self.engine(&name), problem)
                && told.value().is_none()
            {
                *told = Known::Unknown(problem.what.clone());
            }
            let voice = self.sources.entry(name).or_insert_with(|| Voice {
                source: reading.source.clone(),
                pools: Vec::new(),
                breakers: Vec::new(),
            });
            voice.source = reading.source;
            return;
        }
        if let Some(repository) = reading.repository {
            self.kept = Known::Is(repository);
        }
        if let Some(jobs) = reading.jobs {
            self.jobs = Known::Is(jobs);
        }
        if let Some(folders) = reading.folders {
            self.folders = folders;
        }
        if let Some(silences) = reading.silences {
            self.desk.silence(silences);
        }
        if let (Some(history), Some((_, told))) = (reading.engine, self.engine(&name)) {
            *told = Known::Is(history);
        }
        let (mut pools, mut breakers) = (reading.pools, reading.breakers);
        let (pools_here, breakers_here) = (pools.len(), breakers.len());
        for pool in &mut pools {
            pool.name = title(&reading.source, &pool.name, pools_here);
            self.remember(pool);
        }
        for breaker in &mut breakers {
            breaker.name = title(&reading.source, &breaker.name, breakers_here);
            self.date(breaker);
        }
        let voice = Voice { source: reading.source, pools, breakers };
        self.sources.insert(name, voice);
    }

    fn engine(&mut self, name: &Text) -> Option<&mut (Text, Known<EngineHistory>)> {
        self.engines.iter_mut().find(|(engine, _)| engine == name)
    }

    fn remember(&mut self, pool: &Pool) {
        let trend = self.trends.entry((pool.source.clone(), pool.name.clone())).or_default();
        trend.push_back(pool.share().map_or(f32::NAN, |share| share as f32));
        while trend.len() > TREND {
            trend.pop_front();
        }
    }

    /// A source that does not say since when: we say since when we see it so.
    fn date(&mut self, breaker: &mut Breaker) {
        let now = self.clock.now();
        let key = (breaker.source.clone(), breaker.name.clone());
        let seen = match self.states.remove(&key) {
            Some(seen) if seen.state == breaker.state => seen,
            Some(_) => Seen { state: breaker.state, since: now, exact: true },
            None => Seen { state: breaker.state, since: now, exact: false },
        };
        if breaker.since.is_none() {
            breaker.since = Some(seen.since);
            breaker.since_exact = seen.exact;
        }
        self.states.insert(key, seen);
    }

    /// True while the server answers and its facts are known.
    pub fn is_live(&self) -> bool {
        self.link.state == LinkState::Live && self.facts.is_some()
    }

    /// The server's data folder, once it was told to us.
    pub fn data_folder(&self) -> Option<&str> {
        let facts = self.facts.as_ref().map(|(_, facts)| &facts.standing);
        facts.or(self.met.as_deref())?.data.as_deref()
    }

    /// Somebody takes an alert; false when there is none of that id.
    pub fn acknowledge(&mut self, id: &str) -> bool {
        self.desk.acknowledge(id)
    }

    /// The sight of this moment, its alerts as they stood when the sources were last judged: now, if
    /// `judging`; else earlier.
    pub fn sight(&mut self, judging: bool) -> Arc<Snapshot> {
        let said = Said { pools: self.pools(), breakers: self.breakers(), sources: self.sources() };
        let facts = self.facts.as_ref().map(|(_, facts)| facts);
        let archiver = facts.map_or_else(|| self.silence(), |facts| facts.archiver());
        let recoverability = self.recoverability(&archiver);
        if judging {
            self.judge(&said, &recoverability);
        }
        let alerts = self.desk.shown(self.clock.wall());
        let facts = self.facts.as_ref().map(|(_, facts)| facts);
        let standing = facts.map(|facts| &facts.standing).or(self.met.as_deref());
        let identity = standing.map_or_else(|| Known::Unknown(unseen()), Standing::identity);
        Arc::new(Snapshot {
            at: self.clock.now(),
            wall: self.clock.wall(),
            target: self.frame.target.clone(),
            link: self.link.clone(),
            identity,
            server: self.server.clone(),
            recoverability,
            pools: said.pools,
            breakers: said.breakers,
            checks: self.derived_shown.iter().chain(&self.checks).cloned().collect(),
            alerts,
            backup: Backup {
                archiver,
                repository: self.kept.clone(),
                engines: self.engines.clone(),
                running: facts.map(|facts| facts.running_backups()).unwrap_or_default(),
            },
            jobs: self.jobs.clone(),
            folders: self.folders.clone(),
            sources: said.sources,
            cost: self.cost,
        })
    }

    fn judge(&mut self, said: &Said, recoverability: &Recoverability) {
        let when = When { now: self.clock.now(), wall: self.clock.wall() };
        let facts = derived::Facts {
            now: when.now,
            began: self.began,
            link: &self.link,
            server: self.server.value(),
            pools: &said.pools,
            breakers: &said.breakers,
            sources: &said.sources,
            folders: &self.folders,
            kept: &self.kept,
            engines: &self.engines,
            recoverability,
            wall: when.wall,
        };
        let mut shown = Vec::new();
        for check in &self.derived {
            let mut findings = (check.find)(&facts);
            for finding in &mut findings {
                finding.severity = finding.value.and_then(|value| check.spec.judge(value));
            }
            findings.sort_by_key(|f| std::cmp::Reverse(f.severity));
            self.desk.weigh(&check.spec, &findings, when);
            let state = run::state_of(&findings);
            shown.push(run::check(&check.spec, state, findings, Some(when.now), None));
        }
        self.derived_shown = shown;
    }

    /// As of the last answer.
    fn recoverability(&self, archiver: &Known<crate::watch::snapshot::Archiver>) -> Recoverability {
        let rpo = match &self.facts {
            None => self.silence(),
            Some((at, facts)) => recoverability::rpo(&Evidence {
                now: *at,
                server_now: facts.server_now(),
                history: &self.lsn,
                segment: facts.standing.segment,
                archiver,
                standbys: &facts.standbys(),
                kept: self.kept.value().map(|kept| &kept.wal),
                timeline: facts.standing.identity().value().and_then(|who| who.timeline),
            })
            .map(|rpo| self.aged(rpo, *at)),
        };
        Recoverability {
            rpo,
            rto: self.of_kept(|kept| &kept.rto),
            pitr: self.of_kept(|kept| &kept.pitr),
            rpo_target: self.frame.rpo_target,
            rto_target: self.frame.rto_target,
        }
    }

    /// Why there are no facts.
    fn silence<T>(&self) -> Known<T> {
        Known::Unknown(if self.met.is_some() { untold() } else { unseen() })
    }

    /// A part of what the repository holds, or why it is not known.
    fn of_kept<T: Clone>(&self, part: impl Fn(&Repository) -> &Known<T>) -> Known<T> {
        match &self.kept {
            Known::Is(kept) => part(kept).clone(),
            Known::Unknown(why) => Known::Unknown(why.clone()),
            Known::Blind(why) => Known::Blind(why.clone()),
        }
    }

    /// While nothing is heard, what was not safe then may still not be, and commits may go on where we
    /// cannot see them: the bound grows with the silence.
    fn aged(&self, rpo: Rpo, heard: Stamp) -> Rpo {
        let silence = self.clock.now().since(heard);
        if silence <= self.frame.period * 2 {
            return rpo;
        }
        Rpo { loss: rpo.loss + silence, at_most: true, ..rpo }
    }

    fn pools(&self) -> Vec<Pool> {
        let said = self.sources.values().flat_map(|voice| voice.pools.iter().cloned());
        let mut pools: Vec<Pool> = said.chain(self.server_pools()).collect();
        for pool in &mut pools {
            let trend = self.trends.get(&(pool.source.clone(), pool.name.clone()));
            pool.trend = trend.map(|t| t.iter().copied().collect()).unwrap_or_default();
        }
        pools
    }

    fn server_pools(&self) -> Vec<Pool> {
        let pool = |name, kind, in_use, idle, max| Pool {
            name: Text::ours(name),
            source: Text::ours(SERVER),
            kind,
            in_use,
            idle,
            max,
            waiting: None,
            wait: None,
            timeouts: None,
            note: None,
            trend: Vec::new(),
        };
        let mut pools = Vec::new();
        if let Known::Is(server) = &self.server {
            let idle = server.idle.value().map(|idle| u64::from(*idle));
            let (used, usable) = (u64::from(server.sessions), u64::from(server.usable()));
            pools.push(pool("server", PoolKind::Server, Some(used), idle, Some(usable)));
        }
        let connected = u64::from(self.link.state == LinkState::Live);
        pools.push(pool("howdah", PoolKind::Own, Some(connected), Some(0), Some(1)));
        pools
    }

    fn breakers(&self) -> Vec<Breaker> {
        let said = self.sources.values().flat_map(|voice| voice.breakers.iter().cloned());
        said.chain(self.own.clone()).collect()
    }

    fn sources(&self) -> Vec<Source> {
        let server = Source {
            name: Text::ours(SERVER),
            kind: SourceKind::Server,
            address: self.frame.target.address.clone(),
            period: self.frame.period,
            last_good: self.link.last_answer,
            problem: self.link.problem.clone(),
            latency: self.link.latency,
            unreadable: 0,
        };
        let mut sources = vec![server];
        sources.extend(self.sources.values().map(|voice| voice.source.clone()));
        sources
    }
}

fn unseen() -> Text {
    Text::ours("the server has not answered yet")
}

fn untold() -> Text {
    Text::ours("the server was not asked yet")
}

/// What a pool or breaker is called among those of all sources: applications often name theirs after
/// the one database that they all use.
fn title(source: &Source, name: &Text, here: usize) -> Text {
    match source.kind {
        SourceKind::Metrics if here == 1 => source.name.clone(),
        SourceKind::Metrics => format!("{}/{name}", source.name).into(),
        SourceKind::Server
        | SourceKind::PgBouncer
        | SourceKind::Repository
        | SourceKind::Jobs
        | SourceKind::Engine
        | SourceKind::Disks
        | SourceKind::Silences => name.clone(),
    }
}
