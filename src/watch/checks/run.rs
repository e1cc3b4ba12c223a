//! When checks run, and what their rows amount to.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Deserializer};

use super::{Privilege, Spec};
use crate::{
    base::{clock::Stamp, text::Text},
    watch::snapshot::{Check, CheckState, Finding, Role},
};

/// How long a check that failed is left alone.
const FAILED_PAUSE: Duration = Duration::from_mins(5);
/// Findings kept per check.
const MOST_FINDINGS: usize = 10;

/// Who we are on the server; decides which checks make sense and which would lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The server's role.
    pub role: Role,
    /// Its `server_version_num`.
    pub version_num: u32,
    /// We are a member of `pg_monitor`, or a superuser.
    pub monitor: bool,
}

/// A row of the batch statement.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Row {
    /// The check's id.
    pub id: String,
    /// What was looked at.
    pub subject: Option<String>,
    /// The value; none when our role cannot see it.
    #[serde(default, deserialize_with = "value")]
    pub value: Option<f64>,
    /// The facts behind the value.
    pub detail: Option<String>,
}

/// A number as PostgreSQL writes it into JSON: infinities and NaN, which JSON does not have, as text.
/// What is not a number says nothing, so it cannot be seen either.
fn value<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(f64),
        Word(String),
    }
    let number = match Option::deserialize(from)? {
        None => None,
        Some(Written::Number(number)) => Some(number),
        Some(Written::Word(word)) => word.parse().ok(),
    };
    Ok(number.filter(|number| !number.is_nan()))
}

/// Keeps the last result of every check and knows which are due.
#[derive(Debug, Default)]
pub struct Book {
    pages: BTreeMap<String, Page>,
}

#[derive(Debug)]
struct Page {
    spec: Spec,
    state: CheckState,
    findings: Vec<Finding>,
    ran: Option<Stamp>,
    error: Option<Text>,
    suspicious: bool,
    /// To be asked anew, however lately it ran.
    again: bool,
}

impl Book {
    /// Opens a page for each check that makes sense on such a server, keeping what is known already.
    /// A check that our role would be shown too little for is blind and does not run.
    pub fn meet(&mut self, specs: &[Spec], standing: Standing) {
        let fitting = specs.iter().filter(|s| s.fits(standing.role, standing.version_num));
        let mut old = std::mem::take(&mut self.pages);
        for spec in fitting {
            let blind = spec.privilege == Privilege::Monitor && !standing.monitor;
            let page = match old.remove(&spec.id) {
                Some(page) if page.spec == *spec && (page.state == CheckState::Blind) == blind => {
                    page
                }
                _ => Page::new(spec.clone(), blind),
            };
            self.pages.insert(spec.id.clone(), page);
        }
    }

    /// Has every check run anew: after a gap in which the server may have become another. Those that
    /// failed go on resting.
    pub fn ask_again(&mut self) {
        for page in self.pages.values_mut() {
            page.again = !matches!(page.state, CheckState::Failed | CheckState::Blind);
        }
    }

    /// True while checks wait to be asked anew.
    pub fn looks_anew(&self) -> bool {
        self.pages.values().any(|page| page.again && page.state != CheckState::Blind)
    }

    /// The checks to run now, in a stable order: those to be asked anew, else the ones that are due of the
    /// round that is overdue most. A round holds the checks of one period, so that they are asked in few
    /// different statements; checks that need a superuser have rounds of their own, because one that is
    /// refused spoils the statement for all.
    pub fn due(&self, now: Stamp) -> Vec<&Spec> {
        let due = self.pages.values().filter_map(|page| Some((page.overdue(now)?, page)));
        let Some((_, first)) = due.max_by_key(|(overdue, _)| *overdue) else { return Vec::new() };
        let round = self.pages.values().filter(|page| page.round() == first.round());
        round.filter(|page| page.joins(now)).map(|page| &page.spec).collect()
    }

    /// Takes the rows of checks that ran together. A check without a row is fine.
    pub fn took(&mut self, ran: &[impl AsRef<str>], rows: Vec<Row>, now: Stamp) {
        let mut by_check: BTreeMap<String, Vec<Row>> = BTreeMap::new();
        for row in rows {
            by_check.entry(row.id.clone()).or_default().push(row);
        }
        for id in ran {
            let id = id.as_ref();
            if let Some(page) = self.pages.get_mut(id) {
                page.took(by_check.remove(id).unwrap_or_default(), now);
            }
        }
    }

