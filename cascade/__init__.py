"""A ranking cascade over a search engine.

Read `candidates.py`, then `protocols.py`, then `pipeline.py`.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
