"""The HTTP API: named cascades behind `/v1/search`, `/v1/rank` and `/v1/explain`."""

from cascade.service.app import app_of, create_app
from cascade.service.comparing import live_models, start_comparing
from cascade.service.metrics import Metrics
from cascade.service.observing import Observer, Served
from cascade.service.request_log import RequestLogger, logger_of
from cascade.service.run import address_of, bound, run
from cascade.service.service import Service
from cascade.service.switching import Switch
from cascade.service.watching import Watcher

__all__ = [
    "Metrics",
    "Observer",
    "RequestLogger",
    "Served",
    "Service",
    "Switch",
    "Watcher",
    "address_of",
    "app_of",
    "bound",
    "create_app",
    "live_models",
    "logger_of",
    "run",
    "start_comparing",
]
