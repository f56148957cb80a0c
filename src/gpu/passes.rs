//! The compute passes of an encoder, one as long as nothing has to be copied.

/// Where recordings are replayed: dispatches go into one pass, which ends where something is copied, and another begins.
#[derive(Debug)]
pub struct Passes<'a> {
    encoder: &'a mut wgpu::CommandEncoder,
    label: &'static str,
    pass: Option<wgpu::ComputePass<'static>>,
}

impl<'a> Passes<'a> {
    /// Passes named `label` of `encoder`.
    pub fn new(encoder: &'a mut wgpu::CommandEncoder, label: &'static str) -> Self {
        Self { encoder, label, pass: None }
    }

    /// The pass that is open, or one more.
    pub(super) fn pass(&mut self) -> &mut wgpu::ComputePass<'static> {
        let Self { encoder, label, pass } = self;
        pass.get_or_insert_with(|| {
            let descriptor =
                wgpu::ComputePassDescriptor { label: Some(label), timestamp_writes: None };
            // It ends before the encoder is used otherwise, here or by the caller.
            encoder.begin_compute_pass(&descriptor).forget_lifetime()
        })
    }

    /// The encoder, in which no pass is open.
    pub(super) fn encoder(&mut self) -> &mut wgpu::CommandEncoder {
        self.pass = None;
        self.encoder
    }
}
