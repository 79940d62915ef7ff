//! A course: what is measured of one queue over the last hour, day and month, in steps of ten seconds, a
//! minute and a quarter of an hour.
//!
//! Only the finest steps are measured. A longer one is put together from shorter ones when it is over, so
//! what of the longer ones was not saved before a crash comes out of the shorter ones again.

use std::collections::VecDeque;
use windlass_engine::measure::Metric;

/// Length of a step, and how many of them are kept.
pub(super) const SPANS: [(u64, usize); 3] = [(10_000, 360), (60_000, 1_440), (900_000, 2_880)];

/// One value of each metric, in the order of [`Metric::ALL`].
pub(super) type Point = [u32; Metric::COUNT];

/// The last steps of one length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ring {
    /// Number of the step that comes next: its time divided by its length.
    pub(super) next: u64,
    pub(super) points: VecDeque<Point>,
}

/// The rings of one queue, the finest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Course {
    pub(super) rings: [Ring; SPANS.len()],
}

/// Values in equal steps, and when they begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Values {
    pub(super) start_at: u64,
    pub(super) step_ms: u64,
    pub(super) values: Vec<u64>,
}

impl Ring {
    /// Puts a point at the end. Steps that were passed over had the levels of the last one, and in them
    /// nothing happened.
    fn push(&mut self, step: u64, point: Point, most: usize) {
        if self.points.is_empty() {
            self.next = step;
        }
        if step < self.next {
            // The clock was set back: what is known of that time is replaced.
            let too_many = usize::try_from(self.next - step).unwrap_or(usize::MAX);
            self.points.truncate(self.points.len().saturating_sub(too_many));
            self.next = step;
        }
        let missed = usize::try_from(step - self.next).unwrap_or(usize::MAX).min(most);
        let still = self.points.back().map_or([0; Metric::COUNT], |last| at_rest(*last));
        self.points.extend(std::iter::repeat_n(still, missed));
        self.points.push_back(point);
        let too_many = self.points.len().saturating_sub(most);
        self.points.drain(..too_many);
        self.next = step + 1;
    }

    /// Number of the first step that is kept.
    fn first(&self) -> u64 {
        self.next - self.points.len() as u64
    }

    /// The points of these steps, as far as they are kept.
    fn range(&self, from: u64, to: u64) -> impl Iterator<Item = &Point> {
        let place = |step: u64| {
            usize::try_from(step.saturating_sub(self.first())).unwrap_or(usize::MAX).min(self.points.len())
        };
        self.points.range(place(from)..place(to).max(place(from)))
    }
}

impl Course {
    /// Puts a point of the finest ring at the end, and ends longer steps that are over with it.
    pub(super) fn push(&mut self, step: u64, point: Point) {
        let ring = &mut self.rings[0];
        let quarter = ring.next.next_multiple_of(SPANS[2].0 / SPANS[0].0);
        if step > quarter
            && let Some(last) = ring.points.back()
        {
            // What has begun of longer steps is ended, before the points of it make room for a long silence.
            let still = at_rest(*last);
            (ring.next..quarter).for_each(|step| ring.push(step, still, SPANS[0].1));
            self.consolidate();
        }
        self.rings[0].push(step, point, SPANS[0].1);
        self.consolidate();
    }

    /// Puts together the longer steps that are over.
    pub(super) fn consolidate(&mut self) {
        for at in 1..SPANS.len() {
            let [(fine_ms, _), (step_ms, most)] = [SPANS[at - 1], SPANS[at]];
            let ratio = step_ms / fine_ms;
            let (finer, rest) = self.rings.split_at_mut(at);
            let (fine, ring) = (&finer[at - 1], &mut rest[0]);
            if fine.points.is_empty() {
                continue;
            }
            let over = fine.next / ratio;
            if ring.points.is_empty() {
                ring.next = fine.first() / ratio;
            }
            if ring.next > over {
                // The clock was set back.
                let step = over.saturating_sub(1);
                ring.push(step, sum(fine.range(step * ratio, over * ratio)), most);
            }
            // Of a step that nothing is known of any more nothing is put down; the next one fills the gap.
            let from = ring.next.max(fine.first() / ratio);
            for step in from..over {
                ring.push(step, sum(fine.range(step * ratio, (step + 1) * ratio)), most);
            }
        }
    }

    /// The values of a metric over the last `window_ms`, one for `step_ms` or the shortest time above it
    /// that is kept for so long. The first steps may have been before anything was measured: they are 0.
    pub(super) fn values(&self, metric: Metric, window_ms: u64, step_ms: u64) -> Values {
        let covers = |&at: &usize| SPANS[at].0 * SPANS[at].1 as u64 >= window_ms;
        let at = (0..SPANS.len()).find(covers).unwrap_or(SPANS.len() - 1);
        let (unit, most) = SPANS[at];
        let ring = &self.rings[at];
        let each = step_ms.div_ceil(unit).max(1);
        let count = window_ms.min(unit * most as u64).div_ceil(unit * each).max(1);
        // Steps begin at multiples of their length, so the last one may still be going on.
        let end = (self.rings[0].next * SPANS[0].0 / unit).div_ceil(each);
        let start = end.saturating_sub(count);
        let place = metric as usize;
        let value = |step: u64| {
            let points = ring.range(step * each, (step + 1) * each);
            u64::from(sum(points)[place])
        };
        Values {
            start_at: start * each * unit,
            step_ms: each * unit,
            values: (start..end).map(value).collect(),
        }
    }

