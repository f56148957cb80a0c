//! Batches from the tasks' rows and images, in all kinds of batches, on every device.

use crate::common::{assert_close, integers, network, numbers, random_images};
use crate::harness::{Device, On, Tests, named};
use crate::tools::{play, room};
use reptile::dispatch::{Argument, call};
use reptile::gpu::{Element, Gpu, Recording, Source, Work};
use reptile::kernels::{
    BatchRows, ImageShape, InnerStep, InnerSteps, gather_bytes, gather_images, gather_rows,
};
use reptile::model::{Activation, Loss, Model, ModelSpec, Padding};
use reptile::tasks::{Bits, ImageClass, ImageSet};

pub fn tests(tests: &mut Tests) {
    tests.on(On::EVERY, named!(rows_are_gathered));
    tests.on(On::EVERY, named!(images_are_gathered_turned_and_scaled));
    tests.on(On::EVERY, named!(minibatches_of_bytes_are_those_of_images));
    tests.on(On::EVERY, named!(bytes_become_the_same_numbers_everywhere));
}

const TASKS: usize = 3;
const SUPPORT: usize = 6;
const QUERIES: usize = 4;
const ORDER: usize = 20;
const ORDER_START: usize = 10;

/// The first task of the batches: those before it are another chunk's.
const FIRST_TASK: usize = 1;

/// Minibatches in the task's order, all queries, and the support set with each query.
fn kinds() -> [BatchRows; 3] {
    let tasks = TASKS - FIRST_TASK;
    let minibatches = BatchRows {
        count: tasks,
        per_task: 1,
        rows: 5,
        support_rows: 5,
        order_len: Some(ORDER),
        examples: [SUPPORT, QUERIES],
        per_class: [3, 2],
    };
    let queries = BatchRows { rows: QUERIES, support_rows: 0, order_len: None, ..minibatches };
    let joint = BatchRows {
        count: tasks * QUERIES,
        per_task: QUERIES,
        rows: SUPPORT + 1,
        support_rows: SUPPORT,
        order_len: None,
        ..minibatches
    };
    [minibatches, queries, joint]
}

/// Where row `row` of batch `batch` comes from: whether it is a query, its task and its number there.
fn source(rows: BatchRows, order: &[u32], batch: usize, row: usize) -> (bool, usize, usize) {
    let (task, member) = (FIRST_TASK + batch / rows.per_task, batch % rows.per_task);
    if row >= rows.support_rows {
        let number = if rows.per_task > 1 { member } else { row };
        return (true, task, number);
    }
    let number = rows.order_len.map_or(row, |_| order[task * ORDER + ORDER_START + row] as usize);
    (false, task, number)
}

fn inner(gpu: &Gpu) -> InnerSteps {
    let step = InnerStep {
        index: 2,
        order_start: ORDER_START as u32,
        last: 0,
        first_task: FIRST_TASK as u32,
    };
    InnerSteps::new(gpu, &[step]).unwrap()
}

fn rows_are_gathered(Device { name, gpu, .. }: &Device) {
    let model = network(5, &[], 3, Loss::CrossEntropy);
    let order = integers(1, TASKS * ORDER, SUPPORT);
    let x = [SUPPORT, QUERIES].map(|count| numbers(count as u64, TASKS * count * 5));
    let y = [SUPPORT, QUERIES].map(|count| integers(count as u64, TASKS * count, 3));
    let inputs =
        [&x[0], &x[1]].map(|rows| gpu.storage_with("rows", &model.pack_inputs(rows)).unwrap());
    let labels = [&y[0], &y[1]].map(|labels| gpu.storage_with("labels", labels).unwrap());
    let order_buffer = gpu.storage_with("order", &order).unwrap();
    let inner = inner(gpu);
    for rows in kinds() {
        let total = rows.count * rows.rows;
        let (to_x, to_y) = (room(gpu, total * 8), room(gpu, total));
        let mut out = Recording::default();
        let (from, labels) = ([&inputs[0], &labels[0]], [&inputs[1], &labels[1]]);
        let to = [&to_x, &to_y];
        gather_rows(gpu, &mut out, &model, rows, (&inner, 0), &order_buffer, from, labels, to)
            .unwrap();
        play(gpu, &out, 0);
        let got = model.unpack_inputs(&gpu.read(&to_x, 0, total * 8).unwrap());
        let got_labels: Vec<u32> = gpu.read(&to_y, 0, total).unwrap();
        for row in 0..total {
            let (query, task, number) = source(rows, &order, row / rows.rows, row % rows.rows);
            let place = task * [SUPPORT, QUERIES][usize::from(query)] + number;
            let what = format!("row {row} of {rows:?}, {name}");
            let wanted = &x[usize::from(query)][place * 5..][..5];
            assert_eq!(&got[row * 5..][..5], wanted, "{what}");
            assert_eq!(got_labels[row], y[usize::from(query)][place], "{what}");
        }
    }
}

