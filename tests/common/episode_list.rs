//! Lists of tasks as the sampler draws them.

use std::path::Path;

use reptile::reference::sampling::episode;
use reptile::rng::{Phase, Stream};
use reptile::tasks::{Split, SplitPart};
use serde_json::{Value, json};

/// The seed of the tasks.
pub const SEED: u64 = 11;

/// Sizes of tasks: way, shots, queries.
pub type Sizes = [usize; 3];

/// The tasks that the sampler draws from the test classes of `split`, as a list.
pub fn sampled(split: &Split, tasks: usize, sizes: Sizes) -> Value {
    let [way, shots, queries] = sizes.map(|size| size as u32);
    let classes = split.classes(SplitPart::Test);
    let class = |class: u32| &split.images.classes[classes[class as usize].class];
    let list = (0..tasks).map(|task| {
        let stream = Stream::new(SEED, Phase::Test, 0, task as u32);
        let images = |number| class(number).images;
        let drawn = episode(&stream, classes.len() as u32, &images, way, shots, queries);
        let files = |examples: &[(u32, u32)], label: usize| -> Vec<&str> {
            let count = examples.len() / sizes[0];
            let own = &examples[label * count..(label + 1) * count];
            let file = |(number, image): &(u32, u32)| {
                split.images.files[(class(*number).first_image + image) as usize].as_str()
            };
            own.iter().map(file).collect()
        };
        let entry = |(label, number): (usize, &u32)| {
            json!({
                "class": class(*number).name,
                "support": files(&drawn.support, label),
                "query": files(&drawn.query, label),
            })
        };
        drawn.classes.iter().enumerate().map(entry).collect::<Vec<_>>()
    });
    list.collect()
}

/// Writes `list` into a file of `folder`.
pub fn written(folder: &Path, name: &str, list: &Value) -> String {
    let path = folder.join(name);
    std::fs::write(&path, serde_json::to_string_pretty(list).unwrap()).unwrap();
    path.to_str().unwrap().into()
}
