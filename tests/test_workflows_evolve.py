"""Evolving a policy: a bundle with accepted points, refusals, what it does served, the report."""

import json
import shutil
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from cascade.business.inputs import relevance_scores
from cascade.business.learned import CARD
from cascade.candidates import Query
from cascade.config import Config, load_config, open_cascade, registry_of
from cascade.errors import NotFoundError, RefusedError
from cascade.registry import text_digest
from cascade.workflows.evolve import EvolveReport, evolve, front_of_policy
from cascade.workflows.policy_report import report_policy
from cascade.workflows.runs import unhurried
from cascade.workflows.split import part_of
from tests.policy_shop import settled, write_policy_shop

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


def test_the_base_of_each_part_is_told_and_kept(evolved):
    config, base = evolved.config(), evolved.report.base
    registry = registry_of(config)
    manifest = registry.load("shop-policy@candidate").manifest
    assert manifest.data["base"] == {part: asdict(at) for part, at in base.items()}
    assert list(base) == ["train", "validation", "test"]
    # The stages of the demo were trained by the same split: on all but the test part.
    assert [base[part].trained for part in base] == [
        evolved.report.requests["train"],
        evolved.report.requests["validation"],
        0,
    ]
    assert base["test"].measures == pytest.approx(dict(evolved.report.points[0].base))
    assert base["train"].measures["nDCG@10"] != base["test"].measures["nDCG@10"]


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
    # What the search measured stands in the manifest; settings since then make no difference.
    since = evolved.config("evolution.generations=50", "evolution.seeds=[0]")
    report = report_policy(since, evolved.judgments, "live")
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
    # Trees are fitted by gradients, which is another budget: 6 labels of 100 trees.
    trees = systems["LambdaMART on a blended label"]
    assert (trees.orders, trees.gradients) == (0, 6 * 100 * evolved.report.requests["train"])
    assert all(system.gradients == 0 for system in report.systems if system is not trees)
    for name in ("grid of blends", "random search"):
        assert 0 < systems[name].orders <= systems["evolution"].orders
    assert report.undefined["mean(revenue)@10"] == 0
    assert report.undefined["nDCG@10"] == report.undefined["MRR"]
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


HIGH = (
    'evolution.acceptance={"nDCG@10" = ">= 1.5 of base"}',
    'evolution.allow=["unmet-bound", "no-relevance"]',
)
DEAR = ('evolution.fitness={raised="mean(price)@10"}', "evolution.generations=10")


def test_acceptance_that_no_preference_keeps(cups):
    told = refused(cups, RefusedError, "evolution.sigma=2.0", *HIGH)
    assert "none of 15 preferences keeps evolution.acceptance on validation" in told


def test_acceptance_that_held_out_requests_do_not_keep(cups):
    told = refused(cups, RefusedError, "evolution.sigma=2.0", *HIGH, *DEAR)
    assert "no operating point is accepted on 22 held-out requests" in told
    assert "balanced: nDCG@10 >= 1.5 of base" in told


def test_a_search_that_finds_nothing_better_writes_nothing(cups):
    # Steps so small that no row changes its place.
    told = refused(cups, RefusedError, "evolution.sigma=1e-9", "evolution.generations=2")
    assert "no seed of 2 found weights that validation likes better than the order of" in told
    assert "evolution.generations" in told


def test_no_policy_to_show(cups, tmp_path):
    path, judgments = cups
    with pytest.raises(NotFoundError, match="no model 'other'"):
        front_of_policy(settled(path, 'business.model="other"'), judgments, "candidate")
