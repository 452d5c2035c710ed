"""A learned policy as it serves: from the registry, over the objectives of a configuration."""

import json
import time
from contextlib import closing
from dataclasses import replace

import memory_policy
import numpy as np
import pytest

from cascade.business import Business, build_business
from cascade.business.bounds import bounded_order
from cascade.business.build import build_shape
from cascade.business.guard import Guard
from cascade.business.inputs import relevance_scores
from cascade.business.learned import (
    CARD,
    Bounds,
    LearnedPolicy,
    PolicyBundle,
    preference_shares,
    read_card,
)
from cascade.business.objectives import Revenue
from cascade.candidates import Query, concatenated
from cascade.config import business_of, load_config, open_cascade, registry_of, schema_of
from cascade.config.settings import CascadeSettings, Config, ServiceSettings
from cascade.config.wire import policy_reference
from cascade.errors import (
    ChecksumError,
    ConfigError,
    FingerprintError,
    NotFoundError,
    QueryError,
    RankerError,
)
from cascade.protocols import NEVER
from cascade.registry import CANDIDATE, Registry
from cascade.service import Metrics, Service, Switch, live_models
from cascade.service.bodies import SearchBody
from cascade.training.policy_onnx import TrainedPolicy, policy_to_onnx, save_policy
from tests.small_shop import DOCUMENTS, write_shop

SCHEMA = memory_policy.DOCUMENTS.schema
TABLE = """
[models]
root = "{root}"
[business]
model = "cups-policy"
window = 60
max_displacement = 60
max_loss = 1.0
[[business.objectives]]
name = "revenue"
kind = "revenue"
price = "price"
"""
CUPS = {"objectives": [{"name": "revenue", "kind": "revenue", "price": "price"}]}
BY_PRICE = {"revenue": 1.0}


def bundle_of(policy):
    model = policy_to_onnx(policy.shape, policy.weights)
    return PolicyBundle.of("shop-policy/1", model, {CARD: policy.card().written()})


def business(trained=None, **changes):
    raw = {**memory_policy.BUSINESS, "model": "shop-policy", **changes}
    learned = bundle_of(memory_policy.trained() if trained is None else trained)
    return build_business(raw, SCHEMA, learned=learned)


class TestShares:
    def test_what_is_left_to_1_is_relevances(self):
        names = ("relevance", "revenue", "new")
        assert preference_shares({"revenue": 0.25}, names).tolist() == [0.75, 0.25, 0]
        given = {"relevance": 0.25, "revenue": 0.25}
        assert preference_shares(given, names).tolist() == [0.75, 0.25, 0]
        assert preference_shares({"revenue": 3, "new": 1}, names).tolist() == [0, 0.75, 0.25]

    def test_without_relevance_shares_are_divided_by_their_sum(self):
        assert preference_shares({"a": 0.1}, ("a", "b")).tolist() == [1, 0]
        assert preference_shares({}, ("a", "b")).tolist() == [0.5, 0.5]


class TestPolicy:
    @pytest.mark.parametrize("hidden", [0, 6])
    def test_it_serves_what_training_computes(self, hidden):
        trained = memory_policy.trained(hidden)
        policy = business(trained).policy
        assert isinstance(policy, LearnedPolicy)
        assert policy.names == ("relevance", "revenue", "new")
        batch = memory_policy.listing(range(60))
        found = policy.utilities(batch, {"revenue": 0.5, "new": 0.25})
        shares = np.tile(np.array([0.25, 0.5, 0.25], dtype=np.float32), (60, 1))
        wanted = trained.shape.utilities(
            trained.weights[None, :], relevance_scores(batch), trained.inputs.matrix(batch), shares
        )
        assert found == pytest.approx(wanted[:, 0], abs=1e-5)
        assert found.dtype == np.float32

    def test_many_listings_are_as_each_alone(self):
        policy = business().policy
        parts = [memory_policy.listing(rows) for rows in (range(30), [5, 3], [], [59, -1, 2])]
        together = policy.utilities(concatenated(parts), {"new": 0.5})
        alone = [policy.utilities(part, {"new": 0.5}) for part in parts]
        assert together.tolist() == np.concatenate(alone).tolist()

    @pytest.mark.parametrize(
        "count", [50, pytest.param(10_000, marks=pytest.mark.full)], ids=["some", "all"]
    )
    def test_identity_weights_give_the_order_bit_for_bit(self, count):
        layer = business(memory_policy.trained(scale=0.0))
        rng = np.random.default_rng(0)
        for _ in range(count):
            batch = memory_policy.listing(rng.integers(0, 60, 60), preference="growth")
            batch = batch.with_scores(np.round(rng.standard_normal(60), 1).astype(np.float32))
            out, trace = layer.rerank(batch)
            assert out is batch
            assert trace.utilities.tobytes() == relevance_scores(batch.head(50)).tobytes()
            assert (trace.loss, trace.strength) == (0.0, 1.0)

    def test_a_policy_is_told_by_its_bundle(self):
        one, same = business(), business()
        assert one == same
        assert repr(one) == repr(same)
        assert "shop-policy/1" in repr(one)
        assert "0x" not in repr(one)

    def test_an_explanation_names_the_inputs(self):
        layer = business()
        _, trace = layer.rerank(memory_policy.listing(range(20), preference={"new": 1.0}))
        told = layer.explain(trace, "d3")
        assert list(told.objectives) == [
            "relevance",
            "score",
            "z(price)",
            "head(p_buy)",
            "revenue",
            "new",
        ]
        assert told.utility == float(trace.utilities[3])


