//! What float32 costs a network by itself: the reference computes in float64 throughout, or rounds what lies between
//! two layers to float32, as every implementation in float32 must at least.

use std::cell::Cell;

thread_local! {
    static ROUNDS: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` with activations, gradients and parameters rounded to float32 wherever the reference hands them from
/// one layer, or one step, to the next. How far its results lie from those without is how much of float32's rounding
/// the network passes on: a device cannot be expected to come closer.
pub fn stored_in_float32<T>(work: impl FnOnce() -> T) -> T {
    let before = ROUNDS.replace(true);
    let result = work();
    ROUNDS.set(before);
    result
}

/// Rounds `values` within [`stored_in_float32`].
pub(super) fn store(values: &mut [f64]) {
    if ROUNDS.get() {
        values.iter_mut().for_each(|value| *value = f64::from(*value as f32));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_within_it_alone() {
        let third = || {
            let mut values = [1.0 / 3.0];
            store(&mut values);
            values[0]
        };
        assert_eq!(stored_in_float32(third), f64::from(1.0_f32 / 3.0));
        assert_eq!(third(), 1.0 / 3.0);
    }
}
