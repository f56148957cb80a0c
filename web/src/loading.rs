//! What a page may load: checkpoints, adapted and compressed models.

use std::cell::RefCell;

use reptile::gpu::Gpu;
use reptile::store::adapted::{self, Adapted};
use reptile::store::compressed::{self, Compressed, Payload};
use reptile::store::metadata;
use reptile::{Error, Result};

use crate::frames::borrowed;
use crate::network::{Network, Opened};

/// What errors call the file.
const NAME: &str = "the file";

/// What was in a file.
pub enum Loaded {
    /// A checkpoint.
    Network(Box<Network>),
    /// Adapted models, `[T][P]`.
    Models(Vec<Vec<f32>>),
}

/// Reads what `bytes` are, for `network`.
///
/// # Errors
/// [`Error::Checkpoint`], [`Error::Data`] that say what is wrong with the file, or which network it is of.
pub async fn load(gpu: &Gpu, network: &RefCell<Network>, bytes: Vec<u8>) -> Result<Loaded> {
    let wrong = |message: String| Error::data(NAME, message);
    let fields = metadata(&bytes).map_err(wrong)?;
    let format = fields.get("format").map(String::as_str);
    if !matches!(format, Some(adapted::FORMAT | compressed::FORMAT)) {
        // It says what is missing, too.
        let own = Box::pin(Network::open(gpu, bytes)).await?;
        if own.config.model != borrowed(network).await.config.model {
            let message = "is of another network; `Reptile.create({ checkpoint })` opens it";
            return Err(Error::checkpoint("file", message));
        }
        return Ok(Loaded::Network(Box::new(own)));
    }
    let network = borrowed(network).await;
    let model = network.trainer.model();
    let base = match (&network.opened, fields.get("base")) {
        (Some(Opened { sha256, parameters }), Some(base)) if sha256 == base => parameters,
        _ => return Err(wrong("was adapted from another checkpoint; load that first".into())),
    };
    if format == Some(adapted::FORMAT) {
        return Ok(Loaded::Models(Adapted::from_bytes(model, &bytes).map_err(wrong)?.parameters));
    }
    let own = Compressed::from_bytes(model, &bytes).map_err(wrong)?;
    if let Payload::Replay { .. } = own.payload {
        return Err(wrong(
            "holds how models are made again, and no numbers; decompress it first".into(),
        ));
    }
    own.parameters_async(gpu, model, base).await.map(Loaded::Models)
}

/// The model with this number.
///
/// # Errors
/// [`Error::Config`] if there is none.
pub fn model(models: &[Vec<f32>], number: usize) -> Result<Vec<f32>> {
    models.get(number).cloned().ok_or_else(|| {
        let message = format!("there is no model {number}; {} were loaded", models.len());
        Error::config("model", message)
    })
}
