"""Runs every NAME.onnx of a folder on NAME.x (raw float32, any N) and writes NAME.y, likewise."""

import pathlib
import sys

import numpy as np
import onnxruntime as ort

for path in sorted(pathlib.Path(sys.argv[1]).glob("*.onnx")):
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    shape = session.get_inputs()[0].shape[1:]
    x = np.fromfile(path.with_suffix(".x"), dtype="<f4").reshape(-1, *shape)
    (y,) = session.run(["output"], {"input": x})
    y.astype("<f4").tofile(path.with_suffix(".y"))
