"""Lint of a search's settings: everything at once, before requests are ranked or searched."""

import shutil
import sys

import pytest

from cascade.errors import ConfigError, InputError, OptionalDependencyError, RefusedError
from cascade.workflows.evolve import evolve
from cascade.workflows.policy_lint import lint_config
from tests.policy_shop import NAME, settled, write_policy_shop

NOWHERE = 'index.store="nowhere"'


@pytest.fixture(scope="module")
def cups(tmp_path_factory):
    return write_policy_shop(tmp_path_factory.mktemp("cups"))


FLAT = 'evolution.fitness={measures={"recall@10" = 1.0, "mean(price)@3" = 1.0}}'


def test_a_fitness_that_says_too_little_is_refused_unless_it_is_allowed(cups, tmp_path):
    path, judgments = cups
    with pytest.raises(RefusedError, match=r'allow = \["flat-relevance"\] lets it through'):
        evolve(settled(path, FLAT), judgments)
    shutil.copytree(path.parent / "models", tmp_path / "models")
    allowed = settled(
        path,
        FLAT,
        'evolution.allow=["flat-relevance"]',
        "evolution.acceptance={}",
        "evolution.generations=25",
        "evolution.seeds=[0]",
        "evolution.sigma=2.0",
        models=tmp_path / "models",
    )
    report = evolve(allowed, judgments)
    assert report.model == f"{NAME}/1"
    assert [p.name for p in report.points] == ["balanced"]
    assert [f.code for f in report.findings] == ["flat-relevance"]


@pytest.mark.parametrize(
    ("overrides", "kind", "said"),
    [
        (['evolution.fitness={raised="nDGC@10"}'], InputError, "did you mean 'nDCG'"),
        (['evolution.fitness={raised="mean(prise)@3"}'], ConfigError, "fitness: no column 'prise'"),
        (['evolution.allow=["no-column"]'], ConfigError, "evolution.allow[0]: is 'no-column'"),
        (['evolution.bounds={"gini(brand)@5"="<= 1"}'], ConfigError, "bounds: no groups 'brand'"),
        (['evolution.fitness={objectives={relevance="nDCG@10"}}'], InputError, "stocked"),
        (['evolution.acceptance={"nDCG@10" = "> 3"}'], InputError, "acceptance: bound on nDCG@10"),
        (['evolution.acceptance={"mean(prise)@3" = ">= 3"}'], InputError, "no column 'prise'"),
        (['evolution.bounds={"nDCG@10" = "0.99"}'], InputError, "bound on nDCG@10"),
        (
            ['evolution.fitness={raised="nDCG@10"}', "evolution.preference={stokced=1}"],
            InputError,
            "did you mean 'stocked'",
        ),
        (["business={window=30}"], ConfigError, "business.policy: 2 inputs, 1 objectives"),
        (['evolution.optimiser="cma"', "evolution.learning_rate=1"], ConfigError, "learning_rate"),
        (['evolution.fitness={function="math:flor"}'], ConfigError, "math:flor"),
    ],
)
def test_what_is_wrong_is_told_before_a_request_is_ranked(cups, overrides, kind, said):
    path, judgments = cups
    with pytest.raises(kind) as caught:
        evolve(settled(path, NOWHERE, *overrides), judgments)
    assert said in str(caught.value)


def codes(found):
    return [finding.code for finding in found.findings]


def test_lint_without_judgments_reads_no_index(cups):
    path, judgments = cups
    found = lint_config(settled(path, FLAT, NOWHERE), None)
    assert (found.problems, codes(found)) == ((), ["flat-relevance"])
    sound = lint_config(settled(path), judgments)
    assert (sound.problems, sound.findings) == ((), ())


@pytest.mark.parametrize("judged", [False, True])
def test_everything_that_is_wrong_is_told_at_once(cups, judged):
    path, judgments = cups
    wrong = (
        'evolution.columns={a="prise * 2"}',
        'evolution.groups=["brnd"]',
        'evolution.optimiser="cma"',
        "evolution.learning_rate=0.1",
        "evolution.preference={stokced=1}",
        'evolution.acceptance={"nDCG@10"="> 1", "gini(brand)@ten"="<= 1"}',
        'evolution.fitness={measures={"nDCG"=1, "recal@5"=1, "mean(price)"=1}}',
        'evolution.bounds={"MRR"="0.9"}',
    )
    found = lint_config(settled(path, NOWHERE, *wrong), judgments if judged else None)
    starts = [line.split(":")[0] for line in found.problems]
    assert starts == [
        "evolution.columns.a",
        "evolution.groups",
        "evolution",
        "evolution.preference.stokced",
        "evolution.acceptance",
        "evolution.acceptance",
        "evolution.fitness",
        "evolution.fitness",
        "evolution.bounds",
    ]
    assert found.findings == ()


def test_problems_do_not_hide_findings(cups):
    path, _ = cups
    wrong = ('evolution.acceptance={"gini(brand)@5"="<= 1"}', "evolution.preference={other=1}")
    found = lint_config(settled(path, NOWHERE, FLAT, *wrong), None)
    assert len(found.problems) == 2
    assert "acceptance: no groups 'brand'; there are none; evolution.groups" in found.problems[1]
    assert codes(found) == ["flat-relevance"]


def test_columns_of_measures_are_known_without_data(cups):
    path, judgments = cups
    measures = 'evolution.fitness={measures={nDCG=1, "mean(prise)@3"=1, "MRR where cheap"=1}}'
    for asked in (None, judgments):
        found = lint_config(settled(path, measures), asked)
        assert found.findings == ()
        assert len(found.problems) == 2
        assert "fitness: no column 'prise'; did you mean 'price'" in found.problems[1]
        assert "[evolution.columns] defines more" in found.problems[1]
    known = measures.replace("prise", "price")
    cheap = 'evolution.columns={cheap="price < 5"}'
    assert lint_config(settled(path, known, cheap), judgments).findings == ()


def test_a_bound_that_the_order_of_relevance_breaks_needs_judgments(cups):
    path, judgments = cups
    # What is accepted may lie above what the order of relevance has, but hardly for relevance.
    high = 'evolution.acceptance={"nDCG@10"=">= 1.1 of base", "mean(price)@3"=">= 1.1 of base"}'
    assert codes(lint_config(settled(path, high), None)) == []
    found = lint_config(settled(path, high), judgments)
    assert [(f.code, f.refused) for f in found.findings] == [
        ("unmet-bound", True),
        ("unmet-bound", False),
    ]
    with pytest.raises(RefusedError, match=r"nDCG@10 >= 1.1 of base: the order of relevance"):
        evolve(settled(path, high), judgments)


def test_an_input_that_says_nothing_is_told(cups):
    path, judgments = cups
    constant = (
        'business.objectives=[{name="same", kind="stock", field="margin"}]',
        'business.policy={inputs=["score", "rank_percentile", "same"]}',
    )
    found = lint_config(settled(path, *constant), judgments)
    assert [(f.code, f.refused) for f in found.findings] == [("idle-input", False)]


@pytest.mark.parametrize("package", ["moocore", "onnx", "cmaes", "numba"])
def test_a_package_that_is_missing_is_told_before_a_request_is_ranked(cups, monkeypatch, package):
    path, judgments = cups
    monkeypatch.delitem(sys.modules, "cascade.market.kernels", raising=False)
    monkeypatch.delattr("cascade.market.kernels", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    config = settled(path, NOWHERE, 'evolution.optimiser="cma"')
    with pytest.raises(OptionalDependencyError, match=f"{package} is not installed"):
        evolve(config, judgments)
