//! Jobs that train a network for images on random ones.

use std::sync::Arc;

use reptile::gpu::Gpu;
use reptile::meta::{DeviceImages, InnerOptimizer, InnerSpec, Origin, OuterSpec, TrainerSetup};
use reptile::model::{Activation, Loss, Model, ModelSpec, Padding};
use reptile::tasks::{Batches, Bits, ImageClass, Split, SplitClass, SplitPart};

use super::{random_images, with};

/// Twelve classes of twelve random images of `side` × `side` bits.
fn images(gpu: &Gpu, side: usize) -> Arc<DeviceImages> {
    let class = |n: u32| ImageClass { name: n.to_string(), first_image: 12 * n, images: 12 };
    let images = random_images(1, side, 1, Bits::One, (0..12).map(class).collect());
    let classes: Vec<SplitClass> = (0..12).map(|class| SplitClass { class, rotation: 0 }).collect();
    let split = Split { images, train: classes.clone(), val: Vec::new(), test: classes };
    Arc::new(DeviceImages::new(gpu, &split).unwrap())
}

/// Blocks of convolution, batch-norm and ReLU, and a dense head.
pub fn network(side: usize, filters: usize, blocks: usize) -> Model {
    let spec = ModelSpec::builder(&[1, side, side]).loss(Loss::CrossEntropy);
    let spec = (0..blocks).fold(spec, |spec, _| {
        spec.conv2d(filters, 3, 2, Padding::SAME).batch_norm(Activation::Relu)
    });
    Model::new(spec.dense(5, Activation::Linear)).unwrap()
}

/// The paper's settings for Omniglot, 5-way.
pub fn job(gpu: &Gpu, model: Model, meta_batch: usize) -> TrainerSetup {
    let side = model.spec().input[1];
    let mut setup = TrainerSetup::new(
        &model,
        Origin::Episodes { images: images(gpu, side), part: SplitPart::Train, queries: 0 },
        with(InnerSpec::sgd(1e-3, 10, 5), |it| it.optimizer = InnerOptimizer::Adam),
        OuterSpec::interpolation(0.5, meta_batch),
        Batches::new([5, 10], 10, 5),
    );
    setup.seed = 3;
    setup.iterations = 100;
    setup
}
