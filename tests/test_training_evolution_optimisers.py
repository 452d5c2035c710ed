"""Optimisers: one contract for all of them, and what each alone promises."""

import io
import subprocess
import sys

import numpy as np
import pytest

from cascade.errors import InputError
from cascade.training.evolution.optimisers import OPTIMISERS, OptimiserSettings, make_optimiser
from cascade.training.evolution.optimisers.base import SHAPINGS, STEP_NAMES

NAMES = tuple(OPTIMISERS)
POPULATIONS = tuple(name for name in NAMES if name != "one_plus_one")
# Every way to step and to shape, beside every name with its defaults.
KINDS = [
    *({"name": name} for name in NAMES),
    {"name": "nes", "sigma_rate": 0.0, "shaping": "standard"},
    *({"name": "openai_es", "step": step} for step in STEP_NAMES if step != "adam"),
    *({"name": "openai_es", "shaping": shaping} for shaping in SHAPINGS if shaping != "utilities"),
]


def named(options):
    return "-".join(str(value) for value in options.values())


kinds = pytest.mark.parametrize("options", KINDS, ids=named)
names = pytest.mark.parametrize("name", NAMES)


def made(options, dimensions=10, seed=1, start=None, **more):
    if options["name"] != "one_plus_one":
        more.setdefault("children", 20)
    settings = OptimiserSettings(**{**options, **more})
    return make_optimiser(settings, np.zeros(dimensions) if start is None else start, seed)


def goal(dimensions):
    """Return the weights that are best, of length 1, none of them 0."""
    values = 0.5 + np.arange(dimensions) % 3
    values[::2] *= -1
    return values / np.linalg.norm(values)


def quadratic(weights):
    """Return 1 at the goal and 0 at the origin."""
    return 1 - ((weights - goal(weights.shape[1])) ** 2).sum(axis=1)


def run(optimiser, generations, fitness=quadratic):
    for _ in range(generations):
        optimiser.tell(fitness(optimiser.ask()))
    return optimiser


@kinds
def test_the_shapes_and_the_start(options):
    start = np.linspace(-1, 1, 10)
    optimiser = made(options, start=start)
    children = optimiser.ask()
    assert children.shape == ((2 if options["name"] == "one_plus_one" else 20), 10)
    assert children.dtype == np.float64
    assert optimiser.centre.tobytes() == start.tobytes()
    assert not optimiser.centre.flags.writeable
    start[:] = 9
    children[:] = 9
    assert optimiser.centre.max() == 1
    assert optimiser.ask().max() < 9
    assert optimiser.generation == 0
    optimiser.tell(np.arange(len(children), dtype=np.float64))
    assert optimiser.generation == 1
    assert (optimiser.centre != np.linspace(-1, 1, 10)).all()


@kinds
def test_the_seed_decides_and_asking_twice_changes_nothing(options):
    first, second, other = made(options), made(options), made(options, seed=2)
    for _ in range(3):
        first.ask()
        assert first.ask().tobytes() == second.ask().tobytes()
        assert first.ask()[-1].tobytes() != other.ask()[-1].tobytes()
        for optimiser in (first, second, other):
            optimiser.tell(quadratic(optimiser.ask()))
    assert first.centre.tobytes() == second.centre.tobytes()


@kinds
def test_generations_draw_anew(options):
    optimiser = made(options)
    before = optimiser.ask()
    optimiser.tell(np.zeros(len(before)))
    assert (optimiser.ask()[-1] != before[-1]).all()


@pytest.mark.parametrize("asked", [False, True], ids=["after_tell", "after_ask"])
@pytest.mark.parametrize("dimensions", [10, 57])
@kinds
def test_a_run_continues_bit_for_bit_from_a_file(options, dimensions, asked):
    whole = run(made(options, dimensions), 6)
    stopped = run(made(options, dimensions), 6)
    if asked:
        stopped.ask()
    file = io.BytesIO()
    np.savez(file, **stopped.state())
    file.seek(0)
    continued = made(options, dimensions, seed=99, start=np.ones(dimensions))
    run(continued, 2)
    with np.load(file, allow_pickle=False) as state:
        continued.restore(dict(state))
    assert continued.generation == 6
    for _ in range(7):
        run(whole, 1)
        run(continued, 1)
        assert whole.centre.tobytes() == continued.centre.tobytes()
    assert whole.ask().tobytes() == continued.ask().tobytes()