    /// The last of the finest points, at most so many.
    pub(super) fn last(&self, count: usize) -> impl Iterator<Item = &Point> {
        let points = &self.rings[0].points;
        points.range(points.len().saturating_sub(count)..)
    }
}

/// A point at which nothing happens, with the levels of another one.
fn at_rest(mut point: Point) -> Point {
    for metric in Metric::ALL {
        if !is_level(metric) {
            point[metric as usize] = 0;
        }
    }
    point
}

fn is_level(metric: Metric) -> bool {
    matches!(metric, Metric::Ready | Metric::Leased)
}

/// Points as one: what happened is added up, of levels the mean is taken and of waits the longest.
fn sum<'a>(points: impl Iterator<Item = &'a Point>) -> Point {
    let (mut sums, mut count) = ([0u64; Metric::COUNT], 0u64);
    for point in points {
        count += 1;
        for metric in Metric::ALL {
            let (sum, value) = (&mut sums[metric as usize], u64::from(point[metric as usize]));
            *sum = match metric {
                Metric::WaitP50 | Metric::WaitP99 => value.max(*sum),
                Metric::Enqueued
                | Metric::Completed
                | Metric::Failed
                | Metric::Crashed
                | Metric::Dead
                | Metric::Ready
                | Metric::Leased => *sum + value,
            };
        }
    }
    Metric::ALL.map(|metric| {
        let sum = sums[metric as usize];
        let value = if is_level(metric) { sum.div_ceil(count.max(1)) } else { sum };
        u32::try_from(value).unwrap_or(u32::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(completed: u32, ready: u32) -> Point {
        let mut point = [0; Metric::COUNT];
        point[Metric::Completed as usize] = completed;
        point[Metric::Ready as usize] = ready;
        point
    }

    /// Ten seconds a step, from midnight on.
    fn filled(steps: std::ops::Range<u64>) -> Course {
        let mut course = Course::default();
        steps.for_each(|step| course.push(step, point(1, 5)));
        course
    }

    #[test]
    fn a_day_and_a_month_are_put_together_from_ten_seconds() {
        let course = filled(0..2 * 360);
        let completed = |window, step| course.values(Metric::Completed, window, step);
        assert_eq!(completed(60_000, 10_000).values, [1; 6]);
        assert_eq!(completed(3_600_000, 60_000).values, [6; 60]);
        assert_eq!(completed(2 * 3_600_000, 600_000).values, [60; 12]);
        let month = completed(30 * 86_400_000, 900_000);
        assert_eq!((month.step_ms, month.values.len()), (900_000, 8), "it began two hours ago");
        assert_eq!(month.values, [90; 8]);
        assert_eq!(course.values(Metric::Ready, 30 * 86_400_000, 900_000).values, [5; 8], "a mean");
    }

    #[test]
    fn a_step_is_not_shorter_than_what_is_kept_for_so_long() {
        let course = filled(0..720);
        let day = course.values(Metric::Completed, 86_400_000, 10_000);
        assert_eq!((day.step_ms, day.values.len()), (60_000, 120));
        let odd = course.values(Metric::Completed, 3_600_000, 25_000);
        assert_eq!(odd.step_ms, 30_000, "whole steps only");
    }

    #[test]
    fn what_was_passed_over_has_the_last_levels_and_no_events() {
        let mut course = filled(0..3);
        course.push(6, point(7, 2));
        let values = |metric| course.values(metric, 70_000, 10_000).values;
        assert_eq!(values(Metric::Completed), [1, 1, 1, 0, 0, 0, 7]);
        assert_eq!(values(Metric::Ready), [5, 5, 5, 5, 5, 5, 2]);
    }

    #[test]
    fn what_was_before_a_long_silence_is_in_the_longer_steps() {
        let mut course = filled(0..7);
        course.push(8_640, point(3, 4));
        let day = course.values(Metric::Completed, 86_400_000, 900_000);
        assert_eq!((day.values.len(), day.values[0]), (96, 7));
        let month = course.values(Metric::Completed, 30 * 86_400_000, 900_000);
        assert_eq!((month.values[0], month.values.iter().sum::<u64>()), (7, 7));
        let levels = course.values(Metric::Ready, 30 * 86_400_000, 900_000);
        assert!(levels.values.iter().all(|level| *level == 5), "{levels:?}");
    }

    #[test]
    fn rings_stay_within_their_bounds_however_long_it_takes() {
        let mut course = filled(0..10_000);
        course.push(100_000_000, point(1, 1));
        course.push(100_000_001, point(1, 1));
        for (ring, (_, most)) in course.rings.iter().zip(SPANS) {
            assert!(ring.points.len() <= most);
        }
        assert_eq!(course.values(Metric::Completed, 20_000, 10_000).values, [1, 1]);
    }

    #[test]
    fn longer_steps_that_were_not_saved_come_out_of_the_shorter_ones() {
        let whole = filled(0..4 * 90);
        let mut saved = whole.clone();
        // Half an hour of minutes and all quarters of an hour are lost.
        saved.rings[1].points.truncate(30);
        saved.rings[1].next = 30;
        saved.rings[2] = Ring::default();
        saved.consolidate();
        assert_eq!(saved, whole);
    }

    #[test]
    fn a_clock_that_is_set_back_replaces_what_is_known_of_that_time() {
        let mut course = filled(0..100);
        course.push(50, point(9, 9));
        let values = course.values(Metric::Completed, 30_000, 10_000);
        assert_eq!((values.start_at, values.values.as_slice()), (480_000, &[1, 1, 9][..]));
        (51..60).for_each(|step| course.push(step, point(2, 2)));
        assert_eq!(course.rings[1].next, 10);
    }
}
