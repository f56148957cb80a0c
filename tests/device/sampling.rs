//! Tasks drawn on the device against the reference: integers bit for bit.

use crate::common::{assert_close, network, with};
use crate::harness::{Device, On, Tests, named};
use crate::sines::family;
use crate::tools::{play, room, run_steps, without_padding};
use reptile::gpu::{Gpu, Recording};
use reptile::kernels::{
    Axis, GlyphRows, RunStep, sample_episode, sample_glyphs, sample_order, sample_sine,
};
use reptile::model::{Activation, Layout, Loss, Model, ModelSpec, Padding};
use reptile::reference::glyphs::{GlyphFamily, glyph};
use reptile::reference::sampling::{Pool, episode, order, sine_task};
use reptile::rng::{Phase, Stream};
use reptile::tasks::{Batches, EpisodeSpec, GlyphsSpec, SineSpec, Variation};
use reptile::wgpu::Buffer;

pub fn tests(tests: &mut Tests) {
    tests.on(On::EVERY, named!(minibatch_orders_are_bit_equal));
    tests.on(On::EVERY, named!(sine_tasks_agree_with_the_reference));
    tests.on(On::EVERY, named!(episodes_are_bit_equal));
    tests.on(On::EVERY, named!(glyphs_agree_with_the_reference));
}

const AXIS: Axis = Axis { runs: 2, per_run: 3 };
const ITERATION: u32 = 41;
const FIRST_TASK: u32 = 5;

fn seed(run: usize) -> u64 {
    (7 << 40) + run as u64
}

/// The stream of task `task` of the batch.
fn stream(task: usize, phase: Phase) -> Stream {
    let number = FIRST_TASK + (task % AXIS.per_run) as u32;
    Stream::new(seed(task / AXIS.per_run), phase, ITERATION, number)
}

fn step(run: usize, phase: Phase) -> RunStep {
    RunStep { iteration: ITERATION, first_task: FIRST_TASK, ..RunStep::new(seed(run), phase, AXIS) }
}

fn cases() -> Vec<Batches> {
    let plain = Batches::new([1, 50], 10, 7);
    vec![
        with(plain.clone(), |it| it.replacement = true),
        with(plain.clone(), |it| {
            it.way = 5;
            it.group = 3;
            it.steps = 2;
            it.batch = 40;
        }),
        with(plain.clone(), |it| {
            it.way = 5;
            it.group = 15;
            it.tail = 5;
            it.steps = 4;
        }),
        with(plain.clone(), |it| {
            it.way = 2;
            it.group = 100;
            it.tail = 1;
            it.steps = 1;
        }),
        with(Batches::new([3, 70], 7, 3), |it| it.replacement = true),
        // Several passes in one workgroup.
        with(plain.clone(), |it| {
            it.way = 2;
            it.group = 2;
            it.steps = 9;
            it.batch = 3;
        }),
        with(plain.clone(), |it| (it.group, it.steps) = (10, 9)),
        with(plain.clone(), |it| {
            it.way = 5;
            it.group = 3;
            it.tail = 1;
            it.steps = 9;
        }),
        plain,
    ]
}

fn wanted_order(stream: &Stream, batches: &Batches) -> Vec<u32> {
    let pool = Pool { way: batches.way, group: batches.group, tail: batches.tail };
    order(stream, pool, batches.steps, batches.batch, batches.replacement)
}

fn minibatch_orders_are_bit_equal(Device { name, gpu, .. }: &Device) {
    for batches in cases() {
        let length = batches.order_len();
        let buffer = room(gpu, AXIS.tasks() * length);
        let (runs, offset) = run_steps(gpu, AXIS, |run| step(run, Phase::Adapt));
        let mut out = Recording::default();
        sample_order(gpu, &mut out, AXIS, &batches, &runs, &buffer, false).unwrap();
        play(gpu, &out, offset);
        let got: Vec<u32> = gpu.read(&buffer, 0, AXIS.tasks() * length).unwrap();
        for (task, got) in got.chunks(length).enumerate() {
            let wanted = wanted_order(&stream(task, Phase::Adapt), &batches);
            assert_eq!(got, wanted, "task {task}, {batches:?}, {name}");
        }
    }
}