@kinds
def test_a_state_stays_what_it_was(options):
    optimiser = run(made(options), 3)
    state = optimiser.state()
    kept = {name: np.array(value).tobytes() for name, value in state.items()}
    run(optimiser, 3)
    assert {name: np.array(value).tobytes() for name, value in state.items()} == kept
    optimiser.restore(state)
    run(optimiser, 3)
    assert {name: np.array(value).tobytes() for name, value in state.items()} == kept
    assert optimiser.generation == 6


@pytest.mark.parametrize("value", [0.0, 0.1, -3e300])
@kinds
def test_tied_fitness_gives_no_step(options, value):
    # Some generations first, so that averages and paths hold a direction.
    optimiser = run(made(options), 4)
    before, state = optimiser.centre.tobytes(), optimiser.state()
    for _ in range(3):
        optimiser.tell(np.full(len(optimiser.ask()), value))
    assert optimiser.centre.tobytes() == before
    state["generation"] += 3
    after = optimiser.state()
    assert {name: np.array(v).tobytes() for name, v in state.items()} == {
        name: np.array(v).tobytes() for name, v in after.items()
    }


@pytest.mark.parametrize("options", [{"name": "canonical"}, {"name": "nes"}], ids=named)
def test_tied_children_move_the_centre_alike(options):
    # One child is best and seven tie. Eight mutations of ten weights are independent, so what each
    # adds to the step can be told.
    optimiser = made(options, children=8)
    mutations = optimiser.ask()
    optimiser.tell(np.array([1.0, 0, 0, 0, 0, 0, 0, 0]))
    shares = np.linalg.lstsq(mutations.T, optimiser.centre, rcond=None)[0]
    np.testing.assert_allclose(shares[1:], -shares[0] / 7, rtol=1e-9)
    assert shares[0] > 0.1


@pytest.mark.parametrize("shaping", SHAPINGS)
def test_tied_pairs_move_the_centre_nowhere(shaping):
    options = {"name": "openai_es", "step": "plain", "shaping": shaping}
    optimiser = made(options, children=8)
    mutations = optimiser.ask()[:4]
    optimiser.tell(np.array([9.0, 5, 0, 7, 0, 5, 0, 7]))
    shares = np.linalg.lstsq(mutations.T, optimiser.centre, rcond=None)[0]
    np.testing.assert_allclose(shares[1:], 0, atol=1e-12)
    assert shares[0] > 0.01


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@kinds
def test_fitness_that_is_not_finite_names_the_child(options, bad):
    optimiser = run(made(options), 2)
    before = optimiser.centre.tobytes()
    fitness = quadratic(optimiser.ask())
    fitness[1] = bad
    with pytest.raises(InputError, match=rf"generation 2: the fitness of child 1 is {bad};"):
        optimiser.tell(fitness)
    fitness[0] = bad
    with pytest.raises(InputError, match=r"child 0 is .* and that of 1 more is not finite"):
        optimiser.tell(fitness)
    assert optimiser.centre.tobytes() == before
    assert optimiser.generation == 2


@names
def test_fitness_of_another_shape_is_refused(name):
    optimiser = made({"name": name})
    for shape in [(3,), (len(optimiser.ask()), 1), ()]:
        with pytest.raises(InputError, match="one value for each of the"):
            optimiser.tell(np.ones(shape))


# A fixed sigma keeps the centre at a distance that grows with it, so more weights take a lower one.
@pytest.mark.parametrize(("dimensions", "sigma"), [(10, 0.1), (50, 0.04)])
@names
def test_a_toy_is_solved_to_95_percent(name, dimensions, sigma):
    more = {"children": 40} if name in POPULATIONS else {}
    optimiser = made({"name": name}, dimensions, sigma=sigma, **more)
    run(optimiser, 1000 if name == "one_plus_one" else 100)
    assert quadratic(optimiser.centre[None])[0] >= 0.95


