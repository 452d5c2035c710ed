"""The search: a planted optimum, what is kept, and going on after any interruption."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cascade.errors import ChecksumError, InputError
from cascade.training.evolution.checkpoint import Checkpoint
from cascade.training.evolution.optimisers import OptimiserSettings, make_optimiser
from cascade.training.evolution.search import SearchSettings, search, search_seeds

BEST = np.array([1.0, -2.0, 0.5, 0.0, 3.0])


class Bowl:
    """A noisy bowl; the noise of a generation is the same for all its children."""

    def __init__(self, noise=0.1):
        self.noise = noise
        self.seen = []
        self.learned = np.zeros(2)

    def evaluate(self, weights, generation):
        self.seen.append(generation)
        shift = np.random.default_rng([9, generation]).standard_normal(5) * self.noise
        return -(((weights - BEST - shift) ** 2).sum(axis=1)) - self.learned[0] * 1e-3

    def validate(self, weights):
        return -((weights - BEST) ** 2).sum(axis=1)

    def advance(self, centre, generation):
        self.learned = self.learned * 0.9 + [centre[0], generation]

    def state(self):
        return {"learned": self.learned, "word": "bowl"}

    def restore(self, state):
        assert state["word"] == "bowl"
        self.learned = state["learned"]


def optimiser(name="openai_es", seed=0):
    # openai_es with adam walks a learning rate a generation at most.
    settings = OptimiserSettings(name, sigma=0.2)
    if name == "openai_es":
        settings = replace(settings, learning_rate=0.1)
    return make_optimiser(settings, np.zeros(5), seed)


def test_a_planted_optimum_is_found_and_validation_decides():
    found = search(Bowl(), optimiser(), SearchSettings(100, validate_every=5))
    np.testing.assert_allclose(found.weights, BEST, atol=0.15)
    looks = [step.validation for step in found.steps if not np.isnan(step.validation)]
    assert found.validation == max(looks) == found.steps[-1].kept
    assert found.steps[found.generation].validation == found.validation
    assert found.start == -(BEST**2).sum()
    assert [step.generation for step in found.steps] == list(range(101))
    assert len(looks) == 21
    assert found.children == 100 * 64


def test_what_validation_never_likes_better_leaves_the_start():
    class Misled(Bowl):
        def validate(self, weights):
            return -(weights**2).sum(axis=1)

    found = search(Misled(), optimiser(), SearchSettings(10, validate_every=2))
    assert found.generation == 0
    np.testing.assert_array_equal(found.weights, np.zeros(5))


def test_validation_chooses_from_what_the_problem_offers():
    class Halving(Bowl):
        def offers(self, centre):
            return np.stack([centre, centre / 2, BEST])

    found = search(Halving(), optimiser(), SearchSettings(2, validate_every=1))
    np.testing.assert_array_equal(found.weights, BEST)
    assert found.validation == 0.0


def test_patience_ends_a_search_that_validation_no_longer_follows():
    class Misled(Bowl):
        def validate(self, weights):
            return -(weights**2).sum(axis=1)

    found = search(Misled(), optimiser(), SearchSettings(100, validate_every=2, patience=3))
    assert found.steps[-1].generation == 6


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_fitness_that_is_no_number_stops_the_search_and_names_the_child(bad):
    class Broken(Bowl):
        def evaluate(self, weights, generation):
            fitness = super().evaluate(weights, generation)
            if generation == 3:
                fitness[5] = bad
            return fitness

    with pytest.raises(InputError, match=r"child 5 in generation 3 is .*\(1 of 64 children\)"):
        search(Broken(), optimiser(), SearchSettings(5))


@pytest.mark.parametrize("name", ["one_plus_one", "nes", "canonical", "openai_es", "cma"])
def test_a_search_that_stopped_goes_on_bit_for_bit(name, tmp_path):
    if name == "cma":
        pytest.importorskip("cmaes")
    whole = search(Bowl(), optimiser(name), SearchSettings(12, validate_every=3))
    saved = Checkpoint(tmp_path / "run", "bowl")

    class StopError(Exception):
        pass

    def stop_after(generation):
        def watch(step):
            if step.generation == generation:
                raise StopError

        return watch

    for stop in (2, 7):
        with pytest.raises(StopError):
            search(
                Bowl(),
                optimiser(name),
                SearchSettings(12, validate_every=3),
                checkpoint=saved,
                watch=stop_after(stop),
            )
    last = Bowl()
    found = search(last, optimiser(name), SearchSettings(12, validate_every=3), checkpoint=saved)
    assert last.seen == [8, 9, 10, 11, 12]
    assert found.weights.tobytes() == whole.weights.tobytes()
    assert repr(found.steps) == repr(whole.steps)
    again = Bowl()
    ended = search(again, optimiser(name), SearchSettings(12, validate_every=3), checkpoint=saved)
    assert again.seen == []
    assert ended.weights.tobytes() == whole.weights.tobytes()


@pytest.mark.parametrize("patience", [0, 2])
def test_a_longer_search_goes_on_where_a_shorter_one_ended(patience, tmp_path):
    """The look after a last generation is no part of what follows."""

    class Peaked(Bowl):
        def validate(self, weights):
            # Best in generation 2, between the looks of a search that does not end there.
            best = optimiser_after(2)
            return -((weights - best) ** 2).sum(axis=1)

    def settings(generations):
        return SearchSettings(generations, validate_every=5, patience=patience)

    whole = search(Peaked(), optimiser(), settings(15))
    saved = Checkpoint(tmp_path)
    first = search(Peaked(), optimiser(), settings(2), checkpoint=saved)
    assert (first.generation, first.validation) == (2, 0.0)
    for generations in (3, 9, 15):
        problem = Peaked()
        found = search(problem, optimiser(), settings(generations), checkpoint=saved)
    assert problem.seen[0] == 10
    assert whole.generation != 2
    assert found.weights.tobytes() == whole.weights.tobytes()
    assert repr(found.steps) == repr(whole.steps)
    assert found.validation == whole.validation


def optimiser_after(generations):
    """Return the centre of a search after some generations."""
    problem, walker = Bowl(), optimiser()
    for generation in range(1, generations + 1):
        walker.tell(problem.evaluate(walker.ask(), generation))
        problem.advance(walker.centre, generation)
    return walker.centre


def test_an_ended_search_tells_its_last_look_to_who_watches():
    seen = []
    found = search(Bowl(), optimiser(), SearchSettings(7, validate_every=5), watch=seen.append)
    assert repr(tuple(seen)) == repr(found.steps[1:])
    assert [s.generation for s in seen if not np.isnan(s.validation)] == [5, 7]


def test_fewer_generations_than_a_checkpoint_has_are_refused(tmp_path):
    saved = Checkpoint(tmp_path)
    search(Bowl(), optimiser(), SearchSettings(6), checkpoint=saved)
    with pytest.raises(InputError, match="holds 6 generations, and 5 are asked for; ask for 6"):
        search(Bowl(), optimiser(), SearchSettings(5), checkpoint=saved)


KILLED = """
import sys, time
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.test_training_evolution_search import Bowl, optimiser
from cascade.training.evolution.checkpoint import Checkpoint
from cascade.training.evolution.search import SearchSettings, search

