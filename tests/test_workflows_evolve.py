"""Evolving a policy: a bundle with accepted points, refusals, what it does served, the report."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from cascade.business.inputs import relevance_scores
from cascade.business.learned import CARD
from cascade.candidates import Query
from cascade.config import Config, load_config, open_cascade, registry_of
from cascade.errors import ConfigError, InputError, NotFoundError, RefusedError
from cascade.registry import text_digest
from cascade.workflows.evolve import EvolveReport, evolve, front_of_policy
from cascade.workflows.policy_report import report_policy
from cascade.workflows.policy_search import lint_config
from cascade.workflows.runs import unhurried
from cascade.workflows.split import part_of
from tests.policy_shop import NAME, settled, write_policy_shop

WINDOW, MOST = 60, 20
SMALL = [
    "evolution.generations=6",
    "evolution.children=16",
    "evolution.seeds=[0, 1]",
    "evolution.points=4",
    "evolution.sigma=0.6",
    "evolution.threads=1",
    "retrieval.size=200",
    f"business.window={WINDOW}",
    f"business.max_displacement={MOST}",
]


@dataclass(frozen=True)
class Evolved:
    folder: Path
    models: Path
    root: Path
    judgments: Path
    report: EvolveReport

    def config(self, *overrides: str) -> Config:
        places = [f'models.root="{self.models}"', f'evolution.root="{self.root}"']
        given = [*places, *SMALL, *overrides]
        return next(iter(load_config(self.folder / "cascade.toml", given).values()))

    def card(self, version: int) -> dict:
        return json.loads((self.models / "shop-policy" / str(version) / CARD).read_text())


@pytest.fixture(scope="module")
def evolved(demo_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evolved")
    shutil.copytree(demo_folder / "ltr_models", folder / "models")
    lines = (demo_folder / "shop" / "judgments.tsv").read_text().splitlines(keepends=True)
    judgments = folder / "judgments.tsv"
    judgments.write_text(lines[0] + "".join(x for x in lines[1:] if x < "q00120"))
    made = Evolved(demo_folder, folder / "models", folder / "evolution", judgments, None)
    return replace(made, report=evolve(made.config(), judgments))


@pytest.fixture(scope="module")
def cups(tmp_path_factory):
    return write_policy_shop(tmp_path_factory.mktemp("cups"))


def bundles(config):
    return sorted(p.name for p in Path(config.resolve(config.settings.models.root)).iterdir())


def test_the_first_policy_is_candidate_and_live(evolved):
    report, config = evolved.report, evolved.config()
    assert report.model == "shop-policy/1"
    aliases = registry_of(config).aliases("shop-policy")
    assert (aliases["candidate"], aliases["live"]) == (1, 1)
    assert [seed.seed for seed in report.seeds] == [0, 1]
    best = max(seed.best for seed in report.seeds)
    assert best > report.seeds[0].start
    assert all(seed.best >= seed.start for seed in report.seeds)


def test_the_bundle_holds_what_was_accepted(evolved):
    report, card = evolved.report, evolved.card(1)
    accepted = {p.name: dict(p.preference) for p in report.points if not p.broken}
    assert accepted
    assert card["points"] == accepted
    named = {name for point in report.front.points for name in point.names}
    assert {p.name for p in report.points} == named
    assert card["bounds"] == {
        "window": WINDOW,
        "max_displacement": MOST,
        "max_loss": 0.02,
        "guard_top": 10,
    }
    assert card["objectives"] == ["relevance", "revenue", "new_sellers", "stock"]
    gains = card["gain"]["gains"]
    assert gains == sorted(gains)
    assert gains[-1] > gains[0]


def test_the_manifest_says_what_it_was_made_from(evolved):
    config = evolved.config()
    manifest = registry_of(config).load("shop-policy@candidate").manifest
    assert manifest.kind == "policy"
    assert set(manifest.data["models"]) == {"linear", "trees"}
    assert manifest.data["requests"] == evolved.report.requests
    lines = evolved.judgments.read_text().splitlines()[1:]
    texts = {line.split("\t")[1] for line in lines}
    of_part = {"train": set(), "validation": set(), "test": set()}
    for text in texts:
        of_part[part_of(text, config.settings.split)].add(text_digest(text))
    seen = set(manifest.trained_queries)
    assert seen.isdisjoint(of_part["test"])
    assert len(seen) == evolved.report.requests["train"] + evolved.report.requests["validation"]
    assert seen <= of_part["train"] | of_part["validation"]


def test_what_a_point_was_accepted_for_is_what_serving_measures(evolved):
    for point in evolved.report.points:
        kept = point.measures["nDCG@10"] >= 0.99 * point.base["nDCG@10"]
        kept &= point.measures["nDCG@3"] >= 0.97 * point.base["nDCG@3"]
        kept &= point.measures["MRR"] >= 0.97 * point.base["MRR"]
        assert kept == (not point.broken)
        lost = 1 - point.measures["nDCG@10"] / point.base["nDCG@10"]
        assert point.graded_loss == pytest.approx(lost)
        assert point.surrogate_loss <= 0.02
    assert any(
        p.measures["mean(revenue)@10"] != p.base["mean(revenue)@10"] for p in evolved.report.points
    )


def served(cascade, texts, preference=None):
    found = []
    for text in texts:
        query = Query(text, text)
        asked = query if preference is None else replace(query, preference=preference)
        found.append(cascade.ranked(asked))
    return found


def same(one, other):
    assert list(one.candidates.ids()) == list(other.candidates.ids())
    np.testing.assert_array_equal(one.candidates.scores, other.candidates.scores)


def test_served_it_reorders_within_its_bounds_and_only_when_asked(evolved):
    card = evolved.card(1)
    name, shares = next(iter(card["points"].items()))
    lines = evolved.judgments.read_text().splitlines()[1:]
    texts = list(dict.fromkeys(line.split("\t")[1] for line in lines))[:25]
    learned = 'business.model="shop-policy"'
    ways = {
        "plain": unhurried(open_cascade(evolved.config())),
        "asked": unhurried(open_cascade(evolved.config(learned))),
        "default": unhurried(
            open_cascade(evolved.config(learned, f'business.preference="{name}"'))
        ),
    }
    with closing(ways["plain"].engine), closing(ways["asked"].engine):
        plain = served(ways["plain"], texts)
        for before, now in zip(plain, served(ways["asked"], texts), strict=True):
            same(before, now)
        named = served(ways["asked"], texts, name)
        spelled = served(ways["asked"], texts, shares)
        usual = served(ways["default"], texts)
        for one, two, three in zip(named, spelled, usual, strict=True):
            same(one, two)
            same(one, three)
    ways["default"].engine.close()
    changed = 0
    for before, now in zip(plain, named, strict=True):
        trace = now.business
        old, new = before.candidates, now.candidates
        assert sorted(old.ids()) == sorted(new.ids())
        assert new.ids()[WINDOW:] == old.ids()[WINDOW:]
        carried = trace.blended - np.arange(len(trace.blended))
        assert np.abs(carried).max(initial=0) <= MOST
        assert trace.reason == ""
        changed += list(old.ids()) != list(new.ids())
        # The surrogate DCG of the first 10, from the knots of the card.
        window = trace.incoming.head(WINDOW)
        scores = relevance_scores(window).astype(np.float64)
        gains = np.interp(scores, card["gain"]["scores"], card["gain"]["gains"])
        discounts = 1 / np.log2(2 + np.arange(min(10, len(gains))))
        dcg = (gains[:10] * discounts).sum()
        after = (gains[trace.blended[: len(gains)]][:10] * discounts).sum()
        assert after >= (1 - 0.02) * dcg - 1e-9
        if dcg > 0:
            assert trace.loss == pytest.approx(1 - after / dcg, abs=1e-9)
    assert changed


def test_a_second_policy_does_not_become_live_and_points_that_are_broken_are_not_written(evolved):
    moved = sorted({point.moved for point in evolved.report.points})
    assert len(moved) > 1
    limit = (moved[0] + moved[-1]) / 2
    again = evolve(evolved.config(f"evolution.moved={limit}"), evolved.judgments)
    assert again.model == "shop-policy/2"
    aliases = registry_of(evolved.config()).aliases("shop-policy")
    assert (aliases["candidate"], aliases["live"]) == (2, 1)
    first, second = evolved.card(1), evolved.card(2)
    assert second["weights"] == first["weights"]
    far = {p.name for p in again.points if p.moved > limit}
    assert far
    told = {p.name: " ".join(p.broken) for p in again.points}
    assert all("share of rows moved by more than 10 ranks" in told[name] for name in far)
    assert set(second["points"]) == set(first["points"]) - far


def test_front_of_a_saved_policy_is_that_of_its_search(evolved):
    label, front = front_of_policy(evolved.config(), evolved.judgments, "live")
    assert label == "shop-policy/1"
    assert front.points == evolved.report.front.points
    assert front.hypervolume == evolved.report.front.hypervolume


def test_a_report_sets_it_beside_what_costs_no_search(evolved):
    report = report_policy(evolved.config(), evolved.judgments, "live")
    assert report.model == "shop-policy/1"
    assert report.requests == evolved.report.requests["test"]
    systems = {system.name: system for system in report.systems}
    assert next(iter(systems)) == "identity"
    assert list(systems)[-1] == "evolution"
    kinds = ("fixed blend", "grid", "random", "LambdaMART")
    assert all(any(k in name for name in systems) for k in kinds), list(systems)
    best = max(report.systems, key=lambda system: system.goal)
    assert systems[report.winner].goal == best.goal
    # 2 seeds of 6 generations of 16 children, each of every training request.
    assert systems["evolution"].orders == 2 * 6 * 16 * evolved.report.requests["train"]
    # Trees have a budget of their own, more than so small a search.
    for name in ("grid of blends", "random search"):
        assert 0 < systems[name].orders <= systems["evolution"].orders
    base = evolved.report.points[0].base
    assert systems["identity"].moved == 0
    assert systems["identity"].measures["nDCG@10"] == pytest.approx(base["nDCG@10"])
    by_name = {p.name: p for p in evolved.report.points if not p.broken}
    assert {p.name: p.measures for p in report.points} == {
        name: p.measures for name, p in by_name.items()
    }


# The shop of cups: refusals.


def refused(cups, kind, *overrides):
    path, judgments = cups
    config = settled(path, *overrides)
    before = bundles(config)
    with pytest.raises(kind) as caught:
        evolve(config, judgments)
    assert bundles(config) == before
    return str(caught.value)


def test_acceptance_that_no_preference_keeps(cups):
    bound = 'evolution.acceptance={"nDCG@10" = ">= 1.5 of base"}'
    told = refused(cups, RefusedError, bound)
    assert "none of 15 preferences keeps evolution.acceptance on validation" in told


def test_acceptance_that_held_out_requests_do_not_keep(cups):
    bound = 'evolution.acceptance={"nDCG@10" = ">= 1.5 of base"}'
    told = refused(cups, RefusedError, bound, 'evolution.fitness={raised="nDCG@10"}')
    assert "no operating point is accepted on 22 held-out requests" in told
    assert "balanced: nDCG@10 >= 1.5 of base" in told


FLAT = 'evolution.fitness={measures={"recall@10" = 1.0, "mean(price)@3" = 0.1}}'
PRICED = 'evolution.columns={dear="price"}'


def test_a_fitness_that_says_too_little_is_refused_unless_it_is_allowed(cups, tmp_path):
    told = refused(cups, RefusedError, FLAT, PRICED)
    assert "allow = [flat-relevance]" in told
    path, judgments = cups
    shutil.copytree(path.parent / "models", tmp_path / "models")
    allowed = settled(
        path,
        FLAT,
        PRICED,
        'evolution.allow=["flat-relevance"]',
        "evolution.acceptance={}",
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
        (['evolution.fitness={raised="mean(prise)@3"}'], RefusedError, "no column 'prise'"),
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
    ],
)
def test_what_is_wrong_is_told_before_anything_is_searched(cups, tmp_path, overrides, kind, said):
    root = tmp_path / "evolution"
    told = refused(cups, kind, f'evolution.root="{root}"', *overrides)
    assert said in told
    assert not root.exists()


def test_lint_without_judgments_reads_no_index(cups):
    path, judgments = cups
    config = settled(path, FLAT, PRICED, 'index.store="nowhere"')
    assert [f.code for f in lint_config(config, None)] == ["flat-relevance"]
    assert lint_config(settled(path), judgments) == ()
    with_columns = lint_config(settled(path, FLAT), judgments)
    assert "no-column" in {f.code for f in with_columns}


def test_no_policy_to_show(cups, tmp_path):
    path, judgments = cups
    with pytest.raises(NotFoundError, match="no model 'other'"):
        front_of_policy(settled(path, 'business.model="other"'), judgments, "candidate")


def test_a_search_is_another_where_its_rows_are(cups, tmp_path):
    path, judgments = cups
    root = tmp_path / "evolution"
    at = f'evolution.root="{root}"'
    short = ("evolution.generations=1", "evolution.points=2")
    shutil.copytree(path.parent / "models", tmp_path / "models")

    def folders(*overrides):
        evolve(settled(path, at, *short, *overrides, models=tmp_path / "models"), judgments)
        return {p.name for p in (root / "plain-search").iterdir()}

    first = folders()
    assert len(first) == 1
    # What is done with what was found is no part of the search, and a further seed is one more.
    other = ('evolution.acceptance={"nDCG@10" = ">= 0.5 of base"}', "evolution.moved=0.9")
    assert folders(*other, "evolution.points=3", "evolution.seeds=[0, 1, 2]") == first
    assert {p.name for p in (root / "plain-search" / next(iter(first))).iterdir()} == {
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
        PRICED,
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