/// A network that takes images as rows of numbers, one that takes them as images, and one that takes
/// them as rows of bytes.
fn takers(channels: usize, side: usize) -> [Model; 3] {
    let spec = ModelSpec::builder(&[channels, side, side]).loss(Loss::CrossEntropy);
    let image = spec.clone().conv2d(1, 1, 1, Padding::SAME);
    let deep = spec.clone().dense(3, Activation::Tanh);
    let [rows, image, deep] =
        [spec, image, deep].map(|spec| Model::new(spec.dense(2, Activation::Linear)).unwrap());
    [rows, image, deep.reading_bytes()]
}

fn images_are_gathered_turned_and_scaled(Device { name, gpu, .. }: &Device) {
    for (bits, channels) in [(Bits::One, 1), (Bits::Eight, 3)] {
        let (side, count) = (7, 11);
        let all = ImageClass { name: "all".into(), first_image: 0, images: count };
        let set = random_images(1, side, channels, bits, vec![all]);
        for model in takers(channels, side) {
            for rows in kinds() {
                check_images(gpu, &set, &model, rows, &format!("{bits:?}, {rows:?}, {name}"));
            }
        }
    }
}

fn check_images(gpu: &Gpu, set: &ImageSet, model: &Model, rows: BatchRows, what: &str) {
    let images = [SUPPORT, QUERIES].map(|count| integers(2, TASKS * count, set.len()));
    let turns = [SUPPORT, QUERIES].map(|count| integers(3, TASKS * count, 4));
    let order = integers(4, TASKS * ORDER, SUPPORT);
    let stored = [0, 1].map(|list| -> Vec<u32> {
        images[list].iter().zip(&turns[list]).map(|(image, turn)| image | turn << 30).collect()
    });
    let [support, queries, words, order_buffer] = [&stored[0], &stored[1], &set.words, &order]
        .map(|values| gpu.storage_with("test", values).unwrap());
    let (pixels, total) = (set.pixels(), rows.count * rows.rows);
    let (x, labels) = (room(gpu, total * model.inputs_padded()), room(gpu, total));
    let shape = ImageShape {
        channels: set.channels,
        height: set.height,
        width: set.width,
        bits: set.bits.count(),
        words_per_image: set.words_per_image(),
    };
    let (inner, mut out) = (inner(gpu), Recording::default());
    let sources = [&support, &queries, &words];
    let to = [&x, &labels];
    gather_images(gpu, &mut out, model, shape, rows, (&inner, 0), &order_buffer, sources, to)
        .unwrap();
    play(gpu, &out, 0);
    let packed: Vec<f32> = if model.layers()[0].bytes {
        let words: Vec<u32> = gpu.read(&x, 0, total * model.input_words()).unwrap();
        let bytes = words.into_iter().flat_map(u32::to_le_bytes);
        bytes.map(|byte| f32::from(byte) / 255.0).collect()
    } else {
        gpu.read(&x, 0, total * model.inputs_padded()).unwrap()
    };
    let got = model.unpack_inputs(&packed);
    assert_eq!(model.pack_inputs(&got), packed, "the padding is zero: {what}");
    let got_labels: Vec<u32> = gpu.read(&labels, 0, total).unwrap();
    for row in 0..total {
        let (query, task, number) = source(rows, &order, row / rows.rows, row % rows.rows);
        let list = usize::from(query);
        let pick = task * [SUPPORT, QUERIES][list] + number;
        let (image, turn) = (images[list][pick] as usize, turns[list][pick] as u8);
        let wanted: Vec<f64> = (0..pixels).map(|i| f64::from(set.pixel(image, turn, i))).collect();
        let what = format!("row {row} of {what}");
        assert_close(&what, &got[row * pixels..][..pixels], &wanted, 1e-6);
        assert_eq!(got_labels[row] as usize, number / [3, 2][list], "{what}");
    }
}

