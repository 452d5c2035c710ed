"""Tuning: trials that resume, records that stay, a table that ranks, and a test part left alone."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from cascade.config import load_config
from cascade.errors import ChecksumError, ConfigError
from cascade.evaluation import Bootstrap
from cascade.judgments import Judgments
from cascade.measures import NDCG, graded
from cascade.protocols import Run
from cascade.workflows.parallel import side_by_side
from cascade.workflows.space import Sampler, as_toml, overridden, space_of
from cascade.workflows.split import part_of
from cascade.workflows.trial_rows import Held, ideal_of
from cascade.workflows.tune import ranked, read_record, record_path, tune, write_record
from cascade.workflows.tuning_trial import reranked, retrieval_ranks

SETTINGS = """
name = "planted"
[judgments]
format = "svmlight"
[evaluation]
measures = ["nDCG@10", "RR@10"]
resamples = 300
[[stages]]
name = "linear"
ranker = "linear"
window = 1000
linear = { iterations = 8 }
[[stages]]
name = "trees"
ranker = "trees"
window = 30
trees = { rounds = 8, depth = 3, early_stopping = 5 }
[tuning]
root = "tuning"
trials = 5
workers = 1
[tuning.space]
"stages.1.trees.depth" = { low = 1, high = 4 }
"stages.1.trees.learning_rate" = { low = 0.05, high = 0.5, log = true }
"""


def write_rows(path: Path, queries: int = 560) -> None:
    """Write rows whose grade is 1 where two features have one sign: no linear order finds it."""
    rng = np.random.default_rng(0)
    with path.open("w") as stream:
        for query in range(queries):
            for a, b in rng.normal(size=(12, 2)):
                grade = int(a * b > 0.4)
                stream.write(f"{grade} qid:{query} 0:{a:.4f} 1:{b:.4f}\n")


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted")
    (folder / "cascade.toml").write_text(SETTINGS)
    write_rows(folder / "rows.svm")
    return folder


def configured(folder: Path, *overrides: str):
    return next(iter(load_config(folder / "cascade.toml", overrides).values()))


def told(record: dict) -> dict:
    """Return what a record says of its trial, whenever it was made."""
    beside = {"seconds", "cpu_seconds", "finished", "settings", "study", "code"}
    return {key: value for key, value in record.items() if key not in beside}


def test_a_planted_better_setting_is_ranked_first(planted):
    # Stumps cannot tell the sign of a product; trees of depth 3 can.
    space = ['tuning.space={"stages.1.trees.depth"=[1, 4]}', "tuning.trials=4"]
    report = tune(configured(planted, *space, "stages.1.trees.depth=1"), planted / "rows.svm")
    assert report.best.overrides == {"stages.1.trees.depth": 4}
    assert report.best.delta.sign == 1
    means = [trial.measure.mean for trial in report.trials]
    assert means == sorted(means, reverse=True)
    first = next(trial for trial in report.trials if trial.number == 0)
    assert first.overrides == {}
    assert (first.delta.mean, first.delta.low, first.delta.high) == (0, 0, 0)
    # Trials of one setting have one outcome, wherever they stand.
    alike = {
        trial.measure.mean
        for trial in report.trials
        if trial.overrides.get("stages.1.trees.depth") == 4
    }
    assert len(alike) == 1


def test_records_tell_all_and_stay(planted):
    config = configured(planted)
    report = tune(config, planted / "rows.svm")
    assert report.made == 5
    path = record_path(report.folder, 3)
    before, record = path.read_bytes(), read_record(path)
    assert {"measures", "code", "data", "seed", "settings", "seconds", "space"} <= record.keys()
    depth = record["overrides"]["stages.1.trees.depth"]
    assert record["settings"]["stages"][1]["trees"]["depth"] == depth
    measured = record["measures"]["nDCG@10"]
    assert measured["low"] < measured["mean"] < measured["high"]
    assert np.nanmean(np.array(record["per_query"], dtype=float)) == pytest.approx(
        measured["mean"], abs=1e-5
    )
    assert not write_record(path, {**record, "seed": 9})
    assert path.read_bytes() == before
    assert not stat.S_IMODE(path.stat().st_mode) & 0o222
    again = tune(config, planted / "rows.svm")
    assert again.made == 0
    assert again.trials == report.trials
    more = tune(configured(planted, "tuning.trials=6"), planted / "rows.svm")
    assert (more.made, more.study) == (1, report.study)
    other = tune(
        configured(planted, "tuning.trials=1", "training.gain='exponential'"), planted / "rows.svm"
    )
    assert other.study != report.study
    path.chmod(0o644)
    path.write_text(before.decode().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(ChecksumError, match="was changed"):
        tune(config, planted / "rows.svm")
    path.write_bytes(before)


def test_a_killed_run_goes_on_and_its_records_are_those_of_a_whole_one(planted, tmp_path):
    command = [sys.executable, "-m", "cascade", "tune", "--judgments", "rows.svm"]
    command += ["--set", f"tuning.root={tmp_path}/killed"]
    process = subprocess.Popen(command, cwd=planted, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not (made := sorted(tmp_path.glob("killed/planted-*/*.json"))):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    made = sorted(tmp_path.glob("killed/planted-*/*.json"))
    kept = {path: path.read_bytes() for path in made}
    assert len(kept) < 5
    rest = subprocess.run([*command, "--json"], cwd=planted, capture_output=True, check=True)
    report = json.loads(rest.stdout)
    assert report["made"] == 5 - len(kept)
    assert {path: path.read_bytes() for path in kept} == kept
    whole = tune(configured(planted, f"tuning.root={tmp_path}/whole"), planted / "rows.svm")
    assert [t["number"] for t in report["trials"]] == [t.number for t in whole.trials]
    for number in range(5):
        one = read_record(record_path(Path(report["folder"]), number))
        other = read_record(record_path(whole.folder, number))
        assert told(one) == told(other)


def test_the_test_part_takes_no_part(demo_folder, tmp_path):
    quick = [
        f"tuning.root={tmp_path}",
        "tuning.trials=1",
        "tuning.workers=1",
        "stages.0.linear.iterations=10",
        "stages.1.trees.rounds=4",
        "evaluation.resamples=200",
    ]
    config = configured(demo_folder, *quick)
    lines = (demo_folder / "shop" / "judgments.tsv").read_text().splitlines()
    columns = lines[0].split("\t")
    text, grade = columns.index("query"), columns.index("grade")
    spoilt = [lines[0]]
    held = set()
    for line in lines[1:]:
        cells = line.split("\t")
        if part_of(cells[text], config.settings.split) == "test":
            held.add(cells[text])
            cells[grade] = "0" if float(cells[grade]) else "1"
        spoilt.append("\t".join(cells))
    assert held
    other = tmp_path / "spoilt.tsv"
    other.write_text("\n".join(spoilt) + "\n")
    one = tune(config, demo_folder / "shop" / "judgments.tsv")
    two = tune(config, other)
    assert one.study != two.study
    records = [read_record(record_path(report.folder, 0)) for report in (one, two)]
    assert records[0]["per_query"] == records[1]["per_query"]
    assert records[0]["stages"] == records[1]["stages"]
    assert records[0]["measures"]["nDCG@10"]["mean"] > 0.3


def test_trials_do_not_depend_on_how_many_there_are(planted):
    space = space_of(configured(planted))
    few, many = Sampler(space, 3).overrides(4), Sampler(space, 3).overrides(40)
    assert few == many[:4]
    assert many[0] == {}
    depths = [overrides["stages.1.trees.depth"] for overrides in many[1:]]
    assert set(depths) == {1, 2, 3, 4}
    rates = [overrides["stages.1.trees.learning_rate"] for overrides in many[1:]]
    assert 0.05 <= min(rates) < 0.07
    assert 0.4 < max(rates) <= 0.5
    # Half of a logarithmic range lies below its geometric mean.
    assert abs(np.mean(np.array(rates) < np.sqrt(0.05 * 0.5)) - 0.5) < 0.1


def test_a_default_space_suits_the_stages(planted):
    config = configured(planted, "tuning.space={}")
    for overrides in Sampler(space_of(config)).overrides(20):
        overridden(config, overrides)
    assert {"stages.0.linear.l2", "stages.1.trees.depth"} <= set(space_of(config))


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ('{"stages.1.trees.depth"=[0]}', "depth"),
        ('{"stages.7.trees.depth"=[1]}', "none of 2 entries"),
        ('{"retrieval.size"=[10]}', "cannot be tuned"),
        ('{"training.negatives"=[10]}', "cannot be tuned"),
        ('{"stages.1.trees.depth"={low=3}}', "low, high, log"),
        ('{"stages.1.trees.l2"={low=0, high=1, log=true}}', "above 0"),
        ('{"stages.1.trees.depth"=[]}', "a list of values"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(planted, space, said):
    with pytest.raises(ConfigError, match=said):
        space_of(configured(planted, f"tuning.space={space}"))


def test_a_measure_that_is_none_is_refused(planted):
    with pytest.raises(ConfigError, match=r"nope"):
        tune(configured(planted, "evaluation.measures=['nope@10']"), planted / "rows.svm")


def test_ranks_and_measures_are_those_of_the_served_order():
    rng = np.random.default_rng(1)
    offsets = np.array([0, 7, 7, 12, 30])
    scores = [rng.integers(0, 4, 30).astype(np.float32) for _ in range(2)]
    windows, grades = (9, 4), np.where(rng.random(30) < 0.5, rng.integers(0, 3, 30), np.nan)
    ranks = retrieval_ranks(offsets)
    for values, window in zip(scores, windows, strict=True):
        ranks = reranked(ranks, offsets, values, window)
    rankings = []
    for first, last in pairwise(offsets):
        order = list(range(first, last))
        for values, window in zip(scores, windows, strict=True):
            order[:window] = sorted(order[:window], key=lambda row, v=values: -v[row])
        assert [order.index(row) for row in range(first, last)] == list(ranks[first:last])
        rankings.append(tuple(str(row) for row in order))
    ids = tuple("abcd")
    given = {
        query: {
            **{str(i): float(grades[i]) for i in range(a, b) if not np.isnan(grades[i])},
            "unretrieved": 2.0,
        }
        for query, a, b in zip(ids, offsets[:-1], offsets[1:], strict=True)
    }
    held = Held(
        matrix=np.empty((0, 0), dtype=np.float32),
        grades=grades.astype(np.float32),
        offsets=offsets,
        query_ids=ids,
        ideal=ideal_of([list(given[q].values()) for q in ids]),
    )
    measure = NDCG(cutoff=5)
    expected = measure.of(
        graded(Run(ids, tuple(rankings)), Judgments(dict.fromkeys(ids, ""), given))
    )
    np.testing.assert_allclose(measure.of(held.graded(ranks + 1)), expected)


def test_failed_trials_come_last_and_say_why():
    base = {"overrides": {}, "seconds": 1.0, "error": ""}
    records = [
        {**base, "number": 0, "per_query": [0.5, 0.5, None]},
        {**base, "number": 1, "per_query": [], "error": "no rows"},
        {**base, "number": 2, "per_query": [0.7, 0.9, None]},
    ]
    table = ranked(records, Bootstrap(200))
    assert [trial.number for trial in table] == [2, 0, 1]
    assert table[0].delta.mean == pytest.approx(0.3)
    assert table[2].error == "no rows"


def squared(value: int) -> int:
    return value * value


def test_work_side_by_side_gives_what_work_in_turn_gives():
    assert sorted(side_by_side(squared, [1, 2, 3], 2)) == [1, 4, 9]
    assert list(side_by_side(squared, [3, 2], 1)) == [9, 4]


def test_the_best_is_written_as_toml():
    written = as_toml({"stages.1.trees.depth": 4, "stages.0.features": ["a*"]})
    assert written == 'stages.1.trees.depth = 4\nstages.0.features = ["a*"]\n'
