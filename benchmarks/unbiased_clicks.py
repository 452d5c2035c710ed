"""Unbiased training on the demo marketplace's clicks against training on the planted grades.

For each seed a marketplace is made with its visits, and the demo's cascade is trained on the
planted grades, on clicks as they are (rates, drawn to the common one), and on clicks by each way to
take the bias of ranks out, without the features of the price.
Every one is measured on the same held-out queries by the planted grades, in full retrieval; what
it gains over BM25 is shown as a share of what the planted grades gain.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
from _shop import FOLDER, machine

from cascade.config import Config, load_config
from cascade.events.tables import EventLog
from cascade.shop import ShopSpec, write_shop
from cascade.workflows import evaluate_config
from cascade.workflows.clicks import prepared_from_clicks, write_click_judgments
from cascade.workflows.demo import write_config
from cascade.workflows.index import build_index
from cascade.workflows.train import train_config, train_prepared

MEASURE = "nDCG@10"
CLICKED = ("ipw", "none", "lambdarank")
# Shoppers click what is cheap, whatever they searched for; the planted grades know no price.
APART = ('features.remove=["*price*"]',)
NAIVE = ('clicks.prior="common"', 'clicks.scale="rate"')
MODELS = ("ctr", "coec", "pbm", "cascade", "sdbn", "dbn")
QUICK = ("pbm",)


def prepared_shop(spec: ShopSpec) -> Path:
    """Return the folder of an indexed shop with its event log, made once."""
    folder = FOLDER / f"clicks-{spec.seed}-{spec.listings}-{spec.sessions}"
    done = folder / "done"
    if done.is_file():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    files = write_shop(spec, folder / "shop")
    config = write_config(folder)
    build_index(config, [files.products])
    import_log(files.query_log, files.event_log, folder / "log")
    files.query_log.unlink()
    files.event_log.unlink()
    done.touch()
    return folder


def import_log(queries: Path, events: Path, root: Path) -> None:
    """Write the shop's UBI files as an event log.

    `cascade events import` does the same and more; here a shuffled page tells the chance of its
    order, which the shop's files only name.
    """
    database = duckdb.connect()
    for name in ("searches", "events"):
        (root / name).mkdir(parents=True)
    database.execute(f"""
        copy (select query_id, user_query as text, epoch_ms(timestamp::timestamp) / 1e3 as time,
            query_attributes.session_id as session, client_id as visitor,
            query_attributes.surface as surface, query_response_hit_ids as results,
            case when query_attributes.ranking = 'shuffled' then
                [1 / len(query_response_hit_ids) for _ in query_response_hit_ids]
            end as propensities from read_json('{queries}'))
        to '{root / "searches" / "all.parquet"}' (format parquet)""")
    database.execute(f"""
        copy (select query_id,
            if(action_name = 'add_to_cart', 'cart', action_name) as action,
            event_attributes.object.object_id as doc_id,
            event_attributes.position.ordinal::int as rank,
            epoch_ms(timestamp::timestamp) / 1e3 as time, session_id as session,
            client_id as visitor, event_attributes.surface as surface, null::double as value
        from read_json('{events}'))
        to '{root / "events" / "all.parquet"}' (format parquet)""")


def chosen(folder: Path, name: str, *overrides: str) -> Config:
    """Return the demo's configuration with a registry of its own."""
    models = folder / "models" / name
    shutil.rmtree(models, ignore_errors=True)
    given = (f'models.root="{models}"', "evaluation.resamples=100", *overrides)
    return next(iter(load_config(folder / "cascade.toml", given).values()))


def measured(config: Config, truth: Path) -> dict[str, float]:
    """Return the measure of BM25 and of the final order on held-out queries."""
    report = evaluate_config(config, truth)
    return {name: found.measures[MEASURE].mean for name, found in report.systems.items()}


def by_truth(folder: Path, settings: tuple[str, ...]) -> dict[str, float]:
    """Train on the planted grades."""
    truth = folder / "shop" / "judgments.tsv"
    config = chosen(folder, "truth", *settings)
    train_config(config, truth)
    return measured(config, truth)


def by_clicks(
    folder: Path, debias: str, settings: tuple[str, ...], name: str = ""
) -> dict[str, float]:
    """Train straight on the log."""
    config = chosen(folder, name or debias, f'clicks.debias="{debias}"', *settings)
    train_prepared(config, prepared_from_clicks(config, folder / "log"))
    return measured(config, folder / "shop" / "judgments.tsv")


def by_model(folder: Path, model: str, settings: tuple[str, ...]) -> dict[str, float]:
    """Train on the grades that a click model writes."""
    config = chosen(folder, model, *settings)
    out = folder / f"{model}.tsv"
    write_click_judgments(EventLog(folder / "log"), model, config.settings.clicks, out)
    train_config(config, out)
    return measured(config, folder / "shop" / "judgments.tsv")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13])
    parser.add_argument("--listings", type=int, default=20_000)
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--debias", nargs="*", choices=CLICKED, default=list(CLICKED))
    parser.add_argument("--models", nargs="*", choices=MODELS, default=list(QUICK))
    parser.add_argument("--set", nargs="*", default=[], help="settings, as for every command")
    asked = parser.parse_args()
    settings = tuple(asked.set)
    ways: dict[str, Callable[[Path], dict[str, float]]] = {
        "planted grades": lambda folder: by_truth(folder, settings)
    }
    ways["clicks, naive"] = lambda folder: by_clicks(folder, "none", NAIVE + settings, "naive")
    for debias in asked.debias:
        ways[f"clicks, {debias}"] = lambda folder, d=debias: by_clicks(folder, d, APART + settings)
    for model in asked.models:
        ways[f"judgments, {model}"] = lambda folder, m=model: by_model(folder, m, settings)
    print(f"{machine()}\n{asked.sessions:,} sessions, {asked.listings:,} listings\n")
    gains: dict[str, list[float]] = {name: [] for name in ways}
    for seed in asked.seeds:
        folder = prepared_shop(
            ShopSpec(seed=seed, listings=asked.listings, sessions=asked.sessions)
        )
        for name, way in ways.items():
            start = time.perf_counter()
            found = way(folder)
            gains[name].append(found["final"] - found["bm25"])
            share = gains[name][-1] / gains["planted grades"][-1]
            print(
                f"seed {seed:3d}  {name:20s} {MEASURE} {found['final']:.4f}  bm25 "
                f"{found['bm25']:.4f}  gain {gains[name][-1]:+.4f}  share {share:6.1%}  "
                f"{time.perf_counter() - start:5.0f} s",
                flush=True,
            )
    print("\nmean over seeds")
    whole = np.array(gains["planted grades"])
    for name, values in gains.items():
        shares = np.array(values) / whole
        told = ", ".join(f"{share:.1%}" for share in shares)
        print(f"{name:20s} gain {np.mean(values):+.4f}  share {shares.mean():6.1%}  ({told})")


if __name__ == "__main__":
    main()
