"""Boosted trees and features as Solr's learning-to-rank module takes them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

PACKAGE = "org.apache.solr.ltr"
MISSING = -1e30
"""What stands for a missing value: lower than every split, so it goes left everywhere."""
SLACK = np.float32(1e-6)
"""What Solr adds to every threshold that it is given."""


def missing_left(raw: bytes) -> bytes:
    """Return a booster's JSON in which missing values go left, as `MISSING` does."""
    booster = json.loads(raw)
    for tree in booster["learner"]["gradient_booster"]["model"]["trees"]:
        tree["default_left"] = [1] * len(tree["default_left"])
    return json.dumps(booster).encode()


def additive_trees(raw: bytes, names: Sequence[str]) -> dict[str, Any]:
    """Return the parameters of a MultipleAdditiveTreesModel that gives the booster's scores.

    Both add float32 numbers tree by tree, from `base_score` on, so the sums are equal bit for bit.

    Args:
        raw: What `Booster.save_raw("json")` returns; its missing values go left.
        names: The features, in the booster's order.
    """
    learner = json.loads(raw)["learner"]
    given = json.loads(learner["learner_model_param"]["base_score"])
    base = np.float32(given[0] if isinstance(given, list) else given)
    trees = learner["gradient_booster"]["model"]["trees"]
    roots = [{"value": str(base)}, *(_node(tree, 0, names) for tree in trees)]
    return {"trees": [{"weight": "1", "root": root} for root in roots]}


def _node(tree: Mapping[str, Any], at: int, names: Sequence[str]) -> dict[str, Any]:
    value = np.float32(tree["split_conditions"][at])
    left, right = tree["left_children"][at], tree["right_children"][at]
    if left < 0:
        return {"value": str(value)}
    return {
        "feature": names[tree["split_indices"][at]],
        "threshold": str(threshold(value)),
        "left": _node(tree, left, names),
        "right": _node(tree, right, names),
    }


def threshold(condition: np.float32) -> np.float32:
    """Return the highest t for which `t + SLACK < condition`.

    `x <= t + SLACK` then says what `x < condition` says, but of the numbers between the two: for
    conditions from 0.001 on float32 has none, and nearer to 0 a gap below 1e-10 may remain.
    """
    found = np.nextafter(condition - SLACK, np.float32(np.inf))
    while found + SLACK >= condition:
        found = np.nextafter(found, np.float32(-np.inf))
    return found


def same_values(numbers: Sequence[str]) -> list[dict[str, Any]]:
    """Return the number fields and the retrieval's score, which are the same here and there."""
    return [*(_field(name, name) for name in numbers), _original("engine_score")]


def stand_ins(
    definitions: Sequence[Mapping[str, Any]], boosts: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Return a field, function or query of Solr for each of our features, the nearest it has.

    Args:
        definitions: Our features.
        boosts: The text fields that are searched.
    """
    return [_stand_in(one, boosts) for one in definitions]


def _stand_in(definition: Mapping[str, Any], boosts: Mapping[str, float]) -> dict[str, Any]:
    kind, name, field = definition["kind"], definition["name"], definition.get("field", "")
    if kind in ("percentile", "number"):
        return _field(name, field)
    if kind in ("engine_score", "engine_rank", "engine_score_ratio"):
        return _original(name)
    if kind.startswith("query_"):
        value = {"value": "${length}", "required": False}
        return {"name": name, "class": f"{PACKAGE}.feature.ValueFeature", "params": value}
    flat = " ".join(boosts)
    weighted = " ".join(f"{text}^{boost}" for text, boost in boosts.items())
    queries = {
        "bm25": f"{{!dismax qf={field} mm=0}}${{words}}",
        "coverage": f"{{!func}}if(exists(query({{!dismax qf={field} mm=0 v='${{words}}'}})),1,0)",
        "any_coverage": f"{{!dismax qf='{flat}' mm='50%' tie=0}}${{words}}",
        "best_field": f"{{!dismax qf='{flat}' mm=0 tie=0}}${{words}}",
        "expression": f"{{!dismax qf='{weighted}' mm=0 tie=1}}${{words}}",
        "missing_idf": f"{{!func}}docfreq({field},'${{last}}')",
        "first_position": f"{{!func}}termfreq({field},'${{first}}')",
        "length": f"{{!func}}termfreq({field},'${{last}}')",
        "keyword_match": f"{{!term f={field}}}${{first}}",
        "keyword_coverage": f"{{!term f={field}}}${{last}}",
        "log": f"{{!func}}log(sum(1,{field}))",
        "age": f"{{!func}}div(ms(NOW,{field}),86400000)",
    }
    queries["idf_coverage"] = queries["coverage"]
    phrase = f"{{!field f={field}}}${{words}}"
    queries |= dict.fromkeys(("ordered_pairs", "phrase", "whole_match"), phrase)
    return {
        "name": name,
        "class": f"{PACKAGE}.feature.SolrFeature",
        "params": {"q": queries[kind]},
    }


def _field(name: str, field: str) -> dict[str, Any]:
    params = {"field": field, "defaultValue": str(MISSING)}
    return {"name": name, "class": f"{PACKAGE}.feature.FieldValueFeature", "params": params}


def _original(name: str) -> dict[str, Any]:
    return {"name": name, "class": f"{PACKAGE}.feature.OriginalScoreFeature", "params": {}}
