// The settings of the run, at a binding behind those of a loss. Needs lib/run_step.wgsl.

@group(0) @binding(5) var<storage, read> runs: array<RunStep>;