    /// Notes that a check could not run; `blind` when our role was refused.
    pub fn failed(&mut self, id: &str, error: &str, blind: bool, now: Stamp) {
        if let Some(page) = self.pages.get_mut(id) {
            page.state = if blind { CheckState::Blind } else { CheckState::Failed };
            page.findings.clear();
            page.error = Some(Text::foreign(error));
            page.ran = Some(now);
            page.again = false;
            page.suspicious = false;
        }
    }

    /// Ids and results of the checks that have an answer, for the detector.
    pub fn results(&self) -> impl Iterator<Item = (&Spec, &[Finding], Stamp)> {
        self.pages.values().filter_map(|page| {
            let judged =
                !matches!(page.state, CheckState::Pending | CheckState::Failed | CheckState::Blind);
            let ran = page.ran?;
            judged.then_some((&page.spec, page.findings.as_slice(), ran))
        })
    }

    /// Every check as it is shown.
    pub fn shown(&self) -> Vec<Check> {
        self.pages.values().map(Page::shown).collect()
    }

    /// The ids on all pages, for tests and for what is configured.
    pub fn ids(&self) -> BTreeSet<&str> {
        self.pages.keys().map(String::as_str).collect()
    }
}

impl Page {
    fn new(spec: Spec, blind: bool) -> Self {
        let error = blind.then(|| Text::ours("our role is not a member of pg_monitor"));
        let state = if blind { CheckState::Blind } else { CheckState::Pending };
        Self { spec, state, findings: Vec::new(), ran: None, error, suspicious: false, again: true }
    }

    /// What is asked together: those of one period, `None` for those to be asked anew.
    fn round(&self) -> (bool, Option<Duration>) {
        (self.spec.privilege == Privilege::Superuser, (!self.again).then_some(self.spec.every))
    }

    fn pause(&self) -> Duration {
        match self.state {
            CheckState::Failed | CheckState::Blind => FAILED_PAUSE,
            _ if self.suspicious => (self.spec.every / 10).max(Duration::from_secs(1)),
            _ => self.spec.every,
        }
    }

    /// For how long it has been due; `None` while it is not.
    fn overdue(&self, now: Stamp) -> Option<Duration> {
        let Some(ran) = self.ran.filter(|_| !self.again) else {
            return (self.state != CheckState::Blind).then_some(Duration::MAX);
        };
        // A probe comes a little early or late: half a second must not cost a whole round.
        now.plus(Duration::from_millis(500)).since(ran).checked_sub(self.pause())
    }

    /// True when it runs along with its round: from half its pause on, so that those that were asked
    /// alone for a while fall into step again.
    fn joins(&self, now: Stamp) -> bool {
        let failed = matches!(self.state, CheckState::Failed | CheckState::Blind);
        match self.ran {
            Some(ran) if !failed && !self.again => now.since(ran) * 2 >= self.pause(),
            _ => self.overdue(now).is_some(),
        }
    }

    fn took(&mut self, rows: Vec<Row>, now: Stamp) {
        self.findings = judge(&self.spec, rows);
        self.state = state_of(&self.findings);
        self.suspicious = self.findings.iter().any(|f| f.severity.is_some());
        self.ran = Some(now);
        self.again = false;
        self.error = None;
    }

    fn shown(&self) -> Check {
        check(&self.spec, self.state, self.findings.clone(), self.ran, self.error.clone())
    }
}

fn judge(spec: &Spec, rows: Vec<Row>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = rows
        .into_iter()
        .map(|row| Finding {
            subject: Text::one_line(&row.subject.unwrap_or_default()),
            value: row.value,
            detail: Text::one_line(&row.detail.unwrap_or_default()),
            severity: row.value.and_then(|value| spec.judge(value)),
        })
        .collect();
    findings.sort_by_key(|f| std::cmp::Reverse(f.severity));
    findings.truncate(MOST_FINDINGS);
    findings
}

/// What findings amount to: the worst of them, and blind when one could not be seen and none is bad.
pub fn state_of(findings: &[Finding]) -> CheckState {
    use crate::watch::snapshot::Severity::{Critical, Warning};
    let worst = findings.iter().filter_map(|f| f.severity).max();
    match worst {
        Some(Critical) => CheckState::Critical,
        Some(Warning) => CheckState::Warning,
        None if findings.iter().any(|f| f.value.is_none()) => CheckState::Blind,
        None => CheckState::Ok,
    }
}

