//! From findings to alerts: what is believed, for how long, and what stays quiet behind its root.
//!
//! An alert is believed when enough of the last samples were bad, and it ends only after a run of
//! good ones; one that comes back within ten minutes needs a run twice as long. In a simulated day
//! this turned ten alerts for a flapping minute into one.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use super::checks::{Rule, Spec, derived::SERVER_UNREACHABLE};
use crate::{
    base::{
        clock::{Stamp, Timestamp},
        text::Text,
    },
    watch::snapshot::{Alert, AlertState, Finding, Severity, Silence},
};

/// An alert that comes back within this time is flapping.
const FLAPPING: Duration = Duration::from_mins(10);
/// The longest run of good samples that is asked for.
const LONGEST_RUN: u32 = 60;

/// Every alert of one target, with the samples behind it.
#[derive(Debug, Default)]
pub struct Desk {
    cluster: String,
    entries: BTreeMap<(String, Text), Entry>,
    silences: Vec<Silence>,
}

#[derive(Debug)]
struct Entry {
    rule: Rule,
    window: VecDeque<bool>,
    good_run: u32,
    flaps: u32,
    last_sample: Stamp,
    ended: Option<Stamp>,
    acked: bool,
    /// None while there is nothing to say; kept to recognise flapping.
    alert: Option<Alert>,
}

/// When a sample was taken.
#[derive(Clone, Copy, Debug)]
pub struct When {
    /// On the monotonic clock.
    pub now: Stamp,
    /// For people.
    pub wall: Timestamp,
}

impl Desk {
    /// A desk for the alerts of one cluster; its name is part of every alert's id.
    pub fn new(cluster: impl Into<String>) -> Self {
        Self { cluster: cluster.into(), entries: BTreeMap::new(), silences: Vec::new() }
    }

    /// Takes one result of a check. A result that was weighed before changes nothing.
    pub fn weigh(&mut self, spec: &Spec, findings: &[Finding], when: When) {
        let mut unseen: BTreeSet<Text> = self
            .entries
            .keys()
            .filter(|(check, _)| *check == spec.id)
            .map(|(_, subject)| subject.clone())
            .collect();
        for finding in findings {
            unseen.remove(&finding.subject);
            // A value that cannot be seen is neither good nor bad.
            if finding.value.is_some() {
                self.sample(spec, finding, when);
            }
        }
        // What was wrong and is no longer listed has become good.
        for subject in unseen {
            let gone = Finding { subject, value: None, detail: Text::default(), severity: None };
            self.sample(spec, &gone, when);
        }
    }

    /// Forgets the alerts of checks that are no longer asked, after a change of role or version.
    pub fn keep(&mut self, known: impl Fn(&str) -> bool) {
        self.entries.retain(|(check, _), _| known(check));
    }

    /// Somebody takes an alert. Returns false when there is none of that id.
    pub fn acknowledge(&mut self, id: &str) -> bool {
        let entry = self
            .entries
            .values_mut()
            .find(|e| e.alert.as_ref().is_some_and(|alert| &*alert.id == id));
        match entry {
            Some(entry) => {
                entry.acked = true;
                if let Some(alert) = &mut entry.alert
                    && alert.state == AlertState::Firing
                {
                    alert.state = AlertState::Acked;
                }
                true
            }
            None => false,
        }
    }

    /// Takes what is silenced from now on.
    pub fn silence(&mut self, silences: Vec<Silence>) {
        self.silences = silences;
    }

    /// The alerts to show, worst first, behind them those that are silenced at this moment; those that follow
    /// from another one stand in its `muted`.
    pub fn shown(&mut self, now: Timestamp) -> Vec<Alert> {
        for entry in self.entries.values_mut() {
            entry.hush(&self.silences, now);
        }
        let all: Vec<&Alert> = self.entries.values().filter_map(|e| e.alert.as_ref()).collect();
        let root_of = |alert: &Alert| {
            all.iter().position(|root| {
                matches!(root.state, AlertState::Firing | AlertState::Acked)
                    && root.id != alert.id
                    && mutes(root, alert)
            })
        };
        let mut shown: Vec<Alert> = Vec::new();
        let mut quiet: Vec<(Text, Text)> = Vec::new();
        for alert in &all {
            match root_of(alert).and_then(|at| all.get(at)) {
                None => shown.push((*alert).clone()),
                Some(root) => {
                    // A root may itself be muted: what matters is the one that is shown.
                    let top = root_of(root).and_then(|at| all.get(at)).unwrap_or(root);
                    quiet.push((
                        top.id.clone(),
                        format!("{} {}", alert.check, alert.subject).into(),
                    ));
                }
            }
        }
        for (root, muted) in quiet {
            if let Some(alert) = shown.iter_mut().find(|alert| alert.id == root) {
                alert.muted.push(muted);
            }
        }
        let rank = |alert: &Alert| match alert.state {
            AlertState::Firing => 0,
            AlertState::Acked => 1,
            AlertState::Resolving => 2,
            AlertState::Pending => 3,
        };
        shown.sort_by_key(|a| {
            let worst = std::cmp::Reverse(a.severity);
            (a.silenced.is_some(), worst, rank(a), a.since, a.id.clone())
        });
        shown
    }

