"""The HTTP API: named cascades behind `/v1/search`, `/v1/rank` and `/v1/explain`."""

from cascade.service.app import create_app
from cascade.service.run import address_of, bound, run

__all__ = ["address_of", "bound", "create_app", "run"]