fn sine_tasks_agree_with_the_reference(Device { name, gpu, .. }: &Device) {
    let spec = SineSpec::default();
    let family = family(&spec);
    let batches = |group, tail| with(Batches::new([1, group], 8, 6), |it| it.tail = tail);
    for (batches, queries) in
        [(batches(50, 0), false), (batches(50, 9), false), (batches(10, 0), true)]
    {
        let (tasks, support, points) = (AXIS.tasks(), batches.support(), spec.points);
        let rows = [support, support, points, points].map(|count| room(gpu, 4 * tasks * count));
        let order = room(gpu, tasks * batches.order_len());
        let (runs, offset) = run_steps(gpu, AXIS, |run| step(run, Phase::Train));
        let mut out = Recording::default();
        let [sx, sy, qx, qy] = &rows;
        sample_sine(
            gpu,
            &mut out,
            &spec,
            AXIS,
            &batches,
            queries,
            &runs,
            &order,
            [sx, sy],
            [qx, qy],
        )
        .unwrap();
        play(gpu, &out, offset);
        let column = |buffer: &Buffer, count: usize| -> Vec<f32> {
            let rows: Vec<f32> = gpu.read(buffer, 0, 4 * tasks * count).unwrap();
            rows.chunks(4).map(|row| row[0]).collect()
        };
        let [x, y] = [column(sx, support), column(sy, support)];
        let [query_x, query_y] = [column(qx, points), column(qy, points)];
        let orders: Vec<u32> = gpu.read(&order, 0, tasks * batches.order_len()).unwrap();
        for task in 0..tasks {
            let stream = stream(task, Phase::Train);
            let wanted = sine_task(&stream, &family, support);
            let what = format!("task {task}, {support} support points, {name}");
            let own = task * support..(task + 1) * support;
            assert_close(&what, &x[own.clone()], &wanted.support_x, 1e-6);
            assert_close(&what, &y[own], &wanted.support_y, 1e-5);
            let order = &orders[task * batches.order_len()..][..batches.order_len()];
            assert_eq!(order, wanted_order(&stream, &batches), "{what}");
            if queries {
                let own = task * points..(task + 1) * points;
                assert_close(&what, &query_x[own.clone()], &wanted.query_x, 1e-6);
                assert_close(&what, &query_y[own], &wanted.query_y, 1e-5);
            }
        }
    }
}

fn episodes_are_bit_equal(Device { name, gpu, .. }: &Device) {
    // Classes of different sizes, the smallest just large enough, some of them turned.
    let sizes: Vec<u32> = (0..23).map(|class| 6 + class % 5).collect();
    let mut first = 0;
    let table: Vec<[u32; 2]> = sizes
        .iter()
        .enumerate()
        .map(|(class, size)| {
            first += size;
            [(first - size) | (class as u32 % 4) << 30, *size]
        })
        .collect();
    for (way, shots, queries) in [(5, 4, 2), (20, 1, 1), (23, 5, 1), (2, 1, 0)] {
        let batches = Batches::new([way, shots], 3, 2);
        let tasks = AXIS.tasks();
        let classes = gpu.storage_with("classes", &table).unwrap();
        let order = room(gpu, tasks * batches.order_len());
        let support = room(gpu, tasks * way * shots);
        let query = room(gpu, tasks * way * queries);
        let (runs, offset) = run_steps(gpu, AXIS, |run| step(run, Phase::Test));
        let mut out = Recording::default();
        sample_episode(
            gpu,
            &mut out,
            AXIS,
            &batches,
            queries,
            &runs,
            (&classes, table.len()),
            &order,
            &support,
            &query,
        )
        .unwrap();
        play(gpu, &out, offset);
        let got: Vec<u32> = gpu.read(&support, 0, tasks * way * shots).unwrap();
        let got_query: Vec<u32> = match queries {
            0 => Vec::new(),
            _ => gpu.read(&query, 0, tasks * way * queries).unwrap(),
        };
        let orders: Vec<u32> = gpu.read(&order, 0, tasks * batches.order_len()).unwrap();
        for task in 0..tasks {
            let stream = stream(task, Phase::Test);
            let images_in = |class: u32| sizes[class as usize];
            let wanted = episode(
                &stream,
                table.len() as u32,
                &images_in,
                way as u32,
                shots as u32,
                queries as u32,
            );
            let numbers = |picks: &[(u32, u32)]| -> Vec<u32> {
                picks.iter().map(|(class, image)| table[*class as usize][0] + image).collect()
            };
            let what = format!("task {task}, {way}-way {shots}-shot, {name}");
            let own = |count: usize| task * way * count..(task + 1) * way * count;
            assert_eq!(got[own(shots)], numbers(&wanted.support), "{what}");
            assert_eq!(got_query[own(queries)], numbers(&wanted.query), "{what}");
            let order = &orders[task * batches.order_len()..][..batches.order_len()];
            assert_eq!(order, wanted_order(&stream, &batches), "{what}");
        }
    }
}

/// Glyphs of a batch as the device draws them.
struct Glyphs {
    /// Support and query images: `[T, way, examples, size, size]`.
    images: [Vec<f32>; 2],
    labels: [Vec<u32>; 2],
    order: Vec<u32>,
}