/// A check as it is shown.
pub fn check(
    spec: &Spec,
    state: CheckState,
    findings: Vec<Finding>,
    ran: Option<Stamp>,
    error: Option<Text>,
) -> Check {
    let limit =
        |t: &Option<super::Threshold>| t.as_ref().map_or_else(Text::default, |t| t.text().into());
    Check {
        id: spec.id.as_str().into(),
        class: spec.class.as_str().into(),
        state,
        findings,
        unit: spec.unit.as_str().into(),
        warn: limit(&spec.warn),
        crit: limit(&spec.crit),
        remedy: spec.remedy.as_str().into(),
        ran,
        error,
    }
}

/// One query that runs all of them: `(id, subject, value, detail)` rows as one JSON array.
pub fn batch(specs: &[Spec]) -> String {
    let parts: Vec<String> = specs
        .iter()
        .map(|spec| {
            // Ids are ours: lower-case words. Quoted all the same.
            let id = spec.id.replace('\'', "''");
            format!("SELECT '{id}' AS id, c.* FROM (\n{}\n) c(subject, value, detail)", spec.sql)
        })
        .collect();
    format!(
        "SELECT coalesce(json_agg(json_build_object('id', r.id, 'subject', r.subject, 'value', \
         r.value::float8, 'detail', r.detail)), '[]')::text FROM (\n{}\n) r",
        parts.join("\nUNION ALL\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::{checks::cluster, snapshot::Severity};

    const PRIMARY: Standing = Standing { role: Role::Primary, version_num: 150_018, monitor: true };

    fn row(id: &str, value: Option<f64>) -> Row {
        Row { id: id.into(), subject: Some("s".into()), value, detail: None }
    }

    fn at(seconds: u64) -> Stamp {
        Stamp::default().plus(Duration::from_secs(seconds))
    }

    fn book(standing: Standing) -> Book {
        let mut book = Book::default();
        book.meet(&cluster().expect("the embedded checks"), standing);
        book
    }

    fn state(book: &Book, id: &str) -> CheckState {
        book.shown().iter().find(|c| &*c.id == id).expect(id).state
    }

    /// Asks what is due each second; `bad` is found wrong each time. The seconds at which `id` ran.
    fn seconds(book: &mut Book, from: u64, to: u64, id: &str, bad: Option<&str>) -> Vec<u64> {
        let mut ran = Vec::new();
        for second in from..to {
            let due: Vec<String> = book.due(at(second)).iter().map(|c| c.id.clone()).collect();
            if due.iter().any(|due| due == id) {
                ran.push(second);
            }
            let rows = due.iter().filter(|due| Some(due.as_str()) == bad);
            let rows = rows.map(|id| row(id, Some(1e12))).collect();
            book.took(&due, rows, at(second));
        }
        ran
    }

    #[test]
    fn a_check_is_pending_until_it_ran_and_due_again_after_its_period() {
        let mut book = book(PRIMARY);
        let id = "idle_in_transaction";
        assert_eq!(state(&book, id), CheckState::Pending);
        let first = seconds(&mut book, 0, 1, id, None);
        assert_eq!((first, state(&book, id)), (vec![0], CheckState::Ok), "all at once at first");
        let next = seconds(&mut book, 1, 45, id, None);
        assert_eq!(next.len(), 4, "every ten seconds: {next:?}");
        seconds(&mut book, 45, 56, id, Some(id));
        assert_eq!(state(&book, id), CheckState::Critical);
        let often = seconds(&mut book, 56, 76, id, Some(id));
        assert!(often.len() >= 12, "looked at more often once suspicious: {often:?}");
        seconds(&mut book, 76, 100, id, None);
        let calm = seconds(&mut book, 100, 140, id, None);
        assert!(calm.len() == 4, "as before: {calm:?}");
    }

    #[test]
    fn what_is_wrong_and_looked_at_often_starves_no_other() {
        for wrong in ["idle_in_transaction", "blocked_sessions", "slot_wal_retained"] {
            let mut book = book(PRIMARY);
            assert!(seconds(&mut book, 0, 30, wrong, Some(wrong)).len() >= 9, "{wrong}");
            for (id, least) in
                [("connections_used_pct", 15), ("long_query", 8), ("pending_restart", 1)]
            {
                let mut book = self::book(PRIMARY);
                let ran = seconds(&mut book, 0, 100, id, Some(wrong)).len();
                assert!(ran >= least, "{id} ran {ran} times while {wrong} is wrong");
            }
        }
    }

    #[test]
    fn after_a_gap_everything_is_asked_anew_but_what_failed() {
        let mut book = book(PRIMARY);
        let id = "xid_wraparound_pct";
        seconds(&mut book, 0, 10, id, None);
        book.failed("slot_wal_retained", "boom", false, at(10));
        assert!(!book.due(at(20)).iter().any(|c| c.id == id));
        book.ask_again();
        let due: Vec<_> = book.due(at(20)).iter().map(|c| c.id.clone()).collect();
        assert!(due.iter().any(|due| due == id), "{due:?}");
        assert!(!due.iter().any(|due| due == "slot_wal_retained"), "{due:?}");
    }

    #[test]
    fn a_quiet_server_is_asked_few_different_questions() {
        let mut book = book(PRIMARY);
        let mut questions = BTreeSet::new();
        for second in 0..1000 {
            let due: Vec<String> = book.due(at(second)).iter().map(|c| c.id.clone()).collect();
            book.took(&due, vec![], at(second));
            questions.insert(due);
        }
        // Nothing, the first look, five periods; those for superusers: the first look and one period.
        assert!(questions.len() <= 9, "{questions:#?}");
    }

    #[test]
    fn a_weak_role_is_blind_and_asks_nothing_that_would_lie() {
        let mut book = book(Standing { monitor: false, ..PRIMARY });
        assert_eq!(state(&book, "blocked_sessions"), CheckState::Blind);
        assert!(!book.due(at(0)).iter().any(|c| c.id == "blocked_sessions"));
        assert!(book.results().all(|(spec, ..)| spec.id != "blocked_sessions"));
        book.meet(&cluster().expect("the embedded checks"), PRIMARY);
        assert_eq!(state(&book, "blocked_sessions"), CheckState::Pending);
    }

    #[test]
    fn a_value_that_cannot_be_seen_is_blind() {
        let mut book = book(PRIMARY);
        book.took(&["checksum_failures"], vec![row("checksum_failures", None)], at(0));
        assert_eq!(state(&book, "checksum_failures"), CheckState::Blind);
    }

    #[test]
    fn numbers_that_json_does_not_have_are_read() {
        let read = |value: &str| {
            let row = format!(r#"{{"id":"x","subject":null,"value":{value},"detail":null}}"#);
            serde_json::from_str::<Row>(&row).expect("a row").value
        };
        assert_eq!(read("1.5"), Some(1.5));
        assert_eq!(read("null"), None);
        assert_eq!(read("\"Infinity\""), Some(f64::INFINITY));
        assert_eq!(read("\"-Infinity\""), Some(f64::NEG_INFINITY));
        assert_eq!(read("\"NaN\""), None);
        assert_eq!(read("\"a lot\""), None);
    }

    #[test]
    fn checks_of_the_other_role_and_version_have_no_page() {
        let primary = book(PRIMARY);
        assert!(!primary.ids().contains("standby_replay_delay"));
        let standby = book(Standing { role: Role::Standby, version_num: 130_000, ..PRIMARY });
        assert!(standby.ids().contains("standby_replay_delay"));
        assert!(!standby.ids().contains("lock_wait_longest"), "needs PostgreSQL 14");
    }

    #[test]
    fn the_worst_finding_stands_first_and_decides() {
        let mut book = book(PRIMARY);
        let id = "idle_in_transaction";
        book.took(&[id], vec![row(id, Some(1.0)), row(id, Some(400.0)), row(id, Some(1e4))], at(0));
        let shown = book.shown();
        let check = shown.iter().find(|c| &*c.id == id).expect("shown");
        let severities: Vec<_> = check.findings.iter().map(|f| f.severity).collect();
        assert_eq!(severities, [Some(Severity::Critical), Some(Severity::Warning), None]);
        assert_eq!(check.state, CheckState::Critical);
    }

    #[test]
    fn a_failed_check_rests_before_it_is_tried_again() {
        let mut book = book(PRIMARY);
        book.failed("slot_wal_retained", "boom\u{1b}[2J", false, at(0));
        assert_eq!(state(&book, "slot_wal_retained"), CheckState::Failed);
        assert!(seconds(&mut book, 1, 299, "slot_wal_retained", None).is_empty());
        assert!(!seconds(&mut book, 299, 310, "slot_wal_retained", None).is_empty());
    }
}
