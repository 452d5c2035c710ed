"""Fitness: units, bounds, undefined requests and functions, by hand."""

import math

import numpy as np
import pytest

from cascade.errors import InputError
from cascade.market.listings import Listings
from cascade.market.ranked import ranked
from cascade.training.evolution.constraints import Multipliers
from cascade.training.evolution.fitness import FitnessSettings, make_fitness

NONE = np.ones((2, 1))
SECOND = 1 / math.log2(3)


def shown_first(ranked):
    """Return the mean price of the first row; a fitness in a module of its own."""
    rows = ranked.top(1)[:, 0]
    return ranked.listings.column("price")[rows].mean(axis=0)


def no_number(ranked):
    return np.arange(ranked.children) / np.array([1.0, np.nan])


def wrong_shape(ranked):
    return np.zeros(3)


def listings(purchases=(1, 1)):
    """Two requests of two rows; the wanted row comes first, the dear one second."""
    gain = np.array([purchases[0], 0, purchases[1], 0], dtype=np.float32)
    price = np.array([10, 20, 10, 40], dtype=np.float32)
    return Listings(np.array([0, 2, 4]), {"gain": gain, "price": price})


def orders(*swapped, given=None):
    """Return one child a tuple that says in which requests the rows change places."""
    scores = np.array([[[1, 0], [0, 1]][swap] for child in swapped for swap in child])
    scores = scores.reshape(len(swapped), 4).T.astype(np.float32)
    return ranked(given or listings(), scores, 1)


BASE = orders((0, 0))
SAMPLE = orders((0, 0), (1, 1))


def fitness(**settings):
    return make_fitness(FitnessSettings(**settings)).fitted(SAMPLE, BASE)


def values(made, ranked, base=BASE):
    return made.values(ranked, base, NONE, Multipliers.none(len(made.bounds), made.penalty))


def test_a_weighted_sum_is_in_units_of_what_random_policies_change():
    made = fitness(measures={"nDCG@2": 2.0, "mean(price)@1": 1.0})
    # nDCG goes from 1 to 1 / log2(3), the price from 10 to 30: changes of 0 and of that.
    lost, spread_of_price = 1 - SECOND, 20 / math.sqrt(2)
    assert made.goal.spreads == pytest.approx([lost / math.sqrt(2), spread_of_price])
    found = values(made, orders((0, 0), (1, 0), (1, 1)))
    # One request swapped: half of the loss; the price is (20 + 10) / 2 = 15.
    expected = [
        0.0,
        -2 * math.sqrt(2) / 2 + 5 / spread_of_price,
        -2 * math.sqrt(2) + math.sqrt(2),
    ]
    np.testing.assert_allclose(found, expected)


def test_units_do_not_depend_on_what_a_measure_is_counted_in():
    cents = Listings(listings().offsets, {**listings().columns})
    cents.columns["price"][:] *= 100
    base, sample = orders((0, 0), given=cents), orders((0, 0), (1, 1), given=cents)
    written = {"nDCG@2": 1.0, "mean(price)@1": 1.0}
    made = make_fitness(FitnessSettings(measures=written)).fitted(sample, base)
    children = ((0, 0), (1, 0), (0, 1), (1, 1))
    in_cents = values(made, orders(*children, given=cents), base)
    np.testing.assert_allclose(in_cents, values(fitness(measures=written), orders(*children)))


def test_a_raised_measure_pays_for_a_broken_bound():
    made = fitness(raised="mean(price)@1", bounds={"nDCG@2": ">= 0.9 of base"}, margin=0.5)
    # The room is 0.1 and half of it is kept back: 0.95 is asked for.
    one = (1 + SECOND) / 2
    excess = (0.95 - one) / 0.1
    np.testing.assert_allclose(
        made.excesses(orders((0, 0), (1, 0)), BASE), [[-0.5, excess]], atol=1e-12
    )
    spread = 20 / math.sqrt(2)
    np.testing.assert_allclose(
        values(made, orders((0, 0), (1, 0))), [0.0, 5 / spread - 10 * excess]
    )


