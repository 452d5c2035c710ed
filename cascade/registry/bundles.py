"""Bundles: a model on disk, and the manifest that says what it is."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cascade.errors import ChecksumError, FingerprintError
from cascade.features import build_features, difference
from cascade.rankers import OnnxRanker
from cascade.schema import Schema

FORMAT = 1
MODEL, MANIFEST, REFERENCE = "model.onnx", "manifest.json", "reference.json"


@dataclass(frozen=True)
class Manifest:
    """Say what a model is and what it was trained on.

    Attributes:
        name: The bundle's name.
        version: Its version, from 1.
        kind: What was fitted: "linear", "trees".
        features: The full definition of each feature, in the order of the graph's input.
        fingerprint: The feature set's fingerprint.
        model_sha256: The checksum of `model.onnx`.
        data: What it was trained on: checksum of the judgments, counts, engine.
        training: The settings and outcome of the fit.
        parity: What the parity gate measured.
        measures: The measures it was accepted with.
        trained_queries: Digests of the query texts it has seen, for held-out evaluation.
        engine_bound: The features that change with the engine.
        created: Seconds since 1970.
        format: The form of this manifest.
        files: The checksum of each further file of the bundle, by its name.
    """

    name: str
    version: int
    kind: str
    features: list[dict[str, Any]]
    fingerprint: str
    model_sha256: str
    data: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    parity: Mapping[str, Any] = field(default_factory=dict)
    measures: Mapping[str, Any] = field(default_factory=dict)
    trained_queries: list[str] = field(default_factory=list)
    engine_bound: list[str] = field(default_factory=list)
    created: float = 0.0
    format: int = FORMAT
    files: Mapping[str, str] = field(default_factory=dict)

    def digest(self) -> str:
        """Return the SHA-256 of the manifest's own content."""
        return digest_of(asdict(self))

    def written(self) -> bytes:
        """Return the manifest as a file has it, its digest with it."""
        return json.dumps({**asdict(self), "digest": self.digest()}, indent=1).encode()


@dataclass(frozen=True)
class Bundle:
    """Hold a model whose bytes were checked against its manifest.

    Attributes:
        manifest: What it is.
        model: The serialised graph.
        path: Its folder.
        files: The content of each further file, by its name.
    """

    manifest: Manifest
    model: bytes
    path: Path
    files: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Return name/version."""
        return f"{self.manifest.name}/{self.manifest.version}"

    def ranker(self, schema: Schema) -> OnnxRanker:
        """Return the ranker of this model over a schema's documents.

        Raises:
            FingerprintError: If its features cannot be made as they were in training, naming
                the first that differs.
        """
        features = build_features(self.manifest.features, schema, source=str(self.path))
        if features.fingerprint != self.manifest.fingerprint:
            differing = difference(self.manifest.features, features.definitions())
            what = "; ".join(differing) or "the analysis of its text fields"
            raise FingerprintError(
                f"{self.label} was trained on other features than this installation makes: "
                f"{what}. Train it again, or serve it with the release that trained it"
            )
        return OnnxRanker(self.model, features)


def read_bundle(path: Path) -> Bundle:
    """Return the bundle in a folder after checking every byte of it.

    Raises:
        ChecksumError: If a file is missing, or not the bytes that were written.
    """
    try:
        content = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        model = (path / MODEL).read_bytes()
        promised = content.pop("digest")
        # Over the content as it was written: a later release has more keys, with defaults.
        found = digest_of(content)
        manifest = Manifest(**content)
        files = {name: (path / name).read_bytes() for name in manifest.files}
    except FileNotFoundError as error:
        raise ChecksumError(f"{path} is not whole: {error.filename} is missing") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"{path / MANIFEST} is damaged: {error}; restore or train it again"
        raise ChecksumError(message) from None
    if found != promised:
        raise ChecksumError(
            f"{path / MANIFEST} was changed after it was written; "
            "restore it or train the model again"
        )
    if (manifest.name, str(manifest.version)) != (path.parent.name, path.name):
        raise ChecksumError(
            f"{path} holds the bundle {manifest.name}/{manifest.version}: it was copied or moved; "
            "put it back, or train the model again"
        )
    _refuse_other(path / MODEL, model, manifest.model_sha256)
    for name, held in files.items():
        _refuse_other(path / name, held, manifest.files[name])
    return Bundle(manifest, model, path, files)


def digest_of(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what JSON can hold, whatever the order of its keys."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def write_file(path: Path, content: bytes) -> None:
    """Write a file that is on the disk when this returns."""
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _refuse_other(path: Path, content: bytes, promised: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != promised:
        raise ChecksumError(
            f"{path} ({len(content):,} bytes) has the checksum {found[:12]}…, its "
            f"manifest says {promised[:12]}…; restore it or train the model again"
        )
