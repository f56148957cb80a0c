//! Learning curves from a run's metrics.

use crate::plot::Series;
use crate::store::metrics::Record;

/// Training losses and the validation loss, for each seed.
pub fn losses(records: &[Record]) -> Vec<Series> {
    let mut curves = Vec::new();
    for record in records {
        match record {
            Record::Train(line) => {
                let before = format!("seed {}: before the inner loop", line.seed);
                add(&mut curves, before, line.iteration, line.loss_first);
                let last = format!("seed {}: last inner step", line.seed);
                add(&mut curves, last, line.iteration, line.loss_last);
            }
            Record::Validation(line) => {
                let label = format!("seed {}: validation loss", line.seed);
                add(&mut curves, label, line.iteration, line.loss);
            }
            Record::Inner(_) => {}
        }
    }
    curves
}

/// The validation accuracy for each seed; nothing where there are no validations or no classes.
pub fn accuracies(records: &[Record]) -> Vec<Series> {
    let mut curves = Vec::new();
    for record in records {
        if let Record::Validation(line) = record
            && let Some(accuracy) = line.accuracy.filter(|accuracy| accuracy.is_finite())
        {
            add(&mut curves, format!("seed {}", line.seed), line.iteration, accuracy);
        }
    }
    curves
}

/// The mean learned rate of each layer and seed; nothing without a strategy.
pub fn rates(records: &[Record]) -> Vec<Series> {
    let mut curves = Vec::new();
    for record in records {
        if let Record::Train(line) = record {
            for (layer, rate) in &line.rates {
                add(&mut curves, format!("seed {}: {layer}", line.seed), line.iteration, *rate);
            }
        }
    }
    curves
}

fn add(curves: &mut Vec<Series>, label: String, iteration: u64, value: f64) {
    let point = (iteration as f64, value);
    match curves.iter_mut().find(|series| series.label == label) {
        Some(series) => series.points.push(point),
        None => curves.push(Series { label, points: vec![point] }),
    }
}
