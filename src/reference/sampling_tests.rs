use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::rng::Phase;

const SINE: SineFamily = SineFamily {
    amplitude: [0.1, 5.0],
    phase: [0.0, std::f32::consts::TAU],
    range: [-5.0, 5.0],
    points: 50,
};

fn stream(seed: u64) -> Stream {
    Stream::new(seed, Phase::Train, 3, 1)
}

fn sorted(values: &[u32]) -> Vec<u32> {
    let mut values = values.to_vec();
    values.sort_unstable();
    values
}

/// The rule of `order` as a kernel applies it: every element counts its rank and writes its place.
fn order_by_counting(
    stream: &Stream,
    pool: Pool,
    positions: usize,
    take: usize,
) -> Vec<Option<u32>> {
    let len = pool.len();
    let mut order = vec![None; positions];
    for pass in 0..positions.div_ceil(take) {
        let key = |i: usize| (stream.words(Part::Order, (pass * len + i) as u32)[0], i);
        for i in 0..len {
            let rank = (0..len).filter(|&j| key(j) < key(i)).count();
            let position = pass * take + rank;
            if rank < take && position < positions {
                order[position] = Some(pool.example(i));
            }
        }
    }
    order
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn order_follows_its_rule(
        seed: u64, way in 1..6usize, kept in 1..8usize, tail in 0..4usize,
        steps in 1..7usize, batch in 1..20usize, replacement: bool,
    ) {
        let pool = Pool { way, group: kept + tail, tail };
        let batch = if replacement { batch.min(pool.len()) } else { batch };
        let order = order(&stream(seed), pool, steps, batch, replacement);
        let ordinary = if tail > 0 { steps - 1 } else { steps } * batch;
        prop_assert_eq!(order.len(), ordinary + way * tail);

        let take = if replacement { batch } else { pool.len() };
        let counted = order_by_counting(&stream(seed), pool, ordinary, take);
        let (first, last) = order.split_at(ordinary);
        prop_assert_eq!(first.iter().copied().map(Some).collect::<Vec<_>>(), counted);

        let is_tail = |e: &u32| *e as usize % (kept + tail) >= kept;
        prop_assert!(!first.iter().any(is_tail), "a held-out example came early");
        prop_assert!(last.iter().all(is_tail) && last.is_sorted());
        prop_assert_eq!(last.iter().collect::<HashSet<_>>().len(), way * tail);
        for draw in first.chunks(take) {
            prop_assert_eq!(draw.iter().collect::<HashSet<_>>().len(), draw.len(), "a repeat");
        }
    }
}

#[test]
fn each_pass_is_a_new_permutation_and_batches_straddle_passes() {
    let pool = Pool { way: 1, group: 7, tail: 0 };
    let order = order(&stream(5), pool, 7, 3, false);
    let passes: Vec<&[u32]> = order.chunks(7).collect();
    for pass in &passes {
        assert_eq!(sorted(pass), [0, 1, 2, 3, 4, 5, 6]);
    }
    assert_ne!(passes[0], passes[1]);
    assert_ne!(passes[1], passes[2]);
    assert_eq!(&order[6..9], [passes[0][6], passes[1][0], passes[1][1]]);
}

#[test]
fn every_example_is_equally_often_first_with_replacement() {
    let pool = Pool { way: 2, group: 5, tail: 0 };
    let mut counts = [0; 10];
    for seed in 0..200 {
        for batch in order(&stream(seed), pool, 20, 4, true).chunks(4) {
            counts[batch[0] as usize] += 1;
        }
    }
    assert_uniform(&counts);
}

/// χ² against equal counts. With 9 degrees of freedom 40 is exceeded once in 10⁵ seeds.
fn assert_uniform(counts: &[u32; 10]) {
    let expected = f64::from(counts.iter().sum::<u32>()) / 10.0;
    let chi2: f64 = counts.iter().map(|&c| (f64::from(c) - expected).powi(2) / expected).sum();
    assert!(chi2 < 40.0, "χ² = {chi2}: {counts:?}");
}

#[test]
fn episodes_are_distinct_complete_and_follow_the_counts() {
    let images_in = |class| 6 + class % 3;
    for seed in 0..50 {
        let episode = episode(&stream(seed), 20, &images_in, 5, 4, 2);
        assert_eq!(episode.classes.iter().collect::<HashSet<_>>().len(), 5);
        assert!(episode.classes.iter().all(|class| *class < 20));
        assert_eq!((episode.support.len(), episode.query.len()), (20, 10));
        let all = episode.support.iter().chain(&episode.query);
        assert_eq!(all.clone().collect::<HashSet<_>>().len(), 30, "an image came twice");
        assert!(all.clone().all(|&(class, image)| image < images_in(class)));
        for (n, class) in episode.classes.iter().enumerate() {
            assert!(episode.support[n * 4..][..4].iter().all(|(c, _)| c == class));
            assert!(episode.query[n * 2..][..2].iter().all(|(c, _)| c == class));
        }
    }
}

#[test]
fn classes_and_images_are_uniform_at_every_place() {
    let mut classes = [[0; 10]; 3];
    let mut images = [[0; 10]; 3];
    let mut between_classes = [0; 10];
    for seed in 0..4000 {
        let episode = episode(&stream(seed), 10, &|_| 10, 3, 2, 1);
        for n in 0..3 {
            classes[n][episode.classes[n] as usize] += 1;
        }
        let last = [episode.support[0].1, episode.support[5].1, episode.query[1].1];
        for (counts, image) in images.iter_mut().zip(last) {
            counts[image as usize] += 1;
        }
        let first_shots = (episode.support[0].1, episode.support[2].1);
        between_classes[((10 + first_shots.0 - first_shots.1) % 10) as usize] += 1;
    }
    for counts in classes.iter().chain(&images).chain([&between_classes]) {
        assert_uniform(counts);
    }
}

#[test]
fn the_support_of_a_training_wave_is_its_whole_grid() {
    let task = sine_task(&stream(1), &SINE, SINE.points);
    assert_eq!((task.query_x[0], task.query_x[49]), (-5.0, 5.0));
    assert_ne!(task.support_x, task.query_x);
    let mut grid = task.support_x.clone();
    grid.sort_by(f64::total_cmp);
    assert_eq!(grid, task.query_x);
    assert!(grid.is_sorted_by(|a, b| a < b));
    for (x, y) in task.support_x.iter().zip(&task.support_y) {
        let point = task.query_x.iter().position(|query| query == x).unwrap();
        assert_eq!(*y, task.query_y[point]);
        let expected = f64::from(task.amplitude) * (x + f64::from(task.phase)).sin();
        assert_eq!(*y, expected);
    }
}

#[test]
fn the_shots_of_a_wave_are_the_start_of_its_shuffled_grid() {
    let (few, all) = (sine_task(&stream(2), &SINE, 10), sine_task(&stream(2), &SINE, 50));
    assert_eq!(few.support_x, all.support_x[..10]);
    assert_eq!(few.support_y, all.support_y[..10]);
    assert_eq!(few.query_y, all.query_y);
}

#[test]
fn waves_fill_their_ranges() {
    let mut amplitudes = [0; 10];
    let mut phases = [0; 10];
    for seed in 0..4000 {
        let task = sine_task(&stream(seed), &SINE, 1);
        amplitudes[((task.amplitude - 0.1) / 4.9 * 10.0) as usize] += 1;
        phases[(task.phase / std::f32::consts::TAU * 10.0) as usize] += 1;
    }
    assert_uniform(&amplitudes);
    assert_uniform(&phases);
}