class Slow(Bowl):
    def evaluate(self, weights, generation):
        time.sleep(0.02)
        return super().evaluate(weights, generation)

search(Slow(), optimiser(), SearchSettings(300), checkpoint=Checkpoint(Path({folder!r}), "bowl"))
"""


def test_a_killed_process_leaves_a_whole_state(tmp_path):
    folder = tmp_path / "run"
    code = KILLED.format(root=str(Path(__file__).parent.parent), folder=str(folder))
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        until = time.monotonic() + 60
        while not (folder / "search.json").exists() and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.3)
        os.kill(process.pid, signal.SIGKILL)
    settings = SearchSettings(40)
    problem = Bowl()
    found = search(problem, optimiser(), settings, checkpoint=Checkpoint(folder, "bowl"))
    assert problem.seen and problem.seen[0] > 1
    whole = search(Bowl(), optimiser(), settings)
    assert found.weights.tobytes() == whole.weights.tobytes()


def test_a_checkpoint_keeps_every_bit(tmp_path):
    saved = Checkpoint(tmp_path, "x")
    assert saved.load() is None
    state = {
        "a": np.array([0.1, np.nan, -0.0, np.inf]),
        "i": np.arange(3),
        "f": 0.1 + 0.2,
        "low": float("-inf"),
        "n": 2**100,
        "s": "ä\n",
    }
    saved.save({"old": np.ones(3)})
    saved.save(state)
    found = saved.load()
    assert set(found) == set(state)
    assert found["a"].tobytes() == state["a"].tobytes()
    assert {k: found[k] for k in "fns"} == {k: state[k] for k in "fns"}
    assert len(list(tmp_path.glob("*.npz"))) == 1


def test_a_checkpoint_of_another_setup_or_with_other_bytes_is_refused(tmp_path):
    Checkpoint(tmp_path, "one").save({"a": np.ones(3)})
    with pytest.raises(InputError, match="other settings"):
        Checkpoint(tmp_path, "two").load()
    arrays = next(tmp_path.glob("*.npz"))
    arrays.write_bytes(arrays.read_bytes()[:-1])
    with pytest.raises(ChecksumError, match="not what was written"):
        Checkpoint(tmp_path, "one").load()


def test_an_unfinished_write_is_not_read(tmp_path):
    saved = Checkpoint(tmp_path, "x")
    saved.save({"n": 1})
    (tmp_path / ".search.json.writing").write_text('{"form": 1')
    (tmp_path / "search-0000000000000000.npz").write_bytes(b"half")
    assert saved.load() == {"n": 1}


def test_several_seeds_have_a_spread(tmp_path):
    watched = []
    found = search_seeds(
        lambda seed: (Bowl(), optimiser(seed=seed)),
        [1, 2, 3],
        SearchSettings(20),
        tmp_path,
        watch=lambda seed, step: watched.append((seed, step.generation)),
    )
    assert [one.seed for one in found.found] == [1, 2, 3]
    assert len(set(found.validations.tolist())) == 3
    assert found.best.validation == found.validations.max()
    assert found.children == 3 * 20 * 64
    assert found.deviation == pytest.approx(np.std(found.validations, ddof=1))
    assert watched == [(s, g) for s in (1, 2, 3) for g in range(1, 21)]
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["seed-1", "seed-2", "seed-3"]
    assert json.loads((tmp_path / "seed-2" / "search.json").read_text())["setup"] == "#2"


@pytest.mark.parametrize("setting", ["generations", "validate_every", "patience", "save_every"])
def test_settings_below_what_is_possible_are_refused(setting):
    with pytest.raises(InputError, match=f"{setting}: is -1"):
        SearchSettings(**{setting: -1})
