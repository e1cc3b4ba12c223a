//! How long callers wait, from what the metrics of two scrapes tell.

use std::time::Duration;

use super::{
    super::{
        profile::{Unit, WaitProfile},
        selector::{Expression, Selector},
    },
    facts::Sight,
};
use crate::watch::snapshot::{Pool, Wait, WaitMeaning};

/// Which share of the waits is shorter than the one that is shown.
const QUANTILE: f64 = 0.99;

/// The wait of a pool. What people wait now goes before the last interval, a 99th percentile before a
/// mean, and both before the exporter's own figures, which remember longer than we look back.
pub fn wait(
    profiles: &[WaitProfile],
    pool: &Pool,
    now: &Sight<'_>,
    before: Option<&Sight<'_>>,
) -> Option<Wait> {
    profiles.iter().find_map(|profile| {
        let wait = |value: f64, meaning| {
            let value = Duration::try_from_secs_f64(value * profile.unit.seconds()).ok()?;
            Some(Wait { value, meaning })
        };
        let longest = profile.longest.as_ref().and_then(|gauge| now.most(gauge));
        if let Some(longest) = longest {
            return wait(longest, WaitMeaning::LongestNow);
        }
        let timer = profile.timer.as_ref();
        if let Some(p99) = timer.and_then(|timer| recent_quantile(timer, now, before?)) {
            return wait(p99, WaitMeaning::P99Recent);
        }
        if let Some(mean) = recent_mean(profile, pool, now, before) {
            return wait(mean, WaitMeaning::MeanRecent);
        }
        if let Some(p99) = timer.and_then(|timer| told_quantile(timer, now)) {
            return wait(p99, WaitMeaning::P99Recent);
        }
        let max = profile.max.as_ref().and_then(|gauge| now.most(gauge));
        max.and_then(|max| wait(max, WaitMeaning::MaxRecent))
    })
}

/// How far a counter came; one that fell was reset, and counted from zero since. A counter below zero
/// or beyond all bounds is none, and came nowhere.
pub fn grown(now: f64, before: f64) -> f64 {
    let grown = if now < before { now } else { now - before };
    if grown.is_finite() { grown.max(0.0) } else { 0.0 }
}

/// The mean over the last interval, from a sum and a count that both grow.
fn recent_mean(
    profile: &WaitProfile,
    pool: &Pool,
    now: &Sight<'_>,
    before: Option<&Sight<'_>>,
) -> Option<f64> {
    let before = before?;
    let read = |sight: &Sight<'_>| match (&profile.sum, &profile.count, &profile.timer) {
        (Some(sum), Some(count), _) => Some((sight.sum(sum)?, sight.sum(count)?)),
        (_, _, Some(timer)) => {
            let total = |suffix| {
                let selector = timer.with_suffix(suffix);
                sight.facts(&selector).map(|fact| fact.value).reduce(|a, b| a + b)
            };
            Some((total("_sum")?, total("_count")?))
        }
        _ => None,
    };
    let ((sum, count), (sum_before, count_before)) = (read(now)?, read(before)?);
    let reset = sum < sum_before || count < count_before;
    let (sum, count) = if reset { (sum, count) } else { (sum - sum_before, count - count_before) };
    if !profile.counted_at_start {
        return (count > 0.0).then(|| sum / count);
    }
    // Waits that have begun and not ended are in the count already, and waits that began earlier end
    // now: only with both is there a mean. With neither, nobody waits, unless the pool is full and
    // somebody waits since long.
    let room = pool.in_use.is_some_and(|used| pool.max.is_none_or(|max| used < max));
    match (sum > 0.0, count > 0.0) {
        (true, true) => Some(sum / count),
        (false, false) if room && !reset => Some(0.0),
        _ => None,
    }
}