/// Minibatches from support sets that were made bytes once, and those from the images, in units of one word and of four.
fn minibatches_of_bytes_are_those_of_images(Device { name, gpu, .. }: &Device) {
    for (bits, channels, side) in [(Bits::Eight, 3, 7), (Bits::One, 1, 8)] {
        let all = ImageClass { name: "all".into(), first_image: 0, images: 11 };
        let set = random_images(1, side, channels, bits, vec![all]);
        let model = &takers(channels, side)[2];
        let words = model.input_words();
        let images = integers(2, TASKS * SUPPORT, set.len());
        let order = integers(4, TASKS * ORDER, SUPPORT);
        let [support, words_of_set, order] =
            [&images, &set.words, &order].map(|values| gpu.storage_with("test", values).unwrap());
        let shape = ImageShape {
            channels,
            height: side,
            width: side,
            bits: bits.count(),
            words_per_image: set.words_per_image(),
        };
        let [minibatches, ..] = kinds();
        let whole = BatchRows {
            count: TASKS,
            rows: SUPPORT,
            support_rows: SUPPORT,
            order_len: None,
            ..minibatches
        };
        let first = InnerStep { index: 0, order_start: 0, last: 0, first_task: 0 };
        let (own, first) = (inner(gpu), InnerSteps::new(gpu, &[first]).unwrap());
        let sources = [&support, &support, &words_of_set];
        let made = |rows: usize| [room(gpu, rows * words), room(gpu, rows)];
        let [bytes, labels] = made(TASKS * SUPPORT);
        let [one, other] = [(); 2].map(|()| made(minibatches.count * minibatches.rows));
        let mut out = Recording::default();
        let to = [&bytes, &labels];
        gather_images(gpu, &mut out, model, shape, whole, (&first, 0), &order, sources, to)
            .unwrap();
        let from = [&order, &bytes];
        gather_bytes(gpu, &mut out, model, minibatches, (&own, 0), from, one.each_ref()).unwrap();
        let to = other.each_ref();
        gather_images(gpu, &mut out, model, shape, minibatches, (&own, 0), &order, sources, to)
            .unwrap();
        play(gpu, &out, 0);
        for (one, other) in one.iter().zip(&other) {
            let [one, other] = [one, other].map(|it| {
                let count = it.size() as usize / 4;
                gpu.read::<u32>(it, 0, count).unwrap()
            });
            assert_eq!(one, other, "{bits:?}, {words} words, {name}");
            assert!(one.iter().any(|word| *word > 0), "{name}");
        }
    }
}

const BYTES: &str = "
@group(0) @binding(0) var<storage, read_write> numbers: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
    numbers[lane] = input_vector(lane);
}";

fn bytes_become_the_same_numbers_everywhere(Device { name, gpu, .. }: &Device) {
    let bytes: Vec<u8> = (0..=255).collect();
    let rows = gpu.storage_with("rows", &bytes).unwrap();
    let numbers = gpu.storage_with("numbers", &[0.0_f32; 256]).unwrap();
    let source = Source::new("bytes", BYTES)
        .library(include_str!("../../shaders/lib/inputs_bytes.wgsl"))
        .reads("rows", Element::Word);
    let mut out = Recording::default();
    let arguments = [Argument::Buffer("rows", &rows), Argument::Buffer("numbers", &numbers)];
    call(gpu, &mut out, &source, &arguments, [1, 1, 1], Work::words(2 * 64)).unwrap();
    play(gpu, &out, 0);
    let numbers: Vec<f32> = gpu.read(&numbers, 0, 256).unwrap();
    let wanted: Vec<f32> = bytes.iter().map(|byte| f32::from(*byte) * (1.0 / 255.0)).collect();
    assert_eq!(numbers, wanted, "{name}");
    assert_eq!([numbers[0], numbers[255]], [0.0, 1.0]);
    for (byte, number) in bytes.iter().zip(numbers) {
        let error = f64::from(number) * 255.0 - f64::from(*byte);
        assert!(error.abs() <= f64::from(f32::EPSILON) * f64::from(*byte), "{byte}: {number}");
    }
}
