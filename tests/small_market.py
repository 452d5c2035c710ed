"""A planted market: one input gives the price away, another which sellers are new."""

import numpy as np

from cascade.market.listings import Listings
from cascade.training.evolution.samples import Sample

ROWS = 20


def small_market(requests=300, seed=0, rows=ROWS):
    """Return planted requests: the wanted row is near the top, dear and new ones anywhere."""
    generator = np.random.default_rng([seed, 77])
    scores = -np.sort(-generator.standard_normal((requests, rows)), axis=1).astype(np.float32)
    chance = 0.6 ** np.arange(rows)
    gain = np.zeros((requests, rows), dtype=np.float32)
    at = generator.choice(rows, size=requests, p=chance / chance.sum())
    gain[np.arange(requests), at] = 1.0
    price = generator.uniform(1, 100, (requests, rows)).astype(np.float32)
    new = (generator.random((requests, rows)) < 0.3).astype(np.float32)
    listings = Listings(
        np.arange(requests + 1, dtype=np.int64) * rows,
        {"gain": gain.ravel(), "price": price.ravel(), "new": new.ravel()},
        {"seller": generator.integers(0, 9, requests * rows).astype(np.int32)},
    )
    inputs = np.stack([scores, (price - 50) / 29, new - 0.3], axis=2).reshape(-1, 3)
    return Sample(
        listings, scores.ravel(), inputs.astype(np.float32), ("score", "price_z", "new_seller")
    )
