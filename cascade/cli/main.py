"""The command group."""

from __future__ import annotations

import click

from cascade import __version__
from cascade.cli.adopt import adopt
from cascade.cli.behaviour import behaviour
from cascade.cli.bench import bench
from cascade.cli.business import business
from cascade.cli.clicks import judgments, propensities
from cascade.cli.demo import demo
from cascade.cli.events import events
from cascade.cli.experiment import experiment
from cascade.cli.generations import gc, rollback, swap, verify
from cascade.cli.index import index
from cascade.cli.joins import join
from cascade.cli.logs import replay, skew
from cascade.cli.models import models
from cascade.cli.offpolicy import offpolicy
from cascade.cli.pipeline import pipeline
from cascade.cli.ranking import evaluate, explain, search, train
from cascade.cli.schema import schema
from cascade.cli.serve import serve
from cascade.cli.tune import tune
from cascade.cli.updates import follow, update


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="cascade")
def main() -> None:
    """Rank product search: retrieve by BM25, reorder through a cascade of ONNX rankers.

    Exit codes: 0 good, 1 our fault, 2 usage, 3 input, 4 refused.
    """


for command in (demo, adopt, index, train, evaluate, search, explain, models, serve, bench):
    main.add_command(command)
main.add_command(events)
for command in (join, judgments, propensities):
    events.add_command(command)
main.add_command(behaviour)
main.add_command(business)
main.add_command(experiment)
main.add_command(pipeline)
main.add_command(tune)
main.add_command(replay)
main.add_command(skew)
main.add_command(offpolicy)
for command in (update, follow, swap, rollback, gc, verify, schema):
    index.add_command(command)