def listings():
    """Return 30 listings of 12 rows, 10 inputs, graded by a linear order that can be found."""
    rng = np.random.default_rng(5)
    inputs = rng.normal(size=(30, 12, 10))
    worth = inputs @ goal(10)
    return inputs, np.argsort(np.argsort(worth, axis=1), axis=1) >= 10


def reciprocal_rank(weights):
    """Return the mean reciprocal rank of the best-placed good row: steps, flat between them."""
    inputs, good = listings()
    scores = inputs @ weights.T
    best = np.where(good[:, :, None], scores, -np.inf).max(axis=1, keepdims=True)
    beaten = (~good[:, :, None] & (scores >= best)).sum(axis=1)
    return (1 / (1 + beaten)).mean(axis=0)


@names
def test_a_ranking_with_a_perfect_order_is_solved_to_95_percent(name):
    assert reciprocal_rank(goal(10)[None])[0] == 1
    optimiser = made({"name": name})
    run(optimiser, 400 if name == "one_plus_one" else 80, reciprocal_rank)
    assert reciprocal_rank(np.zeros((1, 10)))[0] < 0.5
    assert reciprocal_rank(optimiser.centre[None])[0] >= 0.95


@pytest.mark.parametrize("name", POPULATIONS)
def test_the_first_step_follows_the_gradient_of_a_quadratic(name):
    # 20 weights, a population of 1,000, curvatures from 1 to 3; f = -x' A x / 2 has the gradient
    # -A x, and the smoothing by mutations leaves it as it is.
    curvatures = np.linspace(1, 3, 20)
    start = goal(20)
    options = {"name": name, "children": 1000, "sigma": 0.05}
    for seed in range(3):
        plain = {"step": "plain"} if name == "openai_es" else {}
        optimiser = make_optimiser(OptimiserSettings(**options, **plain), start, seed)
        run(optimiser, 1, lambda weights: -(weights**2 * curvatures).sum(axis=1) / 2)
        step, gradient = optimiser.centre - start, -curvatures * start
        assert step @ gradient > 0.9 * np.linalg.norm(step) * np.linalg.norm(gradient)


def test_standard_scores_estimate_the_gradient_itself():
    # f = g'x has the gradient g; standard scores divide it by the deviation of f, sigma |g|.
    slope = goal(5)
    optimiser = made(
        {"name": "openai_es", "step": "plain", "shaping": "standard"},
        5,
        children=200_000,
        learning_rate=1.0,
        sigma=0.5,
    )
    run(optimiser, 1, lambda weights: 3 * weights @ slope)
    np.testing.assert_allclose(optimiser.centre, slope / 0.5, atol=0.02)


@pytest.mark.parametrize("half", [1, 7, 64])
def test_antithetic_pairs_are_exact_negatives(half):
    children = made({"name": "openai_es"}, 50, children=2 * half).ask()
    assert children[:half].any(axis=1).all()
    assert children[:half].tobytes() == (-children[half:]).tobytes()
    assert np.unique(np.abs(children[:, 0])).size == half


@pytest.mark.parametrize("shaping", SHAPINGS)
@pytest.mark.parametrize(
    "options", [{"name": "nes"}, {"name": "openai_es", "step": "plain"}], ids=named
)
def test_twice_the_learning_rate_is_twice_the_first_step(options, shaping):
    options = {**options, "shaping": shaping}
    once, twice = (run(made(options, learning_rate=rate), 1).centre for rate in (0.01, 0.02))
    assert np.abs(once).max() > 0
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-12)


@pytest.mark.parametrize("step", ["momentum", "rmsprop", "adam"])
def test_the_learning_rate_counts_with_every_step(step):
    options = {"name": "openai_es", "step": step}
    once, twice = (run(made(options, learning_rate=rate), 1).centre for rate in (0.01, 0.02))
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-12)


@names
def test_ranks_alone_decide(name):
    plain = run(made({"name": name}), 5)
    bent = run(made({"name": name}), 5, lambda weights: np.exp(9 * quadratic(weights)) - 4)
    assert plain.centre.tobytes() == bent.centre.tobytes()