class TestBounds:
    def test_those_of_the_bundle_hold_where_the_table_has_none(self):
        layer = business()
        gain = memory_policy.trained().gain
        assert (layer.window, layer.max_displacement) == (50, 12)
        assert layer.guard == Guard(0.1, 5, gain)
        other = business(window=9, max_loss=0.05, guard_gain="p_buy")
        assert (other.window, other.max_displacement) == (9, 12)
        assert other.guard == Guard(0.05, 5, replace(gain, head="p_buy"))

    @pytest.mark.parametrize(
        ("key", "value", "accepted"),
        [
            ("window", 51, "is 51; accepted is at most 50"),
            ("max_displacement", 13, "is 13; accepted is at most 12"),
            ("max_loss", 0.2, "is 0.2; accepted is at most 0.1"),
            ("guard_top", 4, "is 4; accepted is 5"),
            ("guard_top", 6, "is 6; accepted is 5"),
        ],
    )
    def test_a_table_may_not_loosen_them(self, key, value, accepted):
        with pytest.raises(ConfigError) as caught:
            business(**{key: value})
        assert caught.value.problems == (
            f"business.{key}: {accepted}, the bound that shop-policy/1 was accepted with; for "
            "another evolve a policy anew",
        )

    def test_a_policy_without_a_guard_may_be_given_one(self):
        unbound = memory_policy.trained(bounds=Bounds(window=50, max_displacement=12))
        assert business(unbound).guard is None
        gain = memory_policy.trained().gain
        assert business(unbound, max_loss=0.3, guard_top=3).guard == Guard(0.3, 3, gain)

    def test_they_hold_on_every_listing(self):
        layer, rng = business(memory_policy.trained(scale=20.0)), np.random.default_rng(1)
        held_back = 0
        for _ in range(40):
            batch = memory_policy.listing(rng.permutation(60), preference="balanced")
            _, trace = layer.rerank(batch)
            assert trace.loss <= 0.1
            assert np.abs(trace.blended - np.arange(60)).max() <= 12
            assert bounded_order(trace.utilities, 12).tolist() == trace.blended[:50].tolist()
            held_back += trace.strength < 1
        assert held_back > 0


class TestPreference:
    def test_a_point_by_name(self):
        layer = business()
        asked = layer.preference(Query("1", "q", preference="balanced"))
        assert asked == memory_policy.POINTS["balanced"]
        named, _ = layer.rerank(memory_policy.listing(range(40), preference="growth"))
        given, _ = layer.rerank(memory_policy.listing(range(40), preference={"new": 1.0}))
        assert named.rows.tolist() == given.rows.tolist()

    def test_an_unknown_point(self):
        with pytest.raises(QueryError) as caught:
            business().preference(Query("1", "q", preference="grow"))
        assert str(caught.value) == (
            "preference: 'grow' is no operating point; did you mean 'growth'? "
            "accepted: balanced, growth"
        )
        with pytest.raises(QueryError, match="is no operating point; none is defined"):
            Business().preference(Query("1", "q", preference="growth"))

    def test_a_point_as_the_default(self):
        layer = business(preference="balanced")
        assert layer.default_preference == memory_policy.POINTS["balanced"]
        with pytest.raises(ConfigError, match=r"business\.preference: 'growht' is no operating"):
            business(preference="growht")
        raw = {**memory_policy.BUSINESS, "preference": "growth"}
        with pytest.raises(ConfigError, match="none is defined"):
            build_business(raw, SCHEMA)


class TestFingerprint:
    def test_another_setting_of_an_objective(self):
        changed = [memory_policy.BUSINESS["objectives"][0]]
        changed += [{**memory_policy.BUSINESS["objectives"][1], "days": 60}]
        with pytest.raises(FingerprintError) as caught:
            business(objectives=changed, policy={})
        assert "'new' had days = 30.0, here it is 60.0" in str(caught.value)

    def test_an_objective_that_is_not_declared(self):
        with pytest.raises(FingerprintError, match="'new' is no input"):
            business(objectives=memory_policy.BUSINESS["objectives"][:1], policy={})

    def test_a_bundle_of_a_ranker(self):
        with pytest.raises(FingerprintError, match=r"shoes/3 is no policy"):
            PolicyBundle.of("shoes/3", b"", {})

    @pytest.mark.parametrize(
        "content", [b"{", b"{}", b'{"format": 2}', b'{"format": 1, "bounds": {}}', b"[]"]
    )
    def test_a_card_that_cannot_be_read(self, content):
        with pytest.raises(ChecksumError, match=r"policy.json of shop-policy/1 cannot be read"):
            read_card(content, "shop-policy/1")

    def test_a_graph_of_another_form(self):
        made = bundle_of(memory_policy.trained())
        with pytest.raises(RankerError, match="ONNX Runtime cannot load the policy"):
            replace(made, model=b"none").policy(memory_policy.OBJECTIVES, SCHEMA)


