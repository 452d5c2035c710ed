"""Rankers: each scores candidates and never reorders them."""

from cascade.rankers.onnx import OnnxRanker

__all__ = ["OnnxRanker"]