@pytest.mark.parametrize("dimensions", [10, 200, 500])
@kinds
def test_ten_to_five_hundred_weights(options, dimensions):
    alone = options["name"] == "one_plus_one"
    count = 10 if options["name"] == "cma" else 100
    optimiser = made(options, dimensions, **({} if alone else {"children": count}))
    # The mean of the best goes uphill on a slope; (1+1) does if one child in twelve is better.
    run(optimiser, 12 if alone else 1, lambda weights: weights @ goal(dimensions))
    assert optimiser.centre.shape == (dimensions,)
    assert optimiser.centre @ goal(dimensions) > 0


def test_one_plus_one_asks_the_parent_again_and_keeps_it_unless_beaten():
    optimiser = made({"name": "one_plus_one"}, start=np.arange(10.0))
    assert optimiser.ask()[0].tobytes() == np.arange(10.0).tobytes()
    child = optimiser.ask()[1]
    optimiser.tell(np.array([1.0, 0.5]))
    assert optimiser.centre.tobytes() == np.arange(10.0).tobytes()
    # sigma falls by exp(-.2 / sqrt 11) where the child loses, and grows by exp(.8 / sqrt 11).
    assert optimiser.state()["sigma"] == pytest.approx(0.1 * np.exp(-0.2 / np.sqrt(11)))
    assert (optimiser.ask()[1] != child).all()
    child = optimiser.ask()[1]
    optimiser.tell(np.array([1.0, 1.5]))
    assert optimiser.centre.tobytes() == child.tobytes()
    assert optimiser.state()["sigma"] == pytest.approx(0.1 * np.exp(0.6 / np.sqrt(11)))


def test_nes_narrows_at_the_goal_and_widens_on_a_slope():
    at_goal = run(made({"name": "nes"}, start=goal(10)), 20).state()["sigma"]
    slope = run(made({"name": "nes"}), 20, lambda weights: weights @ goal(10)).state()["sigma"]
    fixed = run(made({"name": "nes", "sigma_rate": 0.0}), 20).state()["sigma"]
    assert at_goal.max() < 0.1
    assert slope.mean() > 0.1
    assert (fixed == 0.1).all()


def test_canonical_moves_to_the_mean_of_its_parents():
    optimiser = made({"name": "canonical"}, children=4, parents=1)
    children = optimiser.ask()
    optimiser.tell(np.array([0.0, 1.0, 0.5, 0.2]))
    # One parent has the weight 1; the mean of all four is taken off.
    np.testing.assert_allclose(optimiser.centre, children[1] - children.mean(axis=0), atol=1e-15)


def test_cma_steps_as_the_package_itself_does():
    cmaes = pytest.importorskip("cmaes")
    optimiser = made({"name": "cma"}, start=np.ones(10))
    children = optimiser.ask()
    peer = cmaes.CMA(mean=np.ones(10), sigma=0.1, population_size=20)
    for _ in range(4):
        children = optimiser.ask()
        fitness = quadratic(children)
        peer.ask()
        peer.tell([(x, -f) for x, f in zip(children, fitness, strict=True)])
        optimiser.tell(fitness)
        np.testing.assert_allclose(optimiser.centre, peer.mean, rtol=1e-10)


def test_cma_fits_the_shape_of_the_hill():
    # Curvatures 1 and 100: the mutations become ten times as wide along the flat axis.
    optimiser = made({"name": "cma"}, 2, start=np.array([3.0, 3.0]))
    run(optimiser, 25, lambda weights: -(weights**2) @ np.array([1.0, 100.0]))
    spread = optimiser.ask().std(axis=0)
    assert 4 < spread[0] / spread[1] < 25


def test_cma_says_which_extra_is_missing():
    code = (
        "import sys; sys.modules['cmaes'] = None\n"
        "import numpy as np\n"
        "from cascade.errors import OptionalDependencyError\n"
        "from cascade.training.evolution.optimisers import OptimiserSettings, make_optimiser\n"
        "make_optimiser(OptimiserSettings('nes'), np.zeros(3), 1)\n"
        "try:\n    make_optimiser(OptimiserSettings('cma'), np.zeros(3), 1)\n"
        "except OptionalDependencyError as error:\n    print(error)\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "cmaes is not installed" in done.stdout
    assert "[evolve]" in done.stdout
