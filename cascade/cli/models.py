"""`cascade models`: the registry's bundles, and the gate before they become live."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from cascade.business.learned import PolicyBundle
from cascade.cli.console import chosen, config_options, console, json_option, print_json, told
from cascade.cli.gate import history, profile, promote, roll_back, shadow
from cascade.config import registry_of, schema_of
from cascade.errors import CascadeError
from cascade.registry import Registry
from cascade.training.policy_onnx import KIND


@click.group()
def models() -> None:
    """List and verify bundles, and make candidates live."""


@models.command("list")
@config_options
@json_option
@told
def list_models(
    config_path: Path, overrides: tuple[str, ...], name: str | None, as_json: bool
) -> None:
    """List every bundle and which one is live."""
    registry = registry_of(chosen(config_path, overrides, name))
    rows: list[dict[str, Any]] = [
        {
            "name": bundle,
            "version": version,
            "aliases": sorted(a for a, v in registry.aliases(bundle).items() if v == version),
            **_described(registry, bundle, version),
        }
        for bundle in registry.names()
        for version in registry.versions(bundle)
    ]
    if as_json:
        print_json({"root": str(registry.root), "models": rows})
        return
    out = console()
    if not rows:
        out.print(f"{registry.root} has no models; `cascade train --judgments FILE` makes them")
        return
    table = Table()
    # A version that is cut off names nothing.
    table.add_column("model", no_wrap=True, min_width=max(len(row["name"]) for row in rows) + 5)
    for title in ("kind", "features", "trained on", "aliases", "made"):
        table.add_column(title, overflow="fold")
    for row in rows:
        made = time.strftime("%Y-%m-%d %H:%M", time.gmtime(row["created"]))
        table.add_row(
            f"{row['name']}/{row['version']}",
            row["kind"],
            str(row["features"]),
            f"{row['queries']:,} queries, {row['rows']:,} rows",
            ", ".join(row["aliases"]),
            made,
        )
    out.print(table)


@models.command()
@config_options
@json_option
@told
def verify(config_path: Path, overrides: tuple[str, ...], name: str | None, as_json: bool) -> None:
    """Check every byte of every bundle, and its features or its policy card."""
    config = chosen(config_path, overrides, name)
    registry = registry_of(config)
    schema = schema_of(config) if config.settings.index is not None else None
    outcomes = {}
    for bundle in registry.names():
        for version in registry.versions(bundle):
            try:
                loaded = registry.load(f"{bundle}@{version}")
                if loaded.manifest.kind == KIND:
                    PolicyBundle.of(loaded.label, loaded.model, loaded.files)
                elif schema is not None:
                    loaded.ranker(schema)
                outcomes[f"{bundle}/{version}"] = "ok"
            except CascadeError as error:
                outcomes[f"{bundle}/{version}"] = str(error)
    refused = {label: text for label, text in outcomes.items() if text != "ok"}
    if as_json:
        print_json({"models": outcomes, "refused": len(refused)})
    else:
        out = console()
        for label, text in outcomes.items():
            out.print(f"{label}: {text}")
        out.print(f"{len(outcomes) - len(refused)} good, {len(refused)} refused")
    if refused:
        sys.exit(4)


for command in (promote, roll_back, history, profile, shadow):
    models.add_command(command)


def _described(registry: Registry, name: str, version: int) -> dict[str, object]:
    try:
        manifest = registry.load(f"{name}@{version}").manifest
    except CascadeError as error:
        return {
            "kind": "damaged",
            "features": 0,
            "queries": 0,
            "rows": 0,
            "created": 0.0,
            "error": str(error),
        }
    data = manifest.data
    queries = data.get("requests" if manifest.kind == KIND else "queries", 0)
    return {
        "kind": manifest.kind,
        "features": len(manifest.features),
        "queries": _to_train(queries),
        "rows": _to_train(data.get("rows", 0)),
        "created": manifest.created,
    }


def _to_train(counted: int | Mapping[str, int]) -> int:
    """Return a number, or of the numbers of parts that of the training part."""
    return counted.get("train", 0) if isinstance(counted, Mapping) else counted
