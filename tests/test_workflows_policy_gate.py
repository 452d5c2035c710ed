"""A policy becomes live by the gate: whole, of these inputs, accepted over the models beside it."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from cascade.business import build_business
from cascade.business.build import build_shape
from cascade.business.learned import Bounds
from cascade.config import load_config, registry_of, schema_of
from cascade.errors import ConfigError, NotFoundError
from cascade.training.policy_onnx import TrainedPolicy, save_policy
from cascade.workflows.market import objectives_of, without_policy
from cascade.workflows.promote import promote_config, rollback_config

NAME = "shop-policy"
POINTS = {"balanced": {"relevance": 0.5, "revenue": 0.5}}


@pytest.fixture
def config(demo_folder, tmp_path):
    shutil.copytree(demo_folder / "ltr_models", tmp_path / "models")
    given = (f'models.root="{tmp_path / "models"}"', f'business.model="{NAME}"')
    return next(iter(load_config(demo_folder / "cascade.toml", given).values()))


def stage_labels(config):
    registry = registry_of(config)
    named = [config.settings.model_name(stage) for stage in config.settings.stages]
    return {name: f"{name}/{registry.aliases(name)['live']}" for name in named}


def saved(config, points=POINTS, models=None, promote=False):
    """Write a policy as a search would, whose scale is drawn as well."""
    _, raw = without_policy(config)
    schema = schema_of(config)
    inputs, shape = build_shape(raw, schema)
    random = np.random.default_rng(5)
    policy = TrainedPolicy(
        shape=shape,
        weights=random.standard_normal(shape.size),
        inputs=inputs,
        objectives=objectives_of(build_business(raw, schema)),
        bounds=Bounds(window=100, max_displacement=20, max_loss=0.02),
        points=points,
        data={"models": stage_labels(config) if models is None else models},
    )
    rows = random.standard_normal((300, len(inputs.names) + 1)).astype(np.float32)
    return save_policy(registry_of(config), NAME, policy, rows[:, 0], rows[:, 1:], promote=promote)


def judged(demo_folder):
    return demo_folder / "shop" / "judgments.tsv"


def lines(promotion):
    return {check.line: check.passed for check in promotion.checks}


def test_an_accepted_policy_becomes_live_and_goes_back(config, demo_folder):
    saved(config, promote=True)
    saved(config)
    promotion = promote_config(config, [NAME], judged(demo_folder))
    assert promotion.action == "promoted"
    assert lines(promotion) == dict.fromkeys(
        ["checksum", "fingerprint", "acceptance", "models"], True
    )
    registry = registry_of(config)
    assert registry.aliases(NAME) == {"live": 2, "previous": 1}
    stage = config.settings.model_name(config.settings.stages[0])
    registry.point(stage, "previous", 1)
    other = config.settings.model_name(config.settings.stages[1])
    registry.point(other, "previous", 1)
    assert rollback_config(config)[NAME] == (2, 1)


def test_a_policy_accepted_over_other_models_is_refused(config, demo_folder):
    saved(config, promote=True)
    saved(config, models={"trees": "shop-trees/99"})
    promotion = promote_config(config, [NAME], judged(demo_folder))
    assert promotion.action == "refused"
    (failed,) = promotion.failed
    assert failed.line == "models"
    assert "shop-trees/99" in failed.detail
    assert registry_of(config).aliases(NAME) == {"live": 1, "candidate": 2}


def test_a_policy_without_an_accepted_point_is_refused(config, demo_folder):
    saved(config, promote=True)
    saved(config, points={})
    promotion = promote_config(config, [NAME], judged(demo_folder))
    assert [check.line for check in promotion.failed] == ["acceptance"]


def test_a_damaged_policy_is_refused(config, demo_folder):
    saved(config, promote=True)
    card = saved(config).path / "policy.json"
    card.write_text(json.dumps({**json.loads(card.read_text()), "hidden": 3}))
    promotion = promote_config(config, [NAME], judged(demo_folder))
    assert [check.line for check in promotion.failed] == ["checksum"]


def test_a_policy_of_other_objectives_is_refused(config, demo_folder, tmp_path):
    saved(config, promote=True)
    saved(config)
    changed = (
        f'models.root="{tmp_path / "models"}"',
        f'business.model="{NAME}"',
        "business.objectives.1.days=30",
    )
    other = next(iter(load_config(demo_folder / "cascade.toml", changed).values()))
    promotion = promote_config(other, [NAME], judged(demo_folder))
    (failed,) = promotion.failed
    assert failed.line == "fingerprint"
    assert "days" in failed.detail


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("business.max_displacement=21", "is 21; accepted is at most 20"),
        ('business.preference="growth"', "'growth' is no operating point"),
    ],
)
def test_a_policy_that_a_service_could_not_open_is_refused(
    config, demo_folder, tmp_path, setting, told
):
    saved(config, promote=True)
    saved(config)
    given = (f'models.root="{tmp_path / "models"}"', f'business.model="{NAME}"', setting)
    other = next(iter(load_config(demo_folder / "cascade.toml", given).values()))
    (failed,) = promote_config(other, [NAME], judged(demo_folder)).failed
    assert failed.line == "settings"
    assert told in failed.detail


def test_there_is_no_way_back_to_a_policy_that_a_service_could_not_open(
    config, demo_folder, tmp_path
):
    saved(config, points={"other": POINTS["balanced"]}, promote=True)
    saved(config)
    assert promote_config(config, [NAME], judged(demo_folder)).action == "promoted"
    given = (
        f'models.root="{tmp_path / "models"}"',
        f'business.model="{NAME}"',
        'business.preference="balanced"',
    )
    asking = next(iter(load_config(demo_folder / "cascade.toml", given).values()))
    with pytest.raises(ConfigError, match="'balanced' is no operating point; accepted: other"):
        rollback_config(asking)
    assert registry_of(config).aliases(NAME) == {"live": 2, "previous": 1}


@pytest.mark.parametrize("asked", [NAME, f"{NAME}@2"])
def test_a_policy_that_the_configuration_does_not_name(config, demo_folder, asked):
    saved(config, promote=True)
    saved(config)
    plain = config.settings.model_copy(
        update={"business": {k: v for k, v in config.settings.business.items() if k != "model"}}
    )
    hint = rf"'{NAME}' is a policy, and business.model is not set: set .* model = \"{NAME}\""
    with pytest.raises(NotFoundError, match=hint):
        promote_config(replace(config, settings=plain), [asked], judged(demo_folder))
    pinned = config.settings.model_copy(
        update={"business": {**config.settings.business, "model": f"{NAME}@1"}}
    )
    with pytest.raises(NotFoundError, match=rf"business.model is '{NAME}@1'"):
        promote_config(replace(config, settings=pinned), [asked], judged(demo_folder))
    stage = config.settings.model_name(config.settings.stages[0])
    with pytest.raises(NotFoundError, match=r"is no stage or model of 'shop'"):
        promote_config(config, [f"{stage}s"], judged(demo_folder))


def test_a_policy_that_was_never_evolved_is_told(config, demo_folder):
    with pytest.raises(NotFoundError, match="cascade business evolve"):
        promote_config(config, [NAME], judged(demo_folder))
