"""The registry: versions, aliases, and the refusal of every byte that is not as it was written."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from cascade.errors import ChecksumError, FingerprintError, InputError, NotFoundError
from cascade.features import build_features
from cascade.registry import (
    LIVE,
    PREVIOUS,
    Bundle,
    Decision,
    Manifest,
    Registry,
    read_decisions,
    record_decision,
    reference_of,
    text_digest,
)
from cascade.training.linear_onnx import LinearModel, linear_to_onnx
from tests.bookshop import schema

FEATURES = [
    {"kind": "bm25", "name": "bm25_title", "field": "title"},
    {"kind": "number", "name": "price", "field": "price"},
]


def graph(features: int = 2) -> bytes:
    ones = np.ones(features, dtype=np.float32)
    return linear_to_onnx(LinearModel(ones, 0.0, ones * 0, ones, ones * 0))


def saved(registry: Registry, name: str = "books", definitions: list | None = None) -> Bundle:
    features = build_features(definitions or FEATURES, schema())

    def describe(version: int, sha256: str) -> Manifest:
        return Manifest(
            name=name,
            version=version,
            kind="linear",
            features=features.definitions(),
            fingerprint=features.fingerprint,
            model_sha256=sha256,
        )

    return registry.save(graph(len(features.names)), describe, name)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "models")


def test_versions_count_from_one_and_are_kept(registry):
    assert [saved(registry).manifest.version for _ in range(3)] == [1, 2, 3]
    assert registry.versions("books") == [1, 2, 3]
    assert registry.names() == ["books"]


def test_a_bundle_is_read_as_it_was_written(registry):
    bundle = saved(registry)
    registry.point("books", LIVE, 1)
    again = registry.load("books")
    assert again.manifest == bundle.manifest
    assert again.model == graph()


def test_the_former_live_version_becomes_previous(registry):
    for version in (1, 2):
        saved(registry)
        registry.point("books", LIVE, version)
    assert registry.aliases("books") == {LIVE: 2, PREVIOUS: 1}
    assert registry.load("books@previous").manifest.version == 1
    assert registry.load("books@1").manifest.version == 1


def test_writers_at_once_get_versions_of_their_own(registry):
    threads = [threading.Thread(target=saved, args=(registry,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert registry.versions("books") == [1, 2, 3, 4, 5, 6]
    assert all(registry.load(f"books@{v}").manifest.version == v for v in range(1, 7))


def test_a_bundle_that_cannot_be_described_leaves_nothing(registry):
    def describe(version: int, sha256: str) -> Manifest:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        registry.save(graph(), describe, "books")
    assert list((registry.root / "books").iterdir()) == []


@pytest.mark.parametrize("file", ["model.onnx", "manifest.json"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_changed_byte_is_refused(registry, file, share):
    path = saved(registry).path / file
    content = bytearray(path.read_bytes())
    at = int(len(content) * share)
    content[at] = content[at] ^ 1
    path.write_bytes(content)
    with pytest.raises(ChecksumError, match=file.replace(".", r"\.")):
        registry.load("books@1")


def test_a_truncated_model_is_refused_with_its_size(registry):
    path = saved(registry).path / "model.onnx"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ChecksumError, match=r"100 bytes.*train the model again"):
        registry.load("books@1")


def test_a_missing_file_is_refused(registry):
    (saved(registry).path / "model.onnx").unlink()
    with pytest.raises(ChecksumError, match=r"not whole.*model\.onnx"):
        registry.load("books@1")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("boks", "did you mean 'books'"),
        ("books@9", "no version '9'"),
        ("books@lve", "did you mean 'live'"),
        ("books@candidate", "no version 'candidate'"),
    ],
)
def test_what_is_not_there_is_named(registry, reference, message):
    saved(registry)
    registry.point("books", LIVE, 1)
    with pytest.raises(NotFoundError, match=message):
        registry.load(reference)


def test_an_alias_needs_a_version_that_is_there(registry):
    saved(registry)
    with pytest.raises(NotFoundError, match="no books/7"):
        registry.point("books", LIVE, 7)


def test_a_label_says_what_to_load(registry):
    label = saved(registry).label
    assert reference_of(label) == "books@1"
    assert registry.load(reference_of(label)).label == label


def test_a_name_cannot_leave_the_folder(registry):
    with pytest.raises(InputError, match="no model name"):
        registry.save(graph(), lambda v, s: None, "../books")


def rewritten(registry: Registry, change: dict) -> Bundle:
    """Return the bundle with another manifest that is whole in itself."""
    path = saved(registry).path / "manifest.json"
    content = json.loads(path.read_text())
    content.pop("digest")
    manifest = Manifest(**{**content, **change})
    content = {**content, **change, "digest": manifest.digest()}
    path.write_text(json.dumps(content))
    return registry.load("books@1")


def test_a_foreign_fingerprint_is_refused_and_the_feature_named(registry):
    features = build_features(FEATURES, schema()).definitions()
    features[1] = {**features[1], "version": features[1]["version"] + 1}
    bundle = rewritten(registry, {"features": features, "fingerprint": "0" * 64})
    with pytest.raises(FingerprintError, match="price"):
        bundle.ranker(schema())


def test_a_ranker_scores_by_the_bundles_own_features(registry):
    ranker = saved(registry).ranker(schema())
    assert ranker.features.names == ("bm25_title", "price")
    rows = np.array([[1.0, 2.0]], dtype=np.float32)
    assert ranker.score_matrix(rows).order.tolist() == [3.0]


def test_a_decision_that_a_crash_cut_off_gives_way_to_the_next(registry):
    registry.root.mkdir()
    for action in ("refused", "promoted"):
        record_decision(registry.root, Decision(action, "shop", 1.0, {}, {"m": 1}))
    path = registry.root / "promotions.ndjson"
    path.write_bytes(path.read_bytes()[:-20])
    assert [d.action for d in read_decisions(registry.root)] == ["refused"]
    record_decision(registry.root, Decision("rolled back", "shop", 2.0, {}, {"m": 1}))
    assert [d.action for d in read_decisions(registry.root)] == ["refused", "rolled back"]


def test_digests_of_texts_pass_over_case_and_spaces():
    assert text_digest(" Red  Shoes ") == text_digest("red shoes")
    assert text_digest("red shoe") != text_digest("red shoes")


def test_a_bundle_in_another_ones_place_is_refused(registry):
    saved(registry, "books")
    other = saved(registry, "novels")
    for file in ("model.onnx", "manifest.json"):
        (registry.root / "books" / "1" / file).write_bytes((other.path / file).read_bytes())
    with pytest.raises(ChecksumError, match="holds the bundle novels/1"):
        registry.load("books@1")
