//! One axis of a chart: its range, its ticks and their labels.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

/// A range with ticks, in drawing units: the value itself, or its base-10 logarithm.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    range: Range<f64>,
    ticks: Vec<f64>,
    logarithmic: bool,
}

impl Axis {
    /// About `count` round ticks over `extent`, widened by `margin` of its length on both sides.
    pub fn linear(extent: Range<f64>, margin: f64, count: usize) -> Self {
        let range = widened(extent, margin);
        let ticks = round_values(&range, count);
        Self { range, ticks, logarithmic: false }
    }

    /// Ticks at powers of ten over `extent`, which holds base-10 logarithms; at 1, 2 and 5 times
    /// those if there are few, and at round values where even these are.
    pub fn log(extent: Range<f64>, margin: f64) -> Self {
        let range = widened(extent, margin);
        let inside = |tick: &f64| range.contains(tick);
        let powers = round_values(&range, 8).into_iter().filter(|t| t.fract() == 0.0);
        let mut ticks: Vec<f64> = powers.collect();
        if ticks.len() < 4 {
            let decades = range.start.floor() as i32..=range.end.ceil() as i32;
            let steps =
                decades.flat_map(|d| [1.0, 2.0, 5.0].map(|s: f64| s.log10() + f64::from(d)));
            ticks = steps.filter(inside).collect();
        }
        if ticks.len() < 3 {
            let values = 10f64.powf(range.start)..10f64.powf(range.end);
            ticks = round_values(&values, 6).into_iter().map(f64::log10).filter(inside).collect();
        }
        Self { range, ticks, logarithmic: true }
    }
}

impl Axis {
    /// Where a value (in drawing units) lies between two ends.
    pub fn place(&self, value: f64, ends: (i32, i32)) -> i32 {
        self.map(&value, ends)
    }

    /// The ticks between two ends, with their labels.
    pub fn places(&self, ends: (i32, i32)) -> Vec<(i32, String)> {
        let tick = |tick: &f64| (self.map(tick, ends), self.format_ext(tick));
        self.ticks.iter().map(tick).collect()
    }

    /// How a value is written.
    pub fn label(value: f64) -> String {
        number(value)
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (first, last): (i32, i32)) -> i32 {
        let Range { start, end } = self.range;
        first + (f64::from(last - first) * (value - start) / (end - start)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, tick: &f64) -> String {
        number(if self.logarithmic { 10f64.powf(*tick) } else { *tick })
    }
}

/// `extent` with `margin` of its length added on both sides, and never empty.
fn widened(extent: Range<f64>, margin: f64) -> Range<f64> {
    let Range { start, end } = extent;
    let length = end - start;
    let add = if length > 0.0 { margin * length } else { start.abs().max(1.0) * 0.1 };
    start - add..end + add
}

/// The multiples of 1, 2 or 5 times a power of ten inside `range`, at most `count` + 1 of them.
fn round_values(range: &Range<f64>, count: usize) -> Vec<f64> {
    let rough = (range.end - range.start) / count as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|s| s * power).into_iter().find(|s| *s >= rough * 0.999);
    let step = step.unwrap_or(rough);
    let (first, last) = ((range.start / step).ceil(), (range.end / step).floor());
    (0..=count).map(|i| first + i as f64).take_while(|i| *i <= last).map(|i| i * step).collect()
}

/// Five significant digits at most, thousands grouped, powers of ten for what is very small or large.
fn number(value: f64) -> String {
    let rounded = format!("{value:.4e}");
    let value: f64 = rounded.parse().unwrap_or(value);
    if value != 0.0 && !(1e-4..1e9).contains(&value.abs()) {
        return format!("{value:e}");
    }
    let plain = value.to_string();
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let mut text = String::new();
    let digits = whole.trim_start_matches('-').len();
    for (index, digit) in whole.chars().enumerate() {
        let left = whole.len() - index;
        if left < digits && left % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if fraction.is_empty() { text } else { format!("{text}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<String> {
        axis.ticks.iter().map(|tick| axis.format_ext(tick)).collect()
    }

    #[test]
    fn linear_ticks_are_round_and_inside() {
        assert_eq!(labels(&Axis::linear(-5.0..5.0, 0.0, 6)), ["-4", "-2", "0", "2", "4"]);
        assert_eq!(
            labels(&Axis::linear(0.0..30_000.0, 0.0, 4)),
            ["0", "10,000", "20,000", "30,000"]
        );
        assert_eq!(labels(&Axis::linear(0.2..0.41, 0.0, 6)), ["0.2", "0.25", "0.3", "0.35", "0.4"]);
    }

    #[test]
    fn log_ticks_follow_the_number_of_decades() {
        let many = Axis::log(-8.0..0.0, 0.0);
        assert_eq!(labels(&many)[..2], ["1e-8", "1e-7"]);
        assert_eq!(labels(&many)[7..], ["0.1", "1"]);
        let two = Axis::log(-1.0..1.0, 0.01);
        assert_eq!(labels(&two), ["0.1", "0.2", "0.5", "1", "2", "5", "10"]);
        let narrow = Axis::log(0.31..0.62, 0.0);
        assert_eq!(labels(&narrow), ["2.5", "3", "3.5", "4"]);
    }

    #[test]
    fn a_single_value_still_has_a_range() {
        for axis in [Axis::linear(3.0..3.0, 0.05, 6), Axis::log(-2.0..-2.0, 0.05)] {
            assert!(axis.range.end > axis.range.start);
            assert!(!axis.ticks.is_empty());
        }
    }

    #[test]
    fn numbers_are_short() {
        let cases = [
            (0.0, "0"),
            (0.300_000_000_000_000_04, "0.3"),
            (-1234.5, "-1,234.5"),
            (-250.0, "-250"),
            (1_000_000.0, "1,000,000"),
            (2e-5, "2e-5"),
            (3e12, "3e12"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }
}