/// The quantile of the last interval, from the growth of a histogram's buckets.
fn recent_quantile(timer: &Selector, now: &Sight<'_>, before: &Sight<'_>) -> Option<f64> {
    let selector = timer.with_suffix("_bucket");
    let (now, before) = (buckets(&selector, now), buckets(&selector, before));
    let old = |bound: f64| {
        before.iter().find(|(other, _)| *other == bound).map_or(0.0, |(_, count)| *count)
    };
    if before.is_empty() {
        return None;
    }
    let reset = now.iter().any(|(bound, count)| *count < old(*bound));
    let grown: Vec<(f64, f64)> = now
        .iter()
        .map(|(bound, count)| (*bound, if reset { *count } else { count - old(*bound) }))
        .collect();
    quantile(&grown, QUANTILE)
}

/// Upper bound and cumulative count of each bucket, by bound; the same bucket of several series is
/// added up.
fn buckets(selector: &Selector, sight: &Sight<'_>) -> Vec<(f64, f64)> {
    let mut all: Vec<(f64, f64)> = sight
        .facts(selector)
        .filter_map(|fact| Some((fact.label("le")?.parse().ok()?, fact.value)))
        .filter(|(bound, _): &(f64, f64)| !bound.is_nan())
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all.dedup_by(|next, first| {
        let same = next.0 == first.0;
        if same {
            first.1 += next.1;
        }
        same
    });
    all
}

/// The quantile of a histogram, by linear interpolation inside its bucket, as PromQL's
/// `histogram_quantile` does; in the last, unbounded bucket it is the greatest bound that there is.
fn quantile(buckets: &[(f64, f64)], share: f64) -> Option<f64> {
    let (last_bound, total) = *buckets.last()?;
    if buckets.len() < 2 || last_bound != f64::INFINITY || total <= 0.0 {
        return None;
    }
    let rank = share * total;
    let mut below = (0.0_f64, 0.0_f64);
    for (bound, count) in buckets {
        if *count >= rank {
            if *bound == f64::INFINITY {
                return Some(below.0);
            }
            let inside = count - below.1;
            let part = if inside > 0.0 { (rank - below.1) / inside } else { 1.0 };
            return Some(below.0.min(*bound) + (bound - below.0.min(*bound)) * part);
        }
        below = (*bound, count.max(below.1));
    }
    Some(below.0)
}

/// The quantile that a summary tells over its own window.
fn told_quantile(timer: &Selector, now: &Sight<'_>) -> Option<f64> {
    let told = now.facts(timer).filter(|fact| {
        let share = fact.label("quantile").and_then(|share| share.parse::<f64>().ok());
        share.is_some_and(|share| (share - QUANTILE).abs() < 1e-9)
    });
    told.map(|fact| fact.value).reduce(f64::max)
}

/// A gauge that holds a span of time.
pub fn span(gauge: &Expression, unit: Unit, now: &Sight<'_>) -> Option<Duration> {
    Duration::try_from_secs_f64(now.most(gauge)? * unit.seconds()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_fell_was_reset() {
        assert_eq!(grown(7.0, 5.0), 2.0);
        assert_eq!(grown(3.0, 5.0), 3.0);
        assert_eq!(grown(-3.0, 5.0), 0.0);
        assert_eq!(grown(f64::INFINITY, f64::INFINITY), 0.0);
    }

    #[test]
    fn quantiles_are_interpolated() {
        let inf = f64::INFINITY;
        let even = [(1.0, 50.0), (2.0, 100.0), (inf, 100.0)];
        assert_eq!(quantile(&even, 0.5), Some(1.0));
        assert_eq!(quantile(&even, 0.75), Some(1.5));
        assert!((quantile(&even, 0.99).expect("known") - 1.98).abs() < 1e-9);
        assert_eq!(quantile(&[(1.0, 0.0), (inf, 10.0)], 0.99), Some(1.0), "at least that");
        assert_eq!(quantile(&[(1.0, 0.0), (inf, 0.0)], 0.99), None, "nobody waited");
        assert_eq!(quantile(&[(inf, 10.0)], 0.99), None, "no bounds");
        assert_eq!(quantile(&[(1.0, 10.0)], 0.99), None, "no total");
        assert_eq!(quantile(&[], 0.99), None);
    }
}
