"""XXH64 by the letter of its specification, slow and independent of the library.

https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
"""

_MASK = (1 << 64) - 1
_P1 = 0x9E3779B185EBCA87
_P2 = 0xC2B2AE3D27D4EB4F
_P3 = 0x165667B19E3779F9
_P4 = 0x85EBCA77C2B2AE63
_P5 = 0x27D4EB2F165667C5


def _turn(x: int, bits: int) -> int:
    return ((x << bits) | (x >> (64 - bits))) & _MASK


def _round(lane: int, word: int) -> int:
    return _turn((lane + word * _P2) & _MASK, 31) * _P1 & _MASK


def xxh64(data: bytes, seed: int = 0) -> int:
    place = 0
    if len(data) >= 32:
        lanes = [(seed + _P1 + _P2) & _MASK, (seed + _P2) & _MASK, seed, (seed - _P1) & _MASK]
        while place + 32 <= len(data):
            for i in range(4):
                word = int.from_bytes(data[place + 8 * i : place + 8 * i + 8], "little")
                lanes[i] = _round(lanes[i], word)
            place += 32
        turns = zip(lanes, (1, 7, 12, 18), strict=True)
        h = sum(_turn(lane, bits) for lane, bits in turns) & _MASK
        for lane in lanes:
            h = ((h ^ _round(0, lane)) * _P1 + _P4) & _MASK
    else:
        h = (seed + _P5) & _MASK
    h = (h + len(data)) & _MASK
    while place + 8 <= len(data):
        h ^= _round(0, int.from_bytes(data[place : place + 8], "little"))
        h = (_turn(h, 27) * _P1 + _P4) & _MASK
        place += 8
    if place + 4 <= len(data):
        h ^= int.from_bytes(data[place : place + 4], "little") * _P1 & _MASK
        h = (_turn(h, 23) * _P2 + _P3) & _MASK
        place += 4
    for byte in data[place:]:
        h ^= byte * _P5 & _MASK
        h = _turn(h, 11) * _P1 & _MASK
    h = (h ^ (h >> 33)) * _P2 & _MASK
    h = (h ^ (h >> 29)) * _P3 & _MASK
    return h ^ (h >> 32)
