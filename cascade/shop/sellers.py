"""The shops of the marketplace: names, age, quality, what they sell and how they write."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cascade.shop.lexicon import Lexicon
from cascade.shop.phrases import SHOP_FIRST, SHOP_LAST, SHOP_SECOND
from cascade.shop.spec import ShopSpec, stream

NEW_SELLER_DAYS = 60
NEW_SHARE = 0.12
BRANDED_SHARE = 0.75
SPECIALITIES = 5


@dataclass(frozen=True)
class Sellers:
    """Hold one row a seller.

    Attributes:
        ids: Keyword ids.
        names: Names that people read.
        brands: Brand of the shop's goods, None where it has none.
        brand: `int32[sellers]`, the seller's own row where it has a brand, else -1.
        age_days: `int32[sellers]`, days since the shop opened, at the reference time.
        quality: `float32[sellers]`, standard normal, latent.
        stuffing: `float32[sellers]`, chance that a title of this shop is stuffed.
        dialect: `float32[sellers]`, uniform; which form of a synonym the shop likes.
        types: `int16[sellers, 5]`, what it sells.
        weight: `float64[sellers]`, cumulative chance that a listing is theirs.
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    brands: tuple[str | None, ...]
    brand: NDArray[np.int32]
    age_days: NDArray[np.int32]
    quality: NDArray[np.float32]
    stuffing: NDArray[np.float32]
    dialect: NDArray[np.float32]
    types: NDArray[np.int16]
    weight: NDArray[np.float64]


def make_sellers(spec: ShopSpec, lex: Lexicon) -> Sellers:
    """Draw the sellers of a shop."""
    rng = stream(spec.seed, "sellers")
    n = spec.sellers
    first, second = SHOP_FIRST.split(), SHOP_SECOND.split()
    combination = rng.permutation(len(first) * len(second) * len(SHOP_LAST))[:n]
    pair, last = np.divmod(combination, len(SHOP_LAST))
    brands = [f"{first[p // len(second)]} {second[p % len(second)]}" for p in pair.tolist()]
    branded = rng.random(n) < BRANDED_SHARE
    quality = rng.standard_normal(n)
    new = rng.random(n) < NEW_SHARE
    age = np.where(new, rng.integers(1, NEW_SELLER_DAYS, n), 60 + rng.exponential(900, n))
    size = rng.lognormal(0.0, 0.9, n) * np.where(new, 0.35, 1.0)
    return Sellers(
        ids=tuple(f"s{row:05d}" for row in range(n)),
        names=tuple(
            f"{brand} {SHOP_LAST[at]}" for brand, at in zip(brands, last.tolist(), strict=True)
        ),
        brands=tuple(b if has else None for b, has in zip(brands, branded.tolist(), strict=True)),
        brand=np.where(branded, np.arange(n), -1).astype(np.int32),
        age_days=np.minimum(age, 5000).astype(np.int32),
        quality=quality.astype(np.float32),
        stuffing=(1.0 / (1.0 + np.exp(1.9 + 1.3 * quality))).astype(np.float32),
        dialect=rng.random(n).astype(np.float32),
        types=_specialities(rng, n, lex),
        weight=np.cumsum(size) / size.sum(),
    )


def _specialities(rng: np.random.Generator, n: int, lex: Lexicon) -> NDArray[np.int16]:
    """Draw `int16[n, 5]` product types, all of one department a seller."""
    department = lex.category_department[lex.type_category]
    anchor = rng.choice(len(lex.type_weight), n, p=lex.type_weight)
    same = department[anchor][:, None] == department[None, :]
    chances = np.cumsum(np.where(same, lex.type_weight[None, :], 0.0), axis=1)
    chances /= chances[:, -1:]
    luck = rng.random((n, SPECIALITIES))
    types: NDArray[np.intp] = (luck[:, :, None] >= chances[:, None, :]).sum(axis=2)
    return types.astype(np.int16)
