"""The ranker of every model: a feature set, and an ONNX graph over its matrix."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnxruntime as ort

from cascade.candidates import Candidates, Float32
from cascade.errors import RankerError
from cascade.protocols import FeatureSet, Scores

CHUNK_ROWS = 65_536
INPUT, SCORE = "features", "score"


class OnnxRanker:
    """Score candidates by an ONNX graph.

    The graph has one input `features` float32[n, f] and an output `score` float32[n]; each
    further output float32[n] is a named head.

    Args:
        model: The serialised graph.
        features: The features of the graph's input, in its order.

    Raises:
        RankerError: If the bytes are no graph of this form or the number of features differs.
    """

    def __init__(self, model: bytes, features: FeatureSet) -> None:
        self.features = features
        self._session = _session(model)
        inputs = {i.name: i.shape for i in self._session.get_inputs()}
        self._outputs = [o.name for o in self._session.get_outputs()]
        if set(inputs) != {INPUT} or SCORE not in self._outputs:
            raise RankerError(
                f"the graph has inputs {sorted(inputs)} and outputs {self._outputs}; "
                f"accepted is the input {INPUT!r} and an output {SCORE!r}"
            )
        width = inputs[INPUT][1]
        if isinstance(width, int) and width != len(features.names):
            raise RankerError(
                f"the graph takes {width} features; its feature set has {len(features.names)}"
            )

    def prepared(self, candidates: Candidates) -> Candidates:
        """Return the candidates with the columns of features of listing scope."""
        return self.features.prepared(candidates)

    def score(self, candidates: Candidates) -> Scores:
        """Return a score and heads for each row.

        Raises:
            RankerError: If the runtime fails.
        """
        return self.score_matrix(self.features.matrix(candidates))

    def score_matrix(self, matrix: Float32) -> Scores:
        """Return scores for rows whose features are known, float32[n, f].

        Raises:
            RankerError: If the runtime fails.
        """
        parts = [
            _run(self._session, self._outputs, matrix[start : start + CHUNK_ROWS])
            for start in range(0, len(matrix), CHUNK_ROWS)
        ]
        if not parts:
            nothing = np.empty(0, dtype=np.float32)
            return Scores(nothing, {name: nothing for name in self._outputs if name != SCORE})
        columns = {name: np.concatenate([part[name] for part in parts]) for name in self._outputs}
        return Scores(columns.pop(SCORE), columns)


def _session(model: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    # One thread: with two, a tree ensemble's sums differ in the last bits from run to run.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise RankerError(f"ONNX Runtime cannot load the model: {_first_line(error)}") from None


def _run(session: ort.InferenceSession, outputs: list[str], rows: Float32) -> Mapping[str, Float32]:
    run: Callable[..., Any] = session.run
    try:
        found = run(outputs, {INPUT: np.ascontiguousarray(rows)})
    except Exception as error:
        raise RankerError(f"ONNX Runtime failed: {_first_line(error)}") from None
    return {name: values.reshape(-1) for name, values in zip(outputs, found, strict=True)}


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else repr(error)
