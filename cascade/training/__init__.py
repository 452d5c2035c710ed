"""Turn judged listings into rankers: datasets, fits, ONNX export and its parity gate."""