/// Draws tasks over glyphs for `model`, with so many queries a class.
fn draw_glyphs(
    gpu: &Gpu,
    model: &Model,
    spec: &GlyphsSpec,
    batches: &Batches,
    queries: usize,
) -> Glyphs {
    let tasks = AXIS.tasks();
    let counts = [tasks * batches.support(), tasks * batches.way * queries];
    let [x, qx] = counts.map(|count| room(gpu, count * model.inputs_padded()));
    let [y, qy] = counts.map(|count| room(gpu, count));
    let order = room(gpu, tasks * batches.order_len());
    let (runs, offset) = run_steps(gpu, AXIS, |run| step(run, Phase::Test));
    let mut out = Recording::default();
    let (rows, sets) = (GlyphRows::of(model), [[&x, &y], [&qx, &qy]]);
    sample_glyphs(
        gpu, &mut out, spec, rows, AXIS, batches, queries, &runs, &order, sets[0], sets[1],
    )
    .unwrap();
    play(gpu, &out, offset);
    let images = |buffer: &Buffer, count: usize| -> Vec<f32> {
        if count == 0 {
            return Vec::new();
        }
        let floats: Vec<f32> = gpu.read(buffer, 0, count * model.inputs_padded()).unwrap();
        match model.input_layout() {
            Layout::Row => without_padding(&floats, model.inputs()),
            Layout::Image => without_padding(&floats, 1),
        }
    };
    let labels = |buffer: &Buffer, count: usize| -> Vec<u32> {
        if count == 0 { Vec::new() } else { gpu.read(buffer, 0, count).unwrap() }
    };
    Glyphs {
        images: [images(&x, counts[0]), images(&qx, counts[1])],
        labels: [labels(&y, counts[0]), labels(&qy, counts[1])],
        order: gpu.read(&order, 0, tasks * batches.order_len()).unwrap(),
    }
}

fn glyphs_agree_with_the_reference(Device { name, gpu, .. }: &Device) {
    let Variation { jitter, rotation, scale, shear, shift, width, .. } = Variation::default();
    let family = GlyphFamily { jitter, rotation, scale, shear, shift, width };
    let dense = |size: usize| network(size * size, &[(8, Activation::Relu)], 3, Loss::CrossEntropy);
    let convolution = |size: usize| {
        let spec = ModelSpec::builder(&[1, size, size]).loss(Loss::CrossEntropy);
        let spec = spec.conv2d(4, 3, 2, Padding::SAME).dense(3, Activation::Linear);
        Model::new(spec).unwrap()
    };
    let plain = Batches::new([3, 2], 4, 2);
    let tail = with(plain.clone(), |it| (it.group, it.tail, it.steps) = (5, 2, 3));
    // A pool of more elements than a block has lanes.
    let long = with(plain.clone(), |it| {
        it.way = 2;
        it.group = 40;
        it.steps = 5;
        it.batch = 80;
    });
    let cases = [
        (28, dense(28), plain.clone(), 2),
        (9, dense(9), tail, 0),
        (12, convolution(12), plain, 1),
        (8, dense(8), long, 1),
    ];
    for (size, model, batches, queries) in &cases {
        let (way, group) = (batches.way, batches.group);
        let episodes = with(EpisodeSpec::new([way, group], group), |it| it.queries = *queries);
        let spec = with(GlyphsSpec::new(episodes), |it| it.size = *size);
        let got = draw_glyphs(gpu, model, &spec, batches, *queries);
        for task in 0..AXIS.tasks() {
            let stream = stream(task, Phase::Test);
            let what = format!("task {task}, {size} pixels, {batches:?}, {name}");
            for (set, count, first) in [(0, group, 0), (1, *queries, group)] {
                for example in 0..way * count {
                    let class = example / count;
                    let own = task * way * count + example;
                    let number = [class as u32, (first + example % count) as u32];
                    let wanted = glyph(&stream, &family, number, *size);
                    let image = &got.images[set][own * size * size..][..size * size];
                    // Of black on white; an edge is a quarter of a pixel.
                    assert_close(&format!("{number:?} of {what}"), image, &wanted, 2e-4);
                    assert_eq!(got.labels[set][own], class as u32, "{what}");
                }
            }
            let order = &got.order[task * batches.order_len()..][..batches.order_len()];
            assert_eq!(order, wanted_order(&stream, batches), "{what}");
        }
        let again = draw_glyphs(gpu, model, &spec, batches, *queries);
        assert_eq!(got.images, again.images, "the same bytes each time, {name}");
    }
}
