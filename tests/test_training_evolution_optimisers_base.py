"""Settings, starts and states of optimisers: what is wrong is said, with what is accepted."""

import numpy as np
import pytest

from cascade.errors import InputError
from cascade.training.evolution.optimisers import OPTIMISERS, OptimiserSettings, make_optimiser
from cascade.training.evolution.optimisers.base import OPTIONS, READS, SHAPINGS, STEP_NAMES
from cascade.training.evolution.optimisers.shaping import SHAPE
from cascade.training.evolution.optimisers.steps import STEPS

VALUES = {
    "children": 10,
    "parents": 3,
    "learning_rate": 0.5,
    "sigma_rate": 0.1,
    "shaping": "centred",
    "step": "plain",
}


def ten(name, seed=1, **options):
    return make_optimiser(OptimiserSettings(name, **options), np.zeros(10), seed)


def told(optimiser):
    optimiser.tell(np.arange(len(optimiser.ask()), dtype=np.float64))
    return optimiser


def test_the_names_are_the_same_everywhere():
    assert list(READS) == list(OPTIMISERS)
    assert list(SHAPINGS) == list(SHAPE)
    assert list(STEP_NAMES) == list(STEPS)
    assert set(OPTIONS) == set(VALUES) == {option for reads in READS.values() for option in reads}


def test_defaults():
    assert OptimiserSettings().name == "openai_es"
    assert OptimiserSettings().population == 64
    assert OptimiserSettings("one_plus_one").population == 2
    assert OptimiserSettings("canonical", children=9).best == 4
    assert OptimiserSettings("nes").rate == 1
    assert OptimiserSettings("openai_es", sigma=0.5).rate == pytest.approx(0.1)
    assert OptimiserSettings("openai_es", sigma=0.5, step="momentum").rate == 0.25


@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_is_used_or_refused(name, option):
    given = {option: VALUES[option]}
    if option not in READS[name]:
        with pytest.raises(InputError, match=rf"{name}.*{option} has no effect here.*takes sigma"):
            OptimiserSettings(name, **given)
        return
    rest = {"children": 10} if option != "children" else {}
    moved = told(ten(name, **given, **rest)).state()
    usual = told(ten(name, **rest)).state()
    del moved["settings"], usual["settings"]
    assert any(
        np.array(moved[key]).tobytes() != np.array(usual.get(key)).tobytes() for key in moved
    )


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("ness", {}, r"no optimiser is called 'ness'; did you mean 'nes'\?"),
        ("nes", {"sigma": 0.0}, r"sigma is 0.0; it must be a finite number, above 0"),
        ("nes", {"sigma": -1}, r"sigma is -1; "),
        ("nes", {"sigma": float("nan")}, r"sigma is nan; "),
        ("nes", {"sigma": float("inf")}, r"sigma is inf; "),
        ("nes", {"sigma": None}, r"sigma is None; "),
        ("nes", {"sigma": True}, r"sigma is True; "),
        ("nes", {"sigma": "wide"}, r"sigma is 'wide'; "),
        ("nes", {"learning_rate": 0}, r"learning_rate is 0; it must be a finite number, above 0"),
        ("nes", {"sigma_rate": -0.1}, r"sigma_rate is -0.1; it must be a finite number, 0 or more"),
        ("nes", {"children": 1}, r"children is 1; it must be a whole number, 2 or more"),
        ("nes", {"children": 2.0}, r"children is 2.0; "),
        ("nes", {"children": True}, r"children is True; "),
        ("cma", {"children": 3}, r"children is 3; it must be a whole number, 4 or more"),
        ("openai_es", {"children": 5}, r"children is 5; it must be even"),
        ("canonical", {"parents": 0}, r"parents is 0; it must be a whole number from 1 to 63"),
        ("canonical", {"parents": 64}, r"parents is 64; "),
        ("canonical", {"parents": 5, "children": 5}, r"from 1 to 4"),
        ("nes", {"shaping": "centered"}, r"shaping is 'centered'; did you mean 'centred'\?"),
        ("openai_es", {"step": "adams"}, r"step is 'adams'; did you mean 'adam'\?"),
        ("canonical", {"sigma": -1, "parents": 0}, r"sigma is -1.*; parents is 0"),
    ],
)
def test_settings_out_of_range_are_refused(name, options, said):
    with pytest.raises(InputError, match=said):
        OptimiserSettings(name, **options)


@pytest.mark.parametrize(
    "start", [np.zeros(0), np.zeros((2, 2)), np.array(1.0), np.array([1.0, np.nan])]
)
def test_a_start_that_is_no_vector_of_finite_weights_is_refused(start):
    with pytest.raises(InputError, match="a vector of one or more weights, all finite"):
        make_optimiser(OptimiserSettings(), start, 1)


@pytest.mark.parametrize("seed", [-1, 1.0, True, None])
def test_a_seed_below_0_or_no_whole_number_is_refused(seed):
    with pytest.raises(InputError, match=r"the seed is .*; it must be a whole number"):
        make_optimiser(OptimiserSettings(), np.zeros(2), seed)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_one_weight_is_enough_but_for_cma(name):
    settings = OptimiserSettings(name)
    if name == "cma":
        with pytest.raises(InputError, match="two weights or more"):
            make_optimiser(settings, np.zeros(1), 1)
    else:
        assert told(make_optimiser(settings, np.zeros(1), 1)).centre[0] != 0


def test_a_step_that_overflows_is_said_and_not_taken():
    optimiser = ten("openai_es", step="plain", learning_rate=1e308, sigma=1e-3)
    with pytest.raises(InputError, match="not finite; lower the learning rate or sigma"):
        told(optimiser)
    assert not optimiser.centre.any()


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_state_that_does_not_fit_is_refused(name):
    optimiser = told(ten(name))
    state, before = optimiser.state(), optimiser.centre.tobytes()
    wrong = [
        (ten(name, sigma=0.2).state(), r"it is of .*sigma=0\.2.*, and this is .*sigma=0\.1"),
        (make_optimiser(OptimiserSettings(name), np.zeros(9), 1).state(), r"float64\[9\]"),
        ({**state, "generation": -1}, "'generation' is -1"),
        ({**state, "generation": 1.5}, r"'generation' is 1\.5"),
        ({**state, "generation": np.zeros(2)}, "'generation' is an array"),
        ({**state, "centre": np.full(10, np.nan)}, "'centre' is float64"),
        ({**state, "centre": np.zeros(10, np.float32)}, "'centre' is float32"),
        *(({k: v for k, v in state.items() if k != key}, f"{key!r} is missing") for key in state),
    ]
    for broken, said in wrong:
        with pytest.raises(InputError, match=said):
            optimiser.restore(broken)
        assert optimiser.centre.tobytes() == before
        assert optimiser.generation == 1


def test_a_state_of_another_release_of_cmaes_is_refused():
    optimiser = told(ten("cma"))
    state = {**optimiser.state(), "cmaes": "0.1.0"}
    with pytest.raises(InputError, match=r"of cmaes 0\.1\.0, .*pip install cmaes==0\.1\.0"):
        optimiser.restore(state)
