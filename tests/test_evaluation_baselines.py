"""The random baseline."""

import subprocess
import sys

import numpy as np
import pytest

from cascade.evaluation import random_run
from cascade.protocols import Run

IDS = tuple(f"d{i}" for i in range(20))
RUN = Run(("shoes", "boots", "none"), (IDS, IDS, ()))


def test_the_documents_stay_and_their_order_goes():
    shuffled = random_run(RUN)
    assert shuffled.query_ids == RUN.query_ids
    assert [sorted(ranking) for ranking in shuffled.rankings] == [sorted(IDS), sorted(IDS), []]
    assert IDS not in shuffled.rankings
    assert shuffled.rankings[0] != shuffled.rankings[1]


def test_the_seed_decides():
    assert random_run(RUN, 1) == random_run(RUN, 1)
    assert random_run(RUN, 1) != random_run(RUN, 2)


def test_a_query_is_shuffled_alike_without_the_others():
    alone = random_run(Run(("boots",), (IDS,)))
    assert alone.rankings[0] == random_run(RUN).rankings[1]


def test_another_process_shuffles_alike():
    code = (
        "from cascade.evaluation import random_run\n"
        "from cascade.protocols import Run\n"
        "ids = tuple(f'd{i}' for i in range(20))\n"
        "print(*random_run(Run(('boots',), (ids,))).rankings[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert tuple(done.stdout.split()) == random_run(RUN).rankings[1]


def test_a_query_id_of_any_characters_is_shuffled():
    assert sorted(random_run(Run(("\ud800 é",), (IDS,))).rankings[0]) == sorted(IDS)


def test_every_document_is_equally_often_first():
    ids = ("a", "b", "c", "d")
    queries = tuple(f"q{i}" for i in range(4000))
    first = [ranking[0] for ranking in random_run(Run(queries, (ids,) * 4000)).rankings]
    _, counts = np.unique(first, return_counts=True)
    # Four standard errors of 4,000 draws at one in four.
    assert counts.tolist() == pytest.approx([1000] * 4, abs=110)
