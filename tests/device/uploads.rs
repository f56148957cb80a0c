//! What a caller uploads is checked: nothing reaches a kernel that it does not take.

use crate::common::network;
use crate::harness::{Device, On, Tests, named};
use reptile::Result;
use reptile::kernels::Axis;
use reptile::meta::{Origin, TaskBuffers};
use reptile::model::{Activation, Loss, Model};
use reptile::tasks::{Batches, SineSpec};

pub fn tests(tests: &mut Tests) {
    tests.on(On::FIRST, named!(what_does_not_fit_is_refused_and_named));
}

/// Two tasks of four support and two query examples, the order of which the caller gives.
fn buffers(gpu: &reptile::gpu::Gpu, model: &Model, origin: Origin) -> TaskBuffers {
    let batches = Batches::new([1, 4], 2, 3);
    TaskBuffers::new(gpu, model, origin, Axis { runs: 1, per_run: 2 }, batches, true).unwrap()
}

fn what_does_not_fit_is_refused_and_named(Device { gpu, .. }: &Device) {
    let model = |loss| network(3, &[(4, Activation::Tanh)], 2, loss);
    let [regression, classes] = [Loss::Mse, Loss::CrossEntropy].map(model);
    let rows = |ordered| Origin::Rows { queries: 2, ordered };
    let of = buffers(gpu, &regression, rows(true));
    let labelled = buffers(gpu, &classes, rows(false));
    let drawn = buffers(gpu, &network(1, &[], 1, Loss::Mse), Origin::Sine(SineSpec::default()));
    // All, and fewer tasks.
    for tasks in [1, 2] {
        of.upload_support_x(gpu, &regression, &vec![0.5; tasks * 12]).unwrap();
        of.upload_support_values(gpu, &regression, &vec![0.5; tasks * 8]).unwrap();
        of.upload_query_x(gpu, &regression, &vec![0.5; tasks * 6]).unwrap();
        of.upload_query_values(gpu, &regression, &vec![0.5; tasks * 4]).unwrap();
        of.upload_order(gpu, &vec![3; tasks * of.batches().order_len()]).unwrap();
        labelled.upload_support_labels(gpu, &vec![1; tasks * 4]).unwrap();
        labelled.upload_query_labels(gpu, &vec![1; tasks * 2]).unwrap();
    }
    let refused = |result: Result<()>, parts: &[&str]| {
        let text = result.unwrap_err().to_string();
        for part in parts {
            assert!(text.contains(part), "{part}: {text}");
        }
    };
    let mut order = vec![0; of.batches().order_len()];
    order[1] = 1_000_000_000;
    refused(
        of.upload_order(gpu, &order),
        &["minibatch order", "value 1 is 1000000000", "4 support"],
    );
    refused(of.upload_order(gpu, &[0; 5]), &["minibatch order", "5 values", "2 tasks"]);
    refused(labelled.upload_order(gpu, &[0; 6]), &["minibatch order", "ordered"]);
    refused(drawn.upload_order(gpu, &[0; 6]), &["minibatch order", "drawn"]);
    let x = |count| vec![0.0; count];
    refused(of.upload_support_x(gpu, &regression, &x(11)), &["support inputs", "has 12"]);
    refused(of.upload_support_x(gpu, &regression, &x(36)), &["support inputs", "2 tasks"]);
    refused(
        of.upload_query_x(gpu, &regression, &[f32::INFINITY; 6]),
        &["query inputs", "value 0 is inf"],
    );
    let mut y = x(8);
    y[7] = f32::NAN;
    refused(of.upload_support_values(gpu, &regression, &y), &["support targets", "value 7 is NaN"]);
    refused(of.upload_support_labels(gpu, &[0; 4]), &["support labels", "mean squared error"]);
    refused(labelled.upload_query_values(gpu, &classes, &x(4)), &["query targets", "labels"]);
    refused(labelled.upload_support_labels(gpu, &[0, 1, 2, 1]), &["value 2 is 2", "2 classes"]);
    refused(of.upload_support_numbers(gpu, &[0; 4]), &["image numbers", "listed"]);
}
