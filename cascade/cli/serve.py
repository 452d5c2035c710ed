"""`cascade serve`: the HTTP API."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cascade.cli.console import told
from cascade.config import Config, load_config, open_cascades, store_of
from cascade.config.engines import has_log, log_of
from cascade.service import (
    Metrics,
    Service,
    Switch,
    Watcher,
    address_of,
    app_of,
    bound,
    live_models,
    logger_of,
    run,
    start_comparing,
)

if TYPE_CHECKING:
    from cascade.service.experimenting import Experimenter


@click.command()
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    default=Path("cascade.toml"),
    show_default=True,
    help="The configuration; all of its cascades are served.",
)
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one setting."
)
@click.option("--host", help="The address to listen on; default: service.host.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    help="The port; 0 takes a free one; default: service.port.",
)
@told
def serve(
    config_path: Path, overrides: tuple[str, ...], host: str | None, port: int | None
) -> None:
    """Serve every cascade of the configuration over HTTP, until Ctrl+C."""
    serve_config(load_config(config_path, overrides), host=host, port=port)


def serve_config(
    configs: Mapping[str, Config], *, host: str | None, port: int | None, quiet: bool = False
) -> None:
    """Serve cascades until a signal ends it.

    Args:
        configs: By name; the first answers requests that name none, its `[service]` and `[log]`
            count.
        host: The address to listen on, instead of the configured one.
        port: The port, instead of the configured one.
        quiet: Whether stdout is for others: the address is told on stderr then.

    Raises:
        InputError: If the port is in use.
        CascadeError: If a cascade cannot be opened.
    """
    settings = next(iter(configs.values())).settings.service
    with ExitStack() as open_until_the_end:
        listening = open_until_the_end.enter_context(
            bound(settings.host if host is None else host, settings.port if port is None else port)
        )
        switch = Switch(open_cascades(configs), ready=False)
        open_until_the_end.callback(switch.close)
        metrics = Metrics()
        first = next(iter(configs.values()))
        comparing = start_comparing(configs, metrics, open_until_the_end)
        logger = logger_of(first, metrics.logged)
        if logger is not None:
            logger.writer.start()
            open_until_the_end.callback(logger.writer.stop)
        service = Service(
            switch,
            settings,
            time.time,
            metrics,
            observers=(*comparing, logger) if logger is not None else comparing,
            assume_consent=first.settings.log.consent == "assumed",
            experiment=_experiment(configs),
        )
        stores = {name: store_of(config) for name, config in configs.items()}
        followed = {
            config.settings.engine.index: log_of(config)
            for config in configs.values()
            if not config.settings.engine.owned and has_log(config)
        }
        watcher = Watcher(
            stores,
            partial(open_cascades, configs),
            switch,
            service.metrics,
            followed=followed,
        )
        watcher.models = partial(live_models, configs)
        open_until_the_end.callback(watcher.stop)
        watcher.start()
        app = app_of(service)
        url = address_of(listening)
        names = ", ".join(configs)

        def tell() -> None:
            click.echo(f"Serving {names} on {url} (API: {url}/docs, end: Ctrl+C)", err=quiet)
            curl = f"""curl -s {url}/v1/search -d '{{"text": "silver ring", "size": 3}}'"""
            click.echo(curl, err=quiet)

        run(app, listening, tell)


def _experiment(configs: Mapping[str, Config]) -> Experimenter | None:
    """Return what divides searches, if the first cascade's file has an experiment."""
    first = next(iter(configs.values()))
    if first.settings.experiment is None:
        return None
    from cascade.service.experimenting import Experimenter

    return Experimenter(first.settings.experiment, list(configs), str(first.path))
