//! Every dispatch of a meta-iteration: how long the device takes for it, and how near that is to what the
//! device can do.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::error::Result;
use crate::experiments::bench::markdown::{head, line, number, percent};
use crate::experiments::bench::report::{Bound, Ceilings, DispatchTime, Report};
use crate::experiments::bench::timing::{Effort, median};
use crate::meta::Trainer;

/// Times every dispatch of `trainer`'s meta-iterations, the longest first; none if the device has no
/// timestamps.
///
/// # Errors
/// As [`Trainer::time_dispatches`].
pub fn measure(trainer: &mut Trainer, effort: Effort) -> Result<Option<Vec<DispatchTime>>> {
    let Some(held) = trainer.time_dispatches()? else { return Ok(None) };
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); held.len()];
    for _ in 0..effort.repeats.max(1) {
        let Some(again) = trainer.time_dispatches()? else { return Ok(None) };
        for (all, one) in times.iter_mut().zip(&again) {
            all.push(one.seconds / one.repeats.max(1) as f64);
        }
    }
    let mut dispatches: Vec<DispatchTime> = held
        .into_iter()
        .zip(times)
        .map(|(held, times)| DispatchTime {
            kernel: held.kernel.to_string(),
            layer: held.work.layer,
            variant: held.variant,
            grid: held.grid,
            workgroups: held.grid.iter().map(|size| u64::from(*size)).product(),
            repeats: held.repeats,
            seconds: median(times),
            operations: held.work.operations,
            bytes: held.work.bytes,
        })
        .collect();
    dispatches.sort_by(|a, b| b.total().total_cmp(&a.total()));
    Ok(Some(dispatches))
}

/// Seconds by kernel, the longest first.
pub fn by_kernel(dispatches: &[DispatchTime]) -> Vec<(&str, f64)> {
    let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
    for one in dispatches {
        *sums.entry(&one.kernel).or_default() += one.total();
    }
    let mut sums: Vec<(&str, f64)> = sums.into_iter().collect();
    sums.sort_by(|a, b| b.1.total_cmp(&a.1));
    sums
}

impl Report {
    /// A table of the dispatches of each training, the longest first.
    pub fn dispatches(&self) -> String {
        let mut text = format!(
            "Ceilings: {} GFLOP/s of multiply-adds, {} GB/s of copies. \
             µs: device time of one dispatch; ×: dispatches in a meta-iteration.\n",
            number(self.ceilings.flops / 1e9),
            number(self.ceilings.bytes / 1e9)
        );
        for (row, one) in self.measured() {
            let Some(dispatches) = &one.kernels else { continue };
            let total: f64 = dispatches.iter().map(DispatchTime::total).sum();
            let _ = writeln!(
                text,
                "\n{} ({}), {} task{}: {} ms a meta-iteration; {} ms for its dispatches, timed one by one\n",
                row.workload,
                row.shape,
                row.tasks,
                if row.tasks == 1 { "" } else { "s" },
                number(1e3 * one.time.median),
                number(1e3 * total)
            );
            text.push_str(&head(&[
                "kernel",
                "layer",
                "grid",
                "workgroups",
                "variant",
                "µs",
                "×",
                "of the time",
                "GFLOP/s",
                "GB/s",
                "of the nearer ceiling",
            ]));
            for dispatch in dispatches {
                text.push_str(&dispatch.line(total, &self.ceilings));
            }
        }
        self.write_skipped(&mut text);
        text
    }
}

impl DispatchTime {
    fn line(&self, total: f64, ceilings: &Ceilings) -> String {
        let or_none = |text: &Option<String>| text.clone().unwrap_or("–".into());
        let rate = |work: u64| match work {
            0 => "–".to_string(),
            _ => number(work as f64 / self.seconds / 1e9),
        };
        let (bound, share) = self.share(ceilings);
        let bound = match bound {
            Bound::Arithmetic => "arithmetic",
            Bound::Memory => "memory",
        };
        let [x, y, z] = self.grid;
        line(&[
            self.kernel.clone(),
            or_none(&self.layer),
            format!("{x}×{y}×{z}"),
            self.workgroups.to_string(),
            or_none(&self.variant),
            number(1e6 * self.seconds),
            self.repeats.to_string(),
            percent(self.total() / total),
            rate(self.operations),
            rate(self.bytes),
            format!("{} of {bound}", percent(share)),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearer_ceiling_is_the_one_with_the_larger_share() {
        let ceilings = Ceilings { flops: 1e12, bytes: 1e11, by_processor_time: None };
        let mut one = DispatchTime {
            kernel: "layer_forward".into(),
            layer: Some("dense1".into()),
            variant: None,
            grid: [2, 3, 4],
            workgroups: 24,
            repeats: 5,
            seconds: 1e-3,
            operations: 500_000_000,
            bytes: 10_000_000,
        };
        assert_eq!(one.share(&ceilings), (Bound::Arithmetic, 0.5));
        one.bytes = 80_000_000;
        assert_eq!(one.share(&ceilings), (Bound::Memory, 0.8));
        let text = one.line(1e-2, &ceilings);
        let cells = "| layer_forward | dense1 | 2×3×4 | 24 | – | 1,000 | 5 | 50.0 % | 500 | 80.0 | 80.0 % of memory |";
        assert_eq!(text.trim_end(), cells);
    }

    #[test]
    fn times_are_summed_by_kernel() {
        let one = |kernel: &str, repeats, seconds| DispatchTime {
            kernel: kernel.into(),
            layer: None,
            variant: None,
            grid: [1; 3],
            workgroups: 1,
            repeats,
            seconds,
            operations: 0,
            bytes: 4,
        };
        let all = [one("a", 1, 1.0), one("b", 3, 1.0), one("a", 1, 1.5)];
        assert_eq!(by_kernel(&all), [("b", 3.0), ("a", 2.5)]);
    }
}
