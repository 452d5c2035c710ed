"""The search of a policy: what its checkpoints belong to, one process at a time, kill and go on."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from cascade.business.learned import CARD
from cascade.errors import InputError, RefusedError
from cascade.workflows.alone import LOCK, alone
from cascade.workflows.evolve import evolve
from cascade.workflows.policy_search import search_policy
from tests.policy_shop import NAME, settled, write_policy_shop


@pytest.fixture(scope="module")
def cups(tmp_path_factory):
    return write_policy_shop(tmp_path_factory.mktemp("cups"))


def test_a_search_is_another_where_its_rows_are(cups, tmp_path):
    path, judgments = cups
    root = tmp_path / "evolution"
    at = f'evolution.root="{root}"'
    short = ("evolution.generations=1", "evolution.points=2")
    shutil.copytree(path.parent / "models", tmp_path / "models")

    def folders(*overrides):
        # So short a search may find nothing better, and is refused when it has ended.
        with suppress(RefusedError):
            evolve(settled(path, at, *short, *overrides, models=tmp_path / "models"), judgments)
        return {p.name for p in (root / "plain-search").iterdir()}

    first = folders()
    assert len(first) == 1
    # What is done with what was found is no part of the search, and a further seed is one more.
    other = ('evolution.acceptance={"nDCG@10" = ">= 0.5 of base"}', "evolution.moved=0.9")
    # So is how long it goes on, and on how many threads.
    other += ("evolution.generations=2", "evolution.threads=2")
    assert folders(*other, "evolution.points=3", "evolution.seeds=[0, 1, 2]") == first
    assert {p.name for p in (root / "plain-search" / next(iter(first))).iterdir()} == {
        LOCK,
        "seed-0",
        "seed-1",
        "seed-2",
    }
    second = folders("evolution.sigma=0.31")
    assert len(second) == 2
    # An objective that is no input, but a column of the fitness.
    plain = 'business.policy={inputs=["score", "rank_percentile"]}'
    third = folders(plain)
    scaled = (
        'business.objectives=[{name="revenue", kind="revenue", price="stock"}, '
        '{name="stocked", kind="stock", field="stock"}]'
    )
    assert (len(third), len(folders(plain, scaled))) == (3, 4)


def test_a_search_is_prolonged_to_what_one_long_search_finds(cups, tmp_path):
    path, judgments = cups

    def found(folder, generations, threads):
        given = (f'evolution.root="{tmp_path / folder}"', f"evolution.threads={threads}")
        long = (f"evolution.generations={generations}", "evolution.sigma=2.0")
        return search_policy(settled(path, *given, *long), judgments)

    def weights(searched):
        return [one.weights.tobytes() for one in searched.spread.found]

    whole = found("whole", 7, 1)
    short = found("more", 3, 2)
    more = found("more", 7, 1)
    assert weights(more) == weights(whole) != weights(short)
    assert repr(more.spread) == repr(whole.spread)
    # 2 seeds of 7 generations of 16 children, each of every training request.
    requests = whole.market.parts["train"].requests
    assert more.orders == whole.orders == 2 * 7 * 16 * requests
    with pytest.raises(InputError, match="holds 7 generations, and 3 are asked for"):
        found("more", 3, 1)


def test_one_process_at_a_time_searches_in_a_folder(cups, tmp_path):
    path, judgments = cups
    shutil.copytree(path.parent / "models", tmp_path / "models")
    given = (
        "evolution.sigma=2.0",
        "evolution.acceptance={}",
        f'evolution.root="{tmp_path}/evolution"',
    )
    config = settled(path, *given, models=tmp_path / "models")
    assert evolve(config, judgments).model == f"{NAME}/1"
    (folder,) = (tmp_path / "evolution" / "plain-search").iterdir()
    before = {p: p.read_bytes() for p in folder.glob("seed-*/*")}
    with (
        alone(folder),
        pytest.raises(InputError, match=rf"{folder} \(last known process: {os.getpid()}\)"),
    ):
        evolve(config, judgments)
    assert before == {p: p.read_bytes() for p in folder.glob("seed-*/*")}
    assert not (tmp_path / "models" / NAME / "2").exists()
    assert evolve(config, judgments).model == f"{NAME}/2"


@pytest.mark.full
def test_a_killed_search_goes_on_and_ends_with_the_same_weights(cups, tmp_path):
    path, judgments = cups
    long = [
        "evolution.generations=25",
        "evolution.requests=30",
        "evolution.sigma=1.0",
        'evolution.optimiser="cma"',
        'evolution.fitness={raised="mean(price)@10"}',
        'evolution.allow=["no-relevance"]',
        "evolution.acceptance={}",
    ]
    models = {name: tmp_path / name for name in ("killed", "whole")}
    for folder in models.values():
        shutil.copytree(path.parent / "models", folder)
    root = tmp_path / "evolution"
    given = [*long, f'evolution.root="{root}"', f'models.root="{models["killed"]}"']
    command = [sys.executable, "-m", "cascade", "business", "evolve", "--config", str(path)]
    command += ["--judgments", str(judgments), *(x for one in given for x in ("--set", one))]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not list(root.glob("*/*/seed-0/search.json")):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (models["killed"] / NAME).exists()
    assert not list(root.glob("*/*/seed-1/search.json"))
    subprocess.run(command, capture_output=True, check=True)
    evolve(
        settled(path, *long, f'evolution.root="{tmp_path}/whole-search"', models=models["whole"]),
        judgments,
    )
    cards = [(folder / NAME / "1" / CARD).read_bytes() for folder in models.values()]
    assert cards[0] == cards[1]
    # The search did find something, so that equal weights say something.
    assert json.loads(cards[0])["weights"][0] != 0
