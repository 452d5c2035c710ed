"""Aliases: several names switched as one, interrupted switches, and bundles of before."""

import hashlib
import json
import threading
from dataclasses import replace

import pytest

from cascade.errors import ChecksumError, NotFoundError
from cascade.registry import CANDIDATE, LIVE, PREVIOUS, Manifest, Registry
from cascade.registry.aliases import SWITCH, read_aliases
from tests.test_registry import graph, saved

NAMES = ("first", "second")


@pytest.fixture
def registry(tmp_path):
    registry = Registry(tmp_path / "models")
    for name in NAMES:
        for _ in range(3):
            saved(registry, name)
        registry.point(name, LIVE, 1)
    return registry


def live(registry):
    return {name: found.get(LIVE) for name, found in read_aliases(registry.root, NAMES).items()}


def test_a_promotion_switches_all_names_and_a_rollback_brings_all_back(registry):
    registry.point("first", CANDIDATE, 2)
    registry.promote({"first": 2}, {"first": 1, "second": 1})
    assert registry.aliases("first") == {LIVE: 2, PREVIOUS: 1}
    # What did not change is its own predecessor, so that both go back to how they were together.
    assert registry.aliases("second") == {LIVE: 1, PREVIOUS: 1}
    registry.promote({"second": 3}, {"first": 2, "second": 1})
    assert registry.rollback(NAMES) == {"first": (2, 2), "second": (3, 1)}
    assert live(registry) == {"first": 2, "second": 1}


def test_a_name_without_a_previous_version_stops_the_rollback_of_all(registry):
    registry.promote({"first": 2}, {"first": 1})
    with pytest.raises(NotFoundError, match="'second' has no previous"):
        registry.rollback(NAMES)
    assert live(registry) == {"first": 2, "second": 1}


def test_a_switch_that_was_interrupted_is_believed_whole_and_finished(registry):
    """A process that dies after it wrote the switch, or between two names, leaves no mixture."""
    pending = {name: {LIVE: 3, PREVIOUS: 1} for name in NAMES}
    (registry.root / SWITCH).write_text(json.dumps(pending))
    assert live(registry) == {"first": 3, "second": 3}
    (registry.root / "first" / "aliases.json").write_text(json.dumps(pending["first"]))
    assert live(registry) == {"first": 3, "second": 3}
    assert registry.resolved(NAMES) == ["first@3", "second@3"]
    registry.point("first", CANDIDATE, 2)
    assert not (registry.root / SWITCH).exists()
    assert json.loads((registry.root / "second" / "aliases.json").read_text())[LIVE] == 3
    assert live(registry) == {"first": 3, "second": 3}


def test_readers_never_see_half_of_a_switch(registry):
    seen, ended = set(), threading.Event()

    def read():
        while not ended.is_set():
            seen.add(tuple(live(registry).values()))

    reader = threading.Thread(target=read)
    reader.start()
    for at in range(60):
        before, after = (2, 3) if at % 2 else (3, 2)
        registry.promote({n: after for n in NAMES}, {n: before if at else 1 for n in NAMES})
    ended.set()
    reader.join()
    assert seen <= {(1, 1), (2, 2), (3, 3)}


def test_a_bare_name_means_the_candidate_only_where_it_is_asked_for(registry):
    registry.point("first", CANDIDATE, 2)
    assert registry.resolved(NAMES) == ["first@1", "second@1"]
    assert registry.resolved(NAMES, CANDIDATE) == ["first@2", "second@1"]
    assert registry.resolved(["first@live", "first@3"], CANDIDATE) == ["first@1", "first@3"]


def test_a_damaged_switch_is_told(registry):
    (registry.root / SWITCH).write_text("[]")
    with pytest.raises(ChecksumError, match="holds list"):
        registry.aliases("first")


def test_a_bundle_of_a_release_that_knew_fewer_keys_is_read(registry):
    """The digest is of the content as it was written, not of what this release makes of it."""
    path = registry.root / "first" / "1" / "manifest.json"
    content = json.loads(path.read_text())
    del content["digest"], content["files"], content["measures"]
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    path.write_text(json.dumps({**content, "digest": digest}))
    assert registry.load("first@1").manifest.files == {}
    path.write_text(json.dumps({**content, "kind": "trees", "digest": digest}))
    with pytest.raises(ChecksumError, match="was changed"):
        registry.load("first@1")


def test_further_files_are_kept_and_checked(registry):
    manifest = registry.load("first@1").manifest

    def describe(version: int, sha256: str) -> Manifest:
        return replace(manifest, version=version, model_sha256=sha256)

    bundle = registry.save(graph(), describe, "first", {"notes.json": b"{}"})
    assert registry.load("first@4").files == {"notes.json": b"{}"}
    (bundle.path / "notes.json").write_bytes(b"[]")
    with pytest.raises(ChecksumError, match=r"notes\.json"):
        registry.load("first@4")
    (bundle.path / "notes.json").unlink()
    with pytest.raises(ChecksumError, match="not whole"):
        registry.load("first@4")
