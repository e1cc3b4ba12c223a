//! Time laid out in cells.

use crate::base::clock::Timestamp;

/// A stretch of time in cells of whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    /// The first second of the first cell.
    from: i64,
    /// Seconds of a cell, at least one.
    step: i64,
    /// How many cells.
    cells: u16,
}

impl Axis {
    /// `whole` in so many cells; spread out `scale` times, four times each, around the moment `at`. None
    /// without a cell.
    pub fn new(
        whole: (Timestamp, Timestamp),
        cells: u16,
        scale: u8,
        at: Timestamp,
    ) -> Option<Self> {
        let count = i64::from(cells);
        let (first, last) = (whole.0.as_second(), whole.1.as_second());
        let span = last.saturating_sub(first).max(0).saturating_add(1);
        let all = span.div_euclid(count.max(1)) + i64::from(span.rem_euclid(count.max(1)) > 0);
        let step = all.checked_shr(u32::from(scale) * 2).unwrap_or(0).max(1);
        // The cursor stands in the middle, except near the ends.
        let latest = (last - (step * count - 1)).max(first);
        let from = (at.as_second() - step * (count / 2)).clamp(first, latest);
        (cells > 0).then_some(Self { from, step, cells })
    }

    /// Seconds of a cell.
    pub const fn step(&self) -> i64 {
        self.step
    }

    /// True when it cannot be spread out any more.
    pub const fn is_finest(&self) -> bool {
        self.step == 1
    }

    /// The cell that a moment lies in; none when it lies outside.
    pub fn cell(&self, at: Timestamp) -> Option<u16> {
        let cell = (at.as_second() - self.from).div_euclid(self.step);
        u16::try_from(cell).ok().filter(|cell| *cell < self.cells)
    }

    /// The first second of a cell, and the first behind it.
    pub fn seconds(&self, cell: u16) -> (i64, i64) {
        let begin = self.from.saturating_add(self.step.saturating_mul(cell.into()));
        (begin, begin.saturating_add(self.step))
    }

    /// The first moment of the first cell, and the last second of the last one.
    pub fn ends(&self) -> (Timestamp, Timestamp) {
        let (begin, _) = self.seconds(0);
        let (_, behind) = self.seconds(self.cells - 1);
        let at = |second| Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
        (at(begin), at(behind - 1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a moment")
    }

    #[test]
    fn two_weeks_fit_into_any_width_and_can_be_spread_out_to_seconds() {
        let whole = (at(0), at(14 * 86_400));
        let axis = Axis::new(whole, 76, 0, at(86_400)).expect("cells");
        assert_eq!(
            (axis.step(), axis.cell(at(0)), axis.cell(whole.1)),
            (15_916, Some(0), Some(75))
        );
        let fine = Axis::new(whole, 76, 7, at(86_400)).expect("cells");
        assert!(fine.is_finest());
        assert_eq!(fine.cell(at(86_400)), Some(38), "the cursor stands in the middle");
        assert_eq!(Axis::new(whole, 0, 0, at(0)), None);
    }

    proptest! {
        /// The cursor is in sight, whatever the width and the scale; without a scale all is.
        #[test]
        fn the_cursor_is_always_in_sight(
            (first, span) in (0_i64..1 << 33, 0_i64..1 << 31),
            share in 0.0_f64..=1.0,
            cells in 1_u16..400,
            scale in 0_u8..=255,
        ) {
            let whole = (at(first), at(first + span));
            let cursor = at(first + (span as f64 * share) as i64);
            let axis = Axis::new(whole, cells, scale, cursor).expect("cells");
            let cell = axis.cell(cursor).expect("in sight");
            let (begin, behind) = axis.seconds(cell);
            prop_assert!(begin <= cursor.as_second() && cursor.as_second() < behind);
            if scale == 0 {
                prop_assert!(axis.cell(whole.0).is_some() && axis.cell(whole.1).is_some());
            }
        }
    }
}
