"""The commands."""

from cascade.cli.main import main

__all__ = ["main"]