def test_the_lagrangian_form_reads_the_multipliers():
    made = fitness(
        raised="mean(price)@1",
        bounds={"nDCG@2": ">= 0.9 of base"},
        form="lagrangian",
        margin=0.0,
        penalty=2.0,
    )
    excess = (0.9 - (1 + SECOND) / 2) / 0.1
    multipliers = Multipliers(np.array([3.0]), 2.0)
    found = made.values(orders((1, 0)), BASE, NONE, multipliers)
    cost = ((3 + 2 * excess) ** 2 - 9) / 4
    np.testing.assert_allclose(found, [5 / (20 / math.sqrt(2)) - cost])


def test_a_choice_puts_what_breaks_a_bound_below_all_that_keeps_it():
    made = fitness(raised="mean(price)@1", bounds={"nDCG@2": ">= 0.9 of base"}, margin=0.5)
    found = made.judged(orders((0, 0), (1, 0), (1, 1)), BASE, NONE)
    assert found[0] == 0.0
    assert found[2] < found[1] < -1e5


def test_requests_for_which_a_measure_is_undefined_are_left_out():
    given = listings(purchases=(1, 0))
    base, sample = orders((0, 0), given=given), orders((0, 0), (1, 1), given=given)
    made = make_fitness(FitnessSettings(raised="nDCG@2", bounds={"MRR": ">= 0"}))
    made = made.fitted(sample, base)
    swapped = orders((0, 0), (0, 1), (1, 1), given=given)
    # The request without a purchase makes no difference.
    found = made.goal.values(swapped, base, NONE)
    np.testing.assert_allclose(found, [0.0, 0.0, -math.sqrt(2)], atol=1e-12)


def test_a_measure_that_no_request_defines_or_no_order_changes_is_refused():
    none = listings(purchases=(0, 0))
    base, sample = orders((0, 0), given=none), orders((0, 0), (1, 1), given=none)
    with pytest.raises(InputError, match=r"nDCG@2 is nan in the order of relevance over 2 req"):
        make_fitness(FitnessSettings(raised="nDCG@2")).fitted(sample, base)
    with pytest.raises(InputError, match="a measure that no order changes"):
        make_fitness(FitnessSettings(raised="mean(price)@2")).fitted(SAMPLE, BASE)


def test_preferences_weigh_objectives_request_by_request():
    objectives = {"relevance": "nDCG@2", "revenue": "mean(price)@1"}
    made = fitness(objectives=objectives, scalarising="linear")
    # Over policies and requests: relevance changes by 0 or by the loss, the price by 10 and 30.
    lost = 1 - SECOND
    spreads = [lost / math.sqrt(2), math.sqrt((10**2 + 30**2) / 4)]
    assert made.goal.spreads == pytest.approx(spreads)
    preferences = np.array([[0.25, 0.75], [1.0, 0.0]])
    found = made.values(orders((1, 1)), BASE, preferences, Multipliers.none(0))
    first = 0.25 * -math.sqrt(2) + 0.75 * 10 / spreads[1]
    np.testing.assert_allclose(found, [(first - math.sqrt(2)) / 2])


def test_tchebycheff_counts_the_objective_that_is_furthest_behind():
    objectives = {"relevance": "nDCG@2", "revenue": "mean(price)@1"}
    made = fitness(objectives=objectives)
    spreads, ideal = made.goal.spreads, made.goal.ideal
    # In no request gains a policy in relevance; in price one gains 10 and 30.
    assert ideal == pytest.approx([0.0, 20 / spreads[1]])
    even = np.full((2, 2), 0.5)
    found = made.values(orders((1, 1)), BASE, even, Multipliers.none(0))
    expected = []
    for gained in (10, 30):
        short = [
            0.5 * (ideal[0] + math.sqrt(2)),
            0.5 * (ideal[1] - gained / spreads[1]),
        ]
        expected.append(-(max(short) + 0.05 * sum(short)))
    np.testing.assert_allclose(found, [np.mean(expected)])


def test_the_ideal_is_what_requests_gain_by_the_policy_that_is_best_for_each():
    written = {"relevance": "nDCG@2", "revenue": "mean(price)@1"}
    # One policy swaps the first request, one the second: the price gains 10 there and 30 here.
    sample = orders((1, 0), (0, 1))
    goal = make_fitness(FitnessSettings(objectives=written)).fitted(sample, BASE).goal
    spread = math.sqrt((10**2 + 30**2) / 4)
    # Where no policy gains, the order of relevance is best.
    assert goal.ideal == pytest.approx([0.0, 20 / spread])


