"""Relevance as a test: the fixtures of the pytest plugin, and what stands behind them."""