class TestConfigured:
    @pytest.fixture
    def config(self, tmp_path):
        table = {**memory_policy.BUSINESS, "model": "shop-policy", "preference": "growth"}
        return Config(CascadeSettings(business=table), tmp_path / "cascade.toml")

    @pytest.fixture
    def registry(self, config):
        found = Registry(config.resolve(config.settings.models.root))
        for seed in (3, 4):
            save_policy(found, "shop-policy", memory_policy.trained(seed=seed), *self.rows)
        return found

    rows = memory_policy.rows()

    def test_the_model_that_serves(self, config, registry):
        assert registry.aliases("shop-policy") == {CANDIDATE: 2, "live": 1}
        layer = business_of(config, SCHEMA, "live")
        assert layer.model == "shop-policy/1"
        assert layer.default_preference == {"new": 1.0}
        assert business_of(config, SCHEMA, "candidate").model == "shop-policy/2"
        assert policy_reference(config) == "shop-policy@1"

    def test_without_models_the_table_alone_is_checked(self, config):
        layer = business_of(config, SCHEMA)
        assert (layer.model, layer.policy.names) == ("", ("revenue", "new"))

    def test_a_model_that_was_not_made(self, config):
        with pytest.raises(NotFoundError, match="there is no model 'shop-policy'"):
            business_of(config, SCHEMA, "live")

    def test_a_damaged_model(self, config, registry):
        path = registry.root / "shop-policy" / "1" / CARD
        path.write_bytes(path.read_bytes() + b" ")
        with pytest.raises(ChecksumError, match=r"policy\.json"):
            business_of(config, SCHEMA, "live")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return write_shop(tmp_path_factory.mktemp("cups"))


class TestServed:
    """The whole way: a bundle in the registry, a table in a file, a request by name."""

    @pytest.fixture
    def config(self, shop, tmp_path):
        path = shop.with_name(f"{tmp_path.name}.toml")
        path.write_text(shop.read_text() + TABLE.format(root=tmp_path / "models"))
        return load_config(path)["plain"]

    def saved(self, config, scale):
        """Save a policy that, asked for revenue, puts the dearest first if the scale is large."""
        inputs, shape = build_shape(CUPS, schema_of(config))
        weights = np.zeros(shape.size)
        weights[0] = scale
        shape.parts(weights)["W"][2, 1] = 1.0
        policy = TrainedPolicy(
            shape=shape,
            weights=weights,
            inputs=inputs,
            objectives=(Revenue(name="revenue", price="price"),),
            bounds=Bounds(window=60, max_displacement=60),
            points={"dear": BY_PRICE},
        )
        rng = np.random.default_rng(0)
        rows = rng.standard_normal((300, 4)).astype(np.float32)
        return save_policy(registry_of(config), "cups-policy", policy, rows[:, 0], rows[:, 1:])

    def test_a_request_names_a_point(self, config):
        self.saved(config, 100.0)
        service = Service(
            Switch({"plain": open_cascade(config)}), ServiceSettings(), time.time, Metrics()
        )

        def ids(**asked):
            body = SearchBody(text="cup", size=5, **asked)
            return [row["id"] for row in json.loads(service.search(body, NEVER).body)["items"]]

        plain = ids()
        assert plain == ["d000", "d001", "d002", "d003", "d004"]
        retrieved = sorted(DOCUMENTS[:60], key=lambda d: -d["price"])
        assert ids(preference="dear") == [d["id"] for d in retrieved[:5]]
        assert ids(preference=BY_PRICE) == ids(preference="dear")
        with pytest.raises(QueryError, match="'deer' is no operating point; did you mean 'dear'"):
            ids(preference="deer")

    def test_the_trace_says_what_the_guard_held_back(self, config):
        self.saved(config, 100.0)
        raw = {**config.settings.business, "max_loss": 0.0}
        bound = replace(config, settings=config.settings.model_copy(update={"business": raw}))
        cascade = open_cascade(bound)
        with closing(cascade.engine):
            # One cup has the second word as well: no other has its gain, and it stays first.
            page = cascade.search(Query("1", "cup w11", preference="dear"))
        last = page.trace.stages[-1]
        assert (last.name, last.outcome) == ("business", "ran")
        assert last.reason.startswith("guard: strength 0.1")
        assert last.reason.endswith("of 0.0000 allowed")
        assert page.items[0].id == "d011"

    def test_a_promotion_is_what_the_service_picks_up(self, config):
        self.saved(config, 0.0)
        self.saved(config, 100.0)
        assert live_models({"plain": config}) == {"plain": {"business": "cups-policy/1"}}
        registry_of(config).promote({"cups-policy": 2}, {"cups-policy": 1})
        assert live_models({"plain": config}) == {"plain": {"business": "cups-policy/2"}}
        cascade = open_cascade(config)
        with closing(cascade.engine):
            assert cascade.models == {"business": "cups-policy/2"}
