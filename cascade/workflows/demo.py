"""The demo from end to end: a marketplace, its index, trained stages, a report."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from cascade.config import Config, load_config
from cascade.errors import NotFoundError
from cascade.evaluation import Report
from cascade.indexing import BuildReport
from cascade.shop import ShopSpec, write_shop
from cascade.workflows.evaluate import evaluate_config
from cascade.workflows.index import build_index
from cascade.workflows.progress import Progress, silent
from cascade.workflows.train import TrainReport, train_config


@dataclass(frozen=True)
class DemoReport:
    """Tell what the demo made.

    Attributes:
        config: The configuration that it wrote; every other command takes it.
        index: The build.
        training: The stages.
        report: The evaluation on queries that training left out.
        seconds: How long each part took.
    """

    config: Path
    index: BuildReport
    training: TrainReport
    report: Report
    seconds: Mapping[str, float]


def run_demo(spec: ShopSpec, folder: Path, progress: Progress = silent) -> DemoReport:
    """Make a marketplace in a folder, index it, train on it and evaluate.

    What an earlier demo left in the folder is replaced; other files in it are left alone.

    Args:
        spec: The marketplace.
        folder: Where everything goes.
        progress: Told how far it is.
    """
    seconds = {}
    start = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("shop", "indexes", "ltr_models"):
        shutil.rmtree(folder / name, ignore_errors=True)
    files = write_shop(spec, folder / "shop", progress)
    config = write_config(folder)
    seconds["shop"] = time.perf_counter() - start
    index = build_index(config, [files.products], progress=progress)
    seconds["index"] = index.seconds
    training = train_config(config, files.judgments, progress=progress)
    seconds["train"] = training.seconds
    report = evaluate_config(config, files.judgments, progress=progress)
    seconds["evaluate"] = report.about.seconds
    seconds["total"] = time.perf_counter() - start
    return DemoReport(config.path, index, training, report, seconds)


def write_config(folder: Path) -> Config:
    """Write the demo's configuration and schema into its folder and return it checked."""
    (folder / "shop" / "schema.toml").write_bytes(mapping("shop.toml").read_bytes())
    path = folder / "cascade.toml"
    path.write_text(resources.files(__package__).joinpath("demo.toml").read_text("utf-8"))
    return next(iter(load_config(path).values()))


def mapping(name: str) -> Path:
    """Return a schema that the project ships: inside a wheel, or beside the package."""
    package = Path(str(resources.files("cascade")))
    for folder in (package / "mappings", package.parent / "mappings"):
        if (folder / name).is_file():
            return folder / name
    raise NotFoundError(f"this installation has no mappings/{name}")
