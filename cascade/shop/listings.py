"""What each listing truly is: type, attributes, quality, price, stock and reviews."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from cascade.shop.lexicon import ATTRIBUTE_KINDS, COLOUR, MATERIAL, PRICE, Lexicon
from cascade.shop.sellers import Sellers

# Chance that a listing has the attribute at all, in the order of ATTRIBUTE_KINDS; price last.
HAS_ATTRIBUTE = (1.0, 1.0, 0.85, 0.6, 0.5, 0.55)
PRICE_SIGMA = 0.55
CHEAP_BELOW_Z = -0.8
LUXURY_ABOVE_Z = 1.0
OFF_SPECIALITY = 0.15
MISFILED_SHARE = 0.03
ONE_OF_A_KIND_SHARE = 0.12
SOLD_OUT_SHARE = 0.04
SELLER_QUALITY = 0.6
OWN_QUALITY = 0.8


@dataclass(frozen=True)
class Listings:
    """Hold one row a listing; what people see of it is derived from these columns.

    Attributes:
        seller: `int32[n]`, row of the seller.
        brand: `int32[n]`, row of the seller whose brand it carries, -1 for none.
        type: `int16[n]`, counted from the first product type.
        filed: `int16[n]`, category in which the seller filed it, rarely a wrong one.
        attributes: `int16[n, 7]`, concept of each attribute kind, -1 where it has none.
        quality: `float32[n]`, standard normal, latent.
        price: `float32[n]`, currency units.
        price_z: `float32[n]`, log price in standard deviations from its type's median.
        margin: `float32[n]`, 0 to 1.
        stock: `int32[n]`.
        one_of_a_kind: `bool[n]`.
        age_days: `int32[n]`, days since it was listed.
        reviews: `int32[n]`.
        rating: `float32[n]`, 1 to 5, NaN without reviews.
        photos: `int16[n]`.
        favourites: `int32[n]`.
        stuffed: `bool[n]`, its title and tags name things that it is not.
    """

    seller: NDArray[np.int32]
    brand: NDArray[np.int32]
    type: NDArray[np.int16]
    filed: NDArray[np.int16]
    attributes: NDArray[np.int16]
    quality: NDArray[np.float32]
    price: NDArray[np.float32]
    price_z: NDArray[np.float32]
    margin: NDArray[np.float32]
    stock: NDArray[np.int32]
    one_of_a_kind: NDArray[np.bool_]
    age_days: NDArray[np.int32]
    reviews: NDArray[np.int32]
    rating: NDArray[np.float32]
    photos: NDArray[np.int16]
    favourites: NDArray[np.int32]
    stuffed: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.seller)


def make_listings(rng: Generator, n: int, sellers: Sellers, lex: Lexicon) -> Listings:
    """Draw `n` listings."""
    place = np.searchsorted(sellers.weight, rng.random(n), side="right")
    seller = np.minimum(place, len(sellers.ids) - 1).astype(np.int32)
    kind = _types(rng, seller, sellers, lex)
    quality = SELLER_QUALITY * sellers.quality[seller] + OWN_QUALITY * rng.standard_normal(n)
    price_z = 0.25 * quality + np.sqrt(1 - 0.25**2) * rng.standard_normal(n)
    price = _price(rng, price_z, lex.type_price[kind])
    unique = rng.random(n) < ONE_OF_A_KIND_SHARE
    stock = np.where(unique, 1, 1 + rng.geometric(0.06, n))
    stock[rng.random(n) < SOLD_OUT_SHARE] = 0
    open_days = sellers.age_days[seller]
    age = np.minimum(open_days, rng.exponential(380, n) + 1).astype(np.int32)
    reviews, rating, favourites = _reception(rng, quality, age, unique)
    branded = rng.random(n) < 0.85
    categories = lex.count("category")
    misfiled = rng.random(n) < MISFILED_SHARE
    wrong = rng.integers(0, categories, n)
    return Listings(
        seller=seller,
        brand=np.where(branded, sellers.brand[seller], -1).astype(np.int32),
        type=kind,
        filed=np.where(misfiled, wrong, lex.type_category[kind]).astype(np.int16),
        attributes=_attributes(rng, kind, price_z, lex),
        quality=quality.astype(np.float32),
        price=price.astype(np.float32),
        price_z=price_z.astype(np.float32),
        margin=np.round(rng.beta(5.0, 9.0, n), 3).astype(np.float32),
        stock=stock.astype(np.int32),
        one_of_a_kind=unique,
        age_days=age,
        reviews=reviews,
        rating=rating,
        photos=(1 + rng.binomial(9, 1 / (1 + np.exp(0.3 - 0.9 * quality)))).astype(np.int16),
        favourites=favourites,
        stuffed=rng.random(n) < sellers.stuffing[seller],
    )


def _types(
    rng: Generator, seller: NDArray[np.int32], sellers: Sellers, lex: Lexicon
) -> NDArray[np.int16]:
    n = len(seller)
    own = sellers.types[seller, rng.integers(0, sellers.types.shape[1], n)]
    cumulative = np.cumsum(lex.type_weight)
    anything = np.searchsorted(cumulative, rng.random(n), side="right")
    anything = np.minimum(anything, len(cumulative) - 1)
    return np.where(rng.random(n) < OFF_SPECIALITY, anything, own).astype(np.int16)


def _price(
    rng: Generator, price_z: NDArray[np.float64], median: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return log-normal prices with the endings that shops use."""
    raw = median * np.exp(PRICE_SIGMA * price_z)
    ending = np.array([0.0, -0.01, -0.05, -0.5])[rng.integers(0, 4, len(raw))]
    price: NDArray[np.float64] = np.maximum(np.ceil(raw) + ending, 0.5)
    return price.round(2)