def test_an_ideal_leaves_out_requests_that_have_no_value():
    given = listings(purchases=(0, 0))
    given.columns["gain"][3] = 1  # the second row of the second request
    base, sample = orders((0, 0), given=given), orders((1, 1), given=given)
    goal = make_fitness(FitnessSettings(objectives={"relevance": "nDCG@2"})).fitted(sample, base)
    # The only request that counts gains all of the spread.
    assert goal.goal.spreads == pytest.approx([1 - SECOND])
    assert goal.goal.ideal == pytest.approx([1.0])


def test_a_plain_function_is_called_with_the_orders():
    made = fitness(function=f"{__name__}:shown_first", bounds={"nDCG@2": ">= 0.1"})
    np.testing.assert_allclose(values(made, orders((0, 0), (1, 1))), [10.0, 30.0])
    assert "0x" not in repr(made)  # a checkpoint compares it across processes
    with pytest.raises(InputError, match=r"returned the shape \(3,\); accepted is \(1,\)"):
        values(fitness(function=f"{__name__}:wrong_shape"), orders((0, 0)))


def test_a_function_that_returns_no_number_is_named_with_the_child():
    made = fitness(function=f"{__name__}:no_number")
    with pytest.raises(InputError, match=r"no_number.*returned nan for child 1 \(1 of 2"):
        values(made, orders((0, 0), (1, 1)))


@pytest.mark.parametrize("name", ["nowhere:f", "math:nothing", "math", "math:pi", ""])
def test_a_function_that_is_not_there_is_refused(name):
    with pytest.raises(InputError):
        make_fitness(FitnessSettings(function=name))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def f(:", "SyntaxError"),
        ("g = rank", "NameError: name 'rank' is not defined"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_module_that_cannot_be_imported_is_refused(tmp_path, monkeypatch, text, said):
    (tmp_path / "broken_goal.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=rf"fitness function 'broken_goal:f': {said}"):
        make_fitness(FitnessSettings(function="broken_goal:f"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "nothing is given"),
        ({"raised": "MRR", "measures": {"MRR": 1.0}}, "measures and raised is given"),
        ({"measures": {"MRR": float("nan")}}, "the weight of MRR is nan"),
        ({"measures": {"MRR": 0.0}}, "the weight of MRR is 0"),
        ({"raised": "MRR", "margin": 1.0}, "margin 1"),
        ({"raised": "MRR", "penalty": 0.0}, "penalty 0"),
        ({"raised": "MRR", "bounds": {"nDCG@10": "0.9"}}, "bound on nDCG@10"),
        ({"raised": "nDGC@10"}, "nDGC"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings, said):
    with pytest.raises(InputError, match=said):
        make_fitness(FitnessSettings(**settings))


def test_a_goal_without_units_is_not_used():
    made = make_fitness(FitnessSettings(raised="nDCG@2"))
    with pytest.raises(InputError, match="no units yet"):
        values(made, BASE)


@pytest.mark.parametrize(
    "written",
    [
        {"measures": {"mean(price)@1": 1.0}},
        {"objectives": {"revenue": "mean(price)@1"}, "scalarising": "linear"},
        {"objectives": {"revenue": "mean(price)@1"}, "scalarising": "tchebycheff"},
    ],
)
def test_a_child_gains_nothing_by_making_a_page_undefined(written):
    # Two requests of two rows; the cheap request has a row without a price below its first.
    prices = np.array([1.0, np.nan, 9.0, 5.0], dtype=np.float32)
    listings = Listings(np.array([0, 2, 4]), {"price": prices})
    scores = np.array([2.0, 1.0, 2.0, 1.0], dtype=np.float32)
    base = ranked(listings, scores[:, None])
    hidden = ranked(listings, np.array([[1.0], [2.0], [2.0], [1.0]], dtype=np.float32))
    shuffles = np.random.default_rng(0).standard_normal((4, 16)).astype(np.float32)
    fitness = make_fitness(FitnessSettings(**written)).fitted(ranked(listings, shuffles), base)
    preferences = np.ones((2, 1))
    none = Multipliers.none(0)
    kept, lost = (fitness.values(o, base, preferences, none)[0] for o in (base, hidden))
    assert lost < kept