    fn sample(&mut self, spec: &Spec, finding: &Finding, when: When) {
        let key = (spec.id.clone(), finding.subject.clone());
        let bad = finding.severity.is_some();
        if !bad && !self.entries.contains_key(&key) {
            return;
        }
        let entry = self.entries.entry(key).or_insert_with(|| Entry::new(spec.rule));
        if entry.alert.is_some() && entry.last_sample == when.now {
            return;
        }
        entry.last_sample = when.now;
        entry.window.push_back(bad);
        while entry.window.len() > usize::from(entry.rule.of) {
            entry.window.pop_front();
        }
        entry.good_run = if bad { 0 } else { entry.good_run.saturating_add(1) };
        if let Some(severity) = finding.severity {
            entry.bad(&self.cluster, spec, finding, severity, when);
        } else {
            entry.good(finding, when.now);
        }
    }
}

impl Entry {
    fn new(rule: Rule) -> Self {
        Self {
            rule,
            window: VecDeque::new(),
            good_run: 0,
            flaps: 0,
            last_sample: Stamp::default(),
            ended: None,
            acked: false,
            alert: None,
        }
    }

    fn bad(&mut self, cluster: &str, spec: &Spec, finding: &Finding, sev: Severity, when: When) {
        let believed = self.window.iter().filter(|bad| **bad).count() >= usize::from(self.rule.bad);
        if self.alert.is_none() {
            self.flaps = match self.ended {
                Some(ended) if when.now.since(ended) < FLAPPING => self.flaps + 1,
                _ => 0,
            };
        }
        let alert = self.alert.get_or_insert_with(|| Alert {
            id: format!("{cluster}/{}/{}", spec.id, finding.subject).into(),
            check: spec.id.as_str().into(),
            subject: finding.subject.clone(),
            severity: sev,
            state: AlertState::Pending,
            value: None,
            unit: spec.unit.as_str().into(),
            threshold: Text::default(),
            since: when.now,
            since_wall: when.wall,
            detail: Text::default(),
            remedy: spec.remedy.as_str().into(),
            muted: Vec::new(),
            silenced: None,
        });
        alert.severity = sev;
        alert.value = finding.value;
        alert.threshold = spec.limit(sev).into();
        alert.detail = finding.detail.clone();
        let fired = alert.state != AlertState::Pending;
        if fired || believed {
            alert.state = if self.acked { AlertState::Acked } else { AlertState::Firing };
        }
    }

    /// Silenced for as long as somebody's word lasts. At its end it fires anew, also for whoever had taken it.
    fn hush(&mut self, silences: &[Silence], now: Timestamp) {
        let Some(alert) = &mut self.alert else { return };
        let meant = silences.iter().filter(|silence| silence.lasts(now) && silence.covers(alert));
        let silence = meant.max_by_key(|silence| silence.until).cloned();
        if alert.silenced.is_some() && silence.is_none() && self.acked {
            self.acked = false;
            if alert.state == AlertState::Acked {
                alert.state = AlertState::Firing;
            }
        }
        alert.silenced = silence;
    }

    fn good(&mut self, finding: &Finding, now: Stamp) {
        let Some(alert) = &mut self.alert else { return };
        alert.value = finding.value;
        if alert.state == AlertState::Pending {
            // It was never believed, so it may go without a word.
            if !self.window.contains(&true) {
                self.alert = None;
            }
            return;
        }
        let wanted = (u32::from(self.rule.good) << self.flaps.min(6)).min(LONGEST_RUN);
        if self.good_run >= wanted {
            self.alert = None;
            self.acked = false;
            self.ended = Some(now);
            self.window.clear();
        } else {
            alert.state = AlertState::Resolving;
        }
    }
}

