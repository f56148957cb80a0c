//! Kernels that read what others wrote before them see it, wherever they read: on Mesa's software driver from mirrors of the
//! buffers, which a recording copies when something was written since.

use crate::harness::{Device, On, Tests, named};
use crate::tools::play;
use reptile::dispatch::{Argument, call};
use reptile::gpu::{Element, Gpu, Passes, Recording, Source, Work};

pub fn tests(tests: &mut Tests) {
    tests.on(On::EVERY, named!(what_was_written_is_read));
    tests.on(On::EVERY, named!(parts_of_a_set_are_read_by_themselves));
    tests.on(On::EVERY, named!(every_repeat_and_replay_reads_anew));
    tests.on(On::EVERY, named!(large_buffers_are_read_at_every_place));
    tests.on(On::EVERY, named!(what_stays_is_read_without_a_copy_in_the_list));
}

const WRITE: &str = "
@group(0) @binding(0) var<storage, read_write> values: array<vec4<f32>>;

@compute @workgroup_size(1)
fn main() {
    values[AT] += vec4<f32>(1.0);
}";

const READ: &str = "
@group(0) @binding(0) var<storage, read_write> sums: array<vec4<f32>>;

@compute @workgroup_size(1)
fn main() {
    sums[SLOT] += values_at(AT);
}";

/// Adds 1 to vector `at` of `values`.
fn write(gpu: &Gpu, out: &mut Recording, values: &wgpu::Buffer, at: usize) {
    let source = Source::new("write", WRITE).constant("AT", at);
    let arguments = [Argument::Sets("values", values, at)];
    call(gpu, out, &source, &arguments, [1, 1, 1], Work::words(2)).unwrap();
}

/// Adds vector `at` of `values` to vector `slot` of `sums`.
fn read(
    gpu: &Gpu,
    out: &mut Recording,
    (values, at): (&wgpu::Buffer, usize),
    (sums, slot): (&wgpu::Buffer, usize),
) {
    read_as(gpu, out, (Argument::Sets("values", values, at), at), (sums, slot));
}

/// The same of `values` as they are bound.
fn read_as(
    gpu: &Gpu,
    out: &mut Recording,
    (values, at): (Argument<'_>, usize),
    (sums, slot): (&wgpu::Buffer, usize),
) {
    let source = Source::new("read", READ)
        .constant("AT", at)
        .constant("SLOT", slot)
        .reads("values", Element::Vector);
    let arguments = [values, Argument::Buffer("sums", sums)];
    call(gpu, out, &source, &arguments, [1, 1, 1], Work::words(3)).unwrap();
}

/// The first number of each of so many vectors.
fn firsts(gpu: &Gpu, buffer: &wgpu::Buffer, vectors: usize) -> Vec<f32> {
    gpu.read(buffer, 0, 4 * vectors).unwrap().into_iter().step_by(4).collect()
}

fn buffers(gpu: &Gpu) -> [wgpu::Buffer; 2] {
    ["values", "sums"].map(|name| gpu.storage_with(name, &[0.0_f32; 64]).unwrap())
}

fn what_was_written_is_read(Device { gpu, .. }: &Device) {
    let [values, sums] = &buffers(gpu);
    let mut out = Recording::default();
    for slot in 0..3 {
        write(gpu, &mut out, values, 0);
        read(gpu, &mut out, (values, 0), (sums, slot));
        read(gpu, &mut out, (values, 0), (sums, slot));
    }
    play(gpu, &out, 0);
    assert_eq!(firsts(gpu, sums, 4), [2.0, 4.0, 6.0, 0.0]);
}

fn what_stays_is_read_without_a_copy_in_the_list(Device { gpu, .. }: &Device) {
    let [_, sums] = &buffers(gpu);
    let numbers: Vec<f32> = (0..64).map(|n| n as f32).collect();
    let values = gpu.storage_with("values", &numbers).unwrap();
    let mut out = Recording::default();
    for (slot, at) in [(0, 15), (1, 2), (2, 15)] {
        read_as(gpu, &mut out, (Argument::Fixed("values", &values), at), (sums, slot));
    }
    assert_eq!(out.passes(), 1);
    play(gpu, &out, 0);
    assert_eq!(firsts(gpu, sums, 3), [60.0, 8.0, 60.0]);
}

fn parts_of_a_set_are_read_by_themselves(Device { gpu, .. }: &Device) {
    let [values, sums] = &buffers(gpu);
    let mut out = Recording::default();
    write(gpu, &mut out, values, 0);
    read(gpu, &mut out, (values, 0), (sums, 0));
    // Of another layer, and then of the same.
    write(gpu, &mut out, values, 4);
    read(gpu, &mut out, (values, 0), (sums, 1));
    read(gpu, &mut out, (values, 4), (sums, 2));
    write(gpu, &mut out, values, 0);
    read(gpu, &mut out, (values, 4), (sums, 3));
    read(gpu, &mut out, (values, 0), (sums, 4));
    play(gpu, &out, 0);
    assert_eq!(firsts(gpu, sums, 6), [1.0, 1.0, 1.0, 1.0, 2.0, 0.0]);
}

fn every_repeat_and_replay_reads_anew(Device { gpu, .. }: &Device) {
    let [values, sums] = &buffers(gpu);
    let mut step = Recording::default();
    read(gpu, &mut step, (values, 0), (sums, 0));
    write(gpu, &mut step, values, 0);
    let mut out = Recording::default();
    // What was copied before a repeat is no longer what it says behind it.
    read(gpu, &mut out, (values, 0), (sums, 1));
    out.repeat(&step, [0, 0, 0]);
    read(gpu, &mut out, (values, 0), (sums, 2));
    play(gpu, &out, 0);
    assert_eq!(firsts(gpu, sums, 3), [3.0, 0.0, 3.0]);
    // The host writes between replays; submissions may end anywhere.
    gpu.queue().write_buffer(values, 0, bytemuck::bytes_of(&10.0_f32));
    for part in [0..2, 2..out.len()] {
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        out.replay_part(&mut Passes::new(&mut encoder, "test"), 0, part);
        gpu.queue().submit([encoder.finish()]);
    }
    gpu.wait().unwrap();
    assert_eq!(firsts(gpu, sums, 3), [36.0, 10.0, 16.0]);
}

/// A mirror has rows of 1,024 vectors, the last of which may be a part of one.
fn large_buffers_are_read_at_every_place(Device { gpu, .. }: &Device) {
    for vectors in [1, 1023, 1024, 1025, 5000] {
        let numbers: Vec<f32> = (0..4 * vectors).map(|n| n as f32).collect();
        let values = gpu.storage_with("values", &numbers).unwrap();
        let sums = gpu.storage_with("sums", &[0.0_f32; 16]).unwrap();
        let mut out = Recording::default();
        let places = [0, vectors / 2, vectors - 1];
        for (slot, at) in places.into_iter().enumerate() {
            read(gpu, &mut out, (&values, at), (&sums, slot));
        }
        play(gpu, &out, 0);
        assert_eq!(firsts(gpu, &sums, 3), places.map(|at| 4.0 * at as f32), "{vectors} vectors");
    }
}
