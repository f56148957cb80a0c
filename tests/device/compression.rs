//! Codes of compressed models against plain arithmetic.

use std::ops::Range;

use crate::common::numbers;
use crate::harness::{Device, On, Tests, named};
use reptile::layers::TensorInfo;
use reptile::meta::{CodeLayout, largest_differences};
use reptile::model::{Activation, Loss, Model, ModelSpec, Padding};

pub fn tests(tests: &mut Tests) {
    tests.on(On::EVERY, named!(errors_keep_within_half_a_scale));
    tests.on(On::EVERY, named!(one_bit_goes_as_far_as_the_difference_and_halves_are_halves));
    tests.on(On::EVERY, named!(the_largest_differences_are_found));
}

/// A network with tensors smaller and larger than a group, and of lengths that fill no word.
fn model() -> Model {
    let spec = ModelSpec::builder(&[1, 6, 6])
        .conv2d(5, 3, 1, Padding::SAME)
        .dense(37, Activation::Tanh)
        .dense(3, Activation::Linear)
        .loss(Loss::CrossEntropy);
    Model::new(spec).unwrap()
}

/// A base and three models: near it, far from it, and equal to it.
fn sets(model: &Model) -> (Vec<f32>, Vec<Vec<f32>>) {
    let count = model.parameter_count();
    let base = numbers(1, count);
    let moved = |seed, scale: f32| -> Vec<f32> {
        base.iter().zip(numbers(seed, count)).map(|(b, n)| b + scale * n * n * n).collect()
    };
    let models = vec![moved(2, 0.01), moved(3, 20.0), base.clone()];
    (base, models)
}

fn errors_keep_within_half_a_scale(Device { name, gpu, .. }: &Device) {
    let model = model();
    let (base, sets) = sets(&model);
    for (bits, most) in [(8, 127.0), (4, 7.0)] {
        let layout = CodeLayout::new(&model, bits).unwrap();
        let coded = layout.encode(gpu, &base, &sets).unwrap();
        assert_eq!(coded.codes.len(), 3 * layout.words());
        let decoded = layout.decode(gpu, &base, &coded).unwrap();
        for (index, (set, decoded)) in sets.iter().zip(&decoded).enumerate() {
            let (mut scales, mut place) = (coded.scales[index * layout.groups()..].iter(), 0);
            for tensor in model.tensors() {
                for group in set[tensor.offset..][..tensor.elements()].chunks(128) {
                    let scale = *scales.next().unwrap();
                    let largest = group
                        .iter()
                        .zip(&base[place..])
                        .fold(0.0_f32, |all, (value, base)| all.max((value - base).abs()));
                    assert!((scale * most - largest).abs() <= 1e-5 * largest, "{name}");
                    for (i, value) in group.iter().enumerate() {
                        let error = (decoded[place + i] - value).abs();
                        let bound = 0.5001 * scale + 1e-6 * value.abs();
                        assert!(error <= bound, "{bits} bits, {name}: {error} > {bound}");
                    }
                    place += group.len();
                }
            }
            assert_eq!(place, base.len());
        }
        assert_eq!(decoded[2], base, "what does not differ is exact");
    }
}

/// Rows of 32 numbers or more by themselves, otherwise the tensor.
fn sharing_a_scale(tensor: &TensorInfo) -> Vec<Range<usize>> {
    let row = tensor.elements() / tensor.shape[0];
    let size = if row < 32 { tensor.elements() } else { row };
    (0..tensor.elements())
        .step_by(size)
        .map(|first| tensor.offset + first..tensor.offset + first + size)
        .collect()
}

fn one_bit_goes_as_far_as_the_difference_and_halves_are_halves(Device { name, gpu, .. }: &Device) {
    let model = model();
    let (base, sets) = sets(&model);
    let layout = CodeLayout::new(&model, 1).unwrap();
    let coded = layout.encode(gpu, &base, &sets).unwrap();
    let decoded = layout.decode(gpu, &base, &coded).unwrap();
    for (set, decoded) in sets.iter().zip(&decoded) {
        for own in model.tensors().iter().flat_map(sharing_a_scale) {
            let differences: Vec<f64> =
                own.clone().map(|i| f64::from(set[i]) - f64::from(base[i])).collect();
            let sum = |power| differences.iter().map(|d| d.abs().powi(power)).sum::<f64>();
            let scale = match sum(1) {
                0.0 => 0.0,
                sizes => (sum(2) / sizes).min(1.75 * sizes / differences.len() as f64),
            };
            for (i, difference) in own.zip(differences) {
                let wanted = f64::from(base[i]) + scale.copysign(difference);
                let error = (f64::from(decoded[i]) - wanted).abs();
                // Where there is hardly a difference, its sign is a matter of rounding.
                let tiny = difference.abs() < 1e-6;
                assert!(tiny || error < 1e-5 * (1.0 + wanted.abs()), "{name}: {error}");
            }
        }
    }
    let layout = CodeLayout::new(&model, 16).unwrap();
    let decoded = layout.decode(gpu, &base, &layout.encode(gpu, &base, &sets).unwrap()).unwrap();
    for (set, decoded) in sets.iter().zip(&decoded) {
        for ((value, got), base) in set.iter().zip(decoded).zip(&base) {
            let bound = (value - base).abs() / 1024.0 + 1e-6 * (1.0 + value.abs());
            assert!((value - got).abs() <= bound, "{name}: {got} for {value}");
        }
    }
}

fn the_largest_differences_are_found(Device { name, gpu, .. }: &Device) {
    let model = model();
    let (base, sets) = sets(&model);
    for kept in [1, 7, 300, base.len()] {
        let found = largest_differences(gpu, &base, &sets, kept).unwrap();
        for (set, found) in sets.iter().zip(found) {
            let mut sizes: Vec<f32> =
                set.iter().zip(&base).map(|(value, base)| (value - base).abs()).collect();
            sizes.sort_by(|a, b| b.total_cmp(a));
            assert_eq!(found, sizes[kept - 1], "{kept} of {}, {name}", sizes.len());
        }
    }
}
