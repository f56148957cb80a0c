//! Long noisy series made fit to draw.

/// Points along the width of a picture: more cannot be told apart.
const COLUMNS: usize = 800;

/// Length of the median's window for a series of `length` points, odd; 1 leaves short ones alone.
pub(super) fn window(length: usize) -> usize {
    if length < 120 { 1 } else { (length / 40) | 1 }
}

/// The median of the y of the `window` points around each point, fewer at the ends; for an even
/// number of points, the upper of the two in the middle. O(n · window).
pub(super) fn moving_median(points: &[(f64, f64)], window: usize) -> Vec<(f64, f64)> {
    let half = window / 2;
    let median = |index: usize| {
        let end = (index + half + 1).min(points.len());
        let mut around: Vec<f64> =
            points[index.saturating_sub(half)..end].iter().map(|point| point.1).collect();
        let middle = around.len() / 2;
        *around.select_nth_unstable_by(middle, f64::total_cmp).1
    };
    points.iter().enumerate().map(|(index, point)| (point.0, median(index))).collect()
}

/// The lowest and the highest point of each column, so that no spike is lost.
pub(super) fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= 2 * COLUMNS {
        return points.to_vec();
    }
    let extremes = |column: &[(f64, f64)]| {
        let order = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let (low, high) = (column.iter().min_by(order), column.iter().max_by(order));
        let mut both: Vec<(f64, f64)> = low.into_iter().chain(high).copied().collect();
        both.sort_by(|a, b| a.0.total_cmp(&b.0));
        both
    };
    points.chunks(points.len().div_ceil(COLUMNS)).flat_map(extremes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(n: usize) -> Vec<(f64, f64)> {
        (0..n).map(|i| (i as f64, i as f64)).collect()
    }

    #[test]
    fn the_median_ignores_spikes_and_keeps_a_ramp() {
        let mut points = ramp(50);
        let smooth = moving_median(&points, 7);
        assert_eq!(smooth[3..47], points[3..47], "a straight line is its own median");
        assert_eq!((smooth[0], smooth[49]), ((0.0, 2.0), (49.0, 48.0)), "four points at the ends");
        points[20].1 = 1e6;
        let smooth = moving_median(&points, 7);
        assert_eq!(smooth[20], (20.0, 21.0));
        assert!(smooth.iter().all(|point| point.1 < 50.0));
    }

    #[test]
    fn short_series_are_left_as_they_are() {
        assert_eq!(window(119), 1);
        assert_eq!(moving_median(&[(0.0, 3.0), (1.0, -1.0)], 1), [(0.0, 3.0), (1.0, -1.0)]);
        assert!(moving_median(&[], 1).is_empty());
    }

    #[test]
    fn thinning_keeps_the_extremes() {
        let mut points = ramp(100_000);
        points[70_001].1 = -5.0;
        let thinned = thin(&points);
        assert!(thinned.len() <= 2 * COLUMNS);
        assert!(thinned.contains(&(70_001.0, -5.0)));
        assert!(thinned.windows(2).all(|pair| pair[0].0 <= pair[1].0));
    }
}
