"""The shop of cups with a business layer to search: the order of relevance is cheapest first."""

import json
import random
from pathlib import Path

from cascade.config import Config, load_config
from tests.cup_models import STAGE, configured, linear, save
from tests.small_shop import CHEAPEST, write_shop

WINDOW = 30
COUNT = 120
TEXTS = [f"cup w{i} w{199 - i}" for i in range(COUNT)]
NAME = "plain-policy"
BUSINESS = f"""
[business]
window = {WINDOW}
max_displacement = 8
[[business.objectives]]
name = "revenue"
kind = "revenue"
price = "price"
margin = "margin"
[[business.objectives]]
name = "stocked"
kind = "stock"
field = "stock"
[evolution]
root = "evolution"
generations = 6
children = 16
seeds = [0, 1]
points = 4
requests = 0
threads = 1
"""


def grades(number: int) -> dict[str, int]:
    """Return the grades of one query: three of the twelve cheapest cups, and one far down."""
    wanted = random.Random(number).sample(CHEAPEST[:12], 3)
    return {wanted[0]: 3, wanted[1]: 2, wanted[2]: 1, CHEAPEST[90]: 1}


def write_judgments(path: Path) -> Path:
    """Write the grades of every query."""
    rows = [
        f"{text}\t{i}\t{grade}" for n, text in enumerate(TEXTS) for i, grade in grades(n).items()
    ]
    path.write_text("\n".join(["query\tdoc_id\tgrade", *rows]) + "\n")
    return path


def write_policy_shop(folder: Path) -> tuple[Path, Path]:
    """Write and index the shop with a model of its stage; return configuration and judgments."""
    path = write_shop(folder)
    save(configured(path, folder / "models"), linear(-1.0), alias="live", reference=None)
    text = path.read_text().replace("[cascades", STAGE + BUSINESS + "\n[cascades")
    path.write_text(text.replace('name = "plain"', 'name = "plain"\n[models]\nroot = "models"', 1))
    return path, write_judgments(folder / "judgments.tsv")


def settled(path: Path, *overrides: str, models: Path | None = None) -> Config:
    """Return the configuration with overrides, and its models elsewhere if told."""
    moved = [] if models is None else [f"models.root={json.dumps(str(models))}"]
    return load_config(path, [*moved, *overrides])["plain"]
