"""Judgments: the grade that people gave a document for a query, and the files they come in."""

from cascade.judgments.exports import write_workbench
from cascade.judgments.judged import Judgments
from cascade.judgments.reading import FORMATS, read_judgments
from cascade.judgments.table import JudgmentColumns
from cascade.judgments.trec import read_run, read_texts, write_qrels, write_run, write_texts

__all__ = [
    "FORMATS",
    "JudgmentColumns",
    "Judgments",
    "read_judgments",
    "read_run",
    "read_texts",
    "write_qrels",
    "write_run",
    "write_texts",
    "write_workbench",
]