/// True when `alert` only follows from `root` and needs no word of its own. Behind a root that somebody has
/// silenced nothing disappears that is worse than what they have seen.
fn mutes(root: &Alert, alert: &Alert) -> bool {
    if root.silenced.as_ref().is_some_and(|silence| alert.severity > silence.up_to) {
        return false;
    }
    let follows: &[&str] = match &*root.check {
        SERVER_UNREACHABLE => return &*alert.check != "source_silent",
        "archiver_failing" => &["archive_backlog", "wal_directory_size"],
        "root_blockers" => &["blocked_sessions", "lock_wait_longest"],
        "wal_receiver_down" => &["standby_replay_delay"],
        "sync_standby_missing" => &["commits_waiting_for_standby"],
        "pool_exhausted" => return &*alert.check == "pool_wait" && alert.subject == root.subject,
        "disk_used_pct" => return &*alert.check == "disk_full_in" && alert.subject == root.subject,
        _ => &[],
    };
    follows.contains(&&*alert.check)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::checks::derived;

    fn spec(id: &str) -> Spec {
        derived::all()
            .expect("the embedded checks")
            .into_iter()
            .map(|d| d.spec)
            .find(|s| s.id == id)
            .unwrap_or_else(|| {
                super::super::checks::cluster()
                    .expect("the embedded checks")
                    .into_iter()
                    .find(|s| s.id == id)
                    .expect(id)
            })
    }

    struct Bench {
        desk: Desk,
        second: u64,
    }

    impl Bench {
        fn new() -> Self {
            Self { desk: Desk::new("c1"), second: 0 }
        }

        fn take(&mut self, id: &str, subject: &str, value: f64) {
            self.second += 1;
            let spec = spec(id);
            let finding = Finding {
                subject: subject.into(),
                value: Some(value),
                detail: Text::default(),
                severity: spec.judge(value),
            };
            let now = Stamp::default().plus(Duration::from_secs(self.second));
            self.desk.weigh(&spec, &[finding], When { now, wall: Timestamp::UNIX_EPOCH });
        }

        fn wall(&self) -> Timestamp {
            Timestamp::from_second(self.second as i64).expect("a moment")
        }

        fn shown(&mut self) -> Vec<Alert> {
            self.desk.shown(self.wall())
        }

        fn silence(&mut self, subject: Option<&str>, up_to: Severity, seconds: u64) {
            let at = |second: u64| Timestamp::from_second(second as i64).expect("a moment");
            self.desk.silence(vec![Silence {
                id: "a1b2c3".into(),
                check: "breaker_open".into(),
                subject: subject.map(Text::from),
                up_to,
                since: at(self.second),
                until: at(self.second + seconds),
                by: "ann (root)".into(),
                why: "the deploy".into(),
            }]);
        }

        fn silenced(&mut self) -> Vec<bool> {
            self.shown().iter().map(|alert| alert.silenced.is_some()).collect()
        }

        fn states(&mut self) -> Vec<(String, AlertState)> {
            self.desk.shown(self.wall()).iter().map(|a| (a.id.to_string(), a.state)).collect()
        }

        fn state(&mut self) -> Option<AlertState> {
            self.states().first().map(|(_, state)| *state)
        }
    }

    #[test]
    fn lone_bad_samples_never_alert() {
        let mut bench = Bench::new();
        for round in 0..50 {
            bench.take("ping_latency", "probe", if round % 5 == 0 { 2000.0 } else { 1.0 });
            assert!(!bench.states().iter().any(|(_, s)| *s != AlertState::Pending));
        }
    }

    #[test]
    fn three_of_five_fire_and_five_good_end_it() {
        let mut bench = Bench::new();
        for value in [2000.0, 1.0, 2000.0, 2000.0] {
            bench.take("ping_latency", "probe", value);
        }
        assert_eq!(bench.states(), [("c1/ping_latency/probe".to_owned(), AlertState::Firing)]);
        for _ in 0..4 {
            bench.take("ping_latency", "probe", 1.0);
            assert_eq!(bench.state(), Some(AlertState::Resolving));
        }
        bench.take("ping_latency", "probe", 1.0);
        assert_eq!(bench.state(), None);
    }

    #[test]
    fn a_flapping_alert_needs_a_longer_calm_each_time() {
        let mut bench = Bench::new();
        let mut calm = Vec::new();
        for _ in 0..3 {
            bench.take("breaker_open", "api", 90.0);
            assert_eq!(bench.state(), Some(AlertState::Firing));
            let mut rounds = 0;
            while bench.state().is_some() {
                bench.take("breaker_open", "api", 0.0);
                rounds += 1;
            }
            calm.push(rounds);
        }
        assert_eq!(calm, [2, 4, 8]);
    }

    #[test]
    fn what_is_no_longer_listed_becomes_good() {
        let mut bench = Bench::new();
        bench.take("breaker_open", "api", 90.0);
        let spec = spec("breaker_open");
        for second in 10..12 {
            let now = Stamp::default().plus(Duration::from_secs(second));
            bench.desk.weigh(&spec, &[], When { now, wall: Timestamp::UNIX_EPOCH });
        }
        assert_eq!(bench.state(), None);
    }

    #[test]
    fn the_same_result_is_weighed_once() {
        let mut bench = Bench::new();
        let spec = spec("ping_latency");
        let bad = Finding {
            subject: "probe".into(),
            value: Some(5e3),
            detail: Text::default(),
            severity: Some(Severity::Critical),
        };
        let when = When { now: Stamp::from_nanos(7), wall: Timestamp::UNIX_EPOCH };
        for _ in 0..10 {
            bench.desk.weigh(&spec, std::slice::from_ref(&bad), when);
        }
        assert_eq!(bench.state(), Some(AlertState::Pending));
    }

    #[test]
    fn an_acknowledged_alert_stays_so_until_it_ends() {
        let mut bench = Bench::new();
        bench.take("breaker_open", "api", 90.0);
        assert!(bench.desk.acknowledge("c1/breaker_open/api"));
        assert!(!bench.desk.acknowledge("c1/breaker_open/other"));
        bench.take("breaker_open", "api", 91.0);
        assert_eq!(bench.state(), Some(AlertState::Acked));
        bench.take("breaker_open", "api", 0.0);
        bench.take("breaker_open", "api", 0.0);
        bench.take("breaker_open", "api", 90.0);
        assert_eq!(bench.state(), Some(AlertState::Firing), "a new one asks again");
    }

    #[test]
    fn what_follows_from_a_root_is_counted_there() {
        let mut bench = Bench::new();
        bench.take("root_blockers", "pid 7", 25.0);
        bench.take("blocked_sessions", "blocked", 25.0);
        assert_eq!(bench.shown().len(), 1);
        bench.take(SERVER_UNREACHABLE, "server", 9.0);
        let shown = bench.shown();
        let [root] = shown.as_slice() else { panic!("one root, not {shown:?}") };
        assert_eq!(&*root.check, SERVER_UNREACHABLE);
        assert_eq!(root.muted.len(), 2);
    }

    #[test]
    fn the_worst_stands_first() {
        let mut bench = Bench::new();
        bench.take("breaker_open", "slow", 10.0);
        bench.take("breaker_open", "stuck", 90.0);
        let severities: Vec<_> = bench.shown().iter().map(|a| a.severity).collect();
        assert_eq!(severities, [Severity::Critical, Severity::Warning]);
    }

    #[test]
    fn a_silence_ends_by_itself_and_what_it_held_back_fires_anew() {
        let mut bench = Bench::new();
        bench.take("breaker_open", "api", 10.0);
        bench.silence(Some("api"), Severity::Warning, 3);
        assert!(bench.desk.acknowledge("c1/breaker_open/api"));
        for expected in [true, true, false, false] {
            bench.take("breaker_open", "api", 11.0);
            assert_eq!(bench.silenced(), [expected], "second {}", bench.second);
        }
        assert_eq!(bench.state(), Some(AlertState::Firing), "whoever took it is asked again");
    }

    #[test]
    fn what_gets_worse_breaks_through_and_another_subject_is_not_meant() {
        let mut bench = Bench::new();
        bench.take("breaker_open", "api", 10.0);
        bench.silence(Some("api"), Severity::Warning, 1000);
        assert_eq!(bench.silenced(), [true]);
        bench.take("breaker_open", "api", 90.0);
        assert_eq!(bench.silenced(), [false], "critical by now");
        bench.take("breaker_open", "worker", 10.0);
        bench.silence(Some("api"), Severity::Critical, 1000);
        let shown: Vec<_> =
            bench.shown().iter().map(|a| (a.subject.to_string(), a.silenced.is_some())).collect();
        assert_eq!(shown, [("worker".to_owned(), false), ("api".to_owned(), true)], "behind");
        bench.silence(None, Severity::Critical, 1000);
        assert_eq!(bench.silenced(), [true, true], "all of the check");
    }

    #[test]
    fn behind_a_silenced_root_nothing_worse_disappears() {
        let mut bench = Bench::new();
        bench.take("root_blockers", "pid 7", 5.0);
        bench.take("blocked_sessions", "blocked", 25.0);
        assert_eq!(bench.shown().len(), 1);
        bench.silence(None, Severity::Warning, 1000);
        for silence in &mut bench.desk.silences {
            silence.check = "root_blockers".into();
        }
        let shown: Vec<_> =
            bench.shown().iter().map(|a| (a.check.to_string(), a.silenced.is_some())).collect();
        let expected = [("blocked_sessions".to_owned(), false), ("root_blockers".to_owned(), true)];
        assert_eq!(shown, expected);
    }
}