def _attributes(
    rng: Generator,
    kind: NDArray[np.int16],
    price_z: NDArray[np.float64],
    lex: Lexicon,
) -> NDArray[np.int16]:
    n = len(kind)
    found = np.full((n, len(ATTRIBUTE_KINDS)), -1, np.int16)
    luck = rng.random(n)
    for row in range(lex.count("type")):
        mine = np.flatnonzero(kind == row)
        found[mine, MATERIAL] = np.searchsorted(lex.type_materials[row], luck[mine], side="right")
    found[:, MATERIAL] += lex.spans["material"][0]
    for column in range(COLOUR, PRICE):
        start, stop = lex.spans[ATTRIBUTE_KINDS[column]]
        # A low power makes the first values common and the last ones rare, as in a real shop.
        value = start + np.floor(rng.random(n) ** 1.35 * (stop - start)).astype(np.int16)
        has = rng.random(n) < HAS_ATTRIBUTE[column]
        found[:, column] = np.where(has, value, -1)
    cheap, luxury = lex.spans["price"][0], lex.spans["price"][0] + 1
    level = np.where(price_z > LUXURY_ABOVE_Z, luxury, -1)
    found[:, PRICE] = np.where(price_z < CHEAP_BELOW_Z, cheap, level)
    return found


def _reception(
    rng: Generator,
    quality: NDArray[np.float64],
    age: NDArray[np.int32],
    unique: NDArray[np.bool_],
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]:
    """Return reviews, rating and favourites: noisy views of quality that grow with age."""
    n = len(quality)
    exposure = np.log1p(age / 30.0)
    rate = np.exp(np.minimum(0.3 + 0.8 * quality + 0.6 * rng.standard_normal(n), 6.0)) * exposure
    reviews = rng.poisson(rate * np.where(unique, 0.15, 1.0)).astype(np.int32)
    noise = 0.7 * rng.standard_normal(n) / np.sqrt(np.maximum(reviews, 1))
    rating = np.clip(np.round(4.2 + 0.4 * quality + noise, 1), 1.0, 5.0)
    rating = np.where(reviews > 0, rating, np.nan)
    wished = np.exp(np.minimum(1.0 + 0.9 * quality + 0.6 * rng.standard_normal(n), 7.0))
    return reviews, rating.astype(np.float32), rng.poisson(wished * exposure).astype(np.int32)


def stack(parts: list[Listings]) -> Listings:
    """Join blocks of listings into one."""
    names = Listings.__dataclass_fields__
    return Listings(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in names})
