"""The search of `_scan.c`, where it was compiled when the package was built.

In: the name of a field in a JSON text, the values that count there, bytes. Out: places that have to
be looked at, as `Needles` has them. Nothing is there without a C compiler: `scan_of` is None then,
and `field_needles` searches by automata, which tell the same records more slowly.

A library is used only if it was made of the very source that lies beside it.
"""

from __future__ import annotations

import ctypes
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from itertools import accumulate
from pathlib import Path
from weakref import finalize

_SOURCE = Path(__file__).with_name("_scan.c")
_PLACES_AT_ONCE = 256
_Places = ctypes.c_size_t * _PLACES_AT_ONCE
_MOST_BYTES = 2**32 - 1  # of all values: places within them have 32 bits


class Digits(IntEnum):
    """Which numbers are told, as `_scan.c` knows them: see `field_needles.Numbers`."""

    NONE = 0
    WHOLE = 1
    DECIMAL = 2
    ANY = 3


@dataclass(frozen=True, slots=True)
class Behind:
    """What is told behind a field's name."""

    values: Sequence[bytes]
    digits: Digits
    texts: bool
    folded: bool  # ASCII letters in any case, blanks around a value
    abroad: bool  # where it is folded: whatever has a letter outside ASCII
    alike: Sequence[bytes] = ()  # where it is not abroad: signs that may stand for one in ASCII


def library_at(place: Path) -> ctypes.CDLL | None:
    """The library; None where there is none, or one that was made of another source."""
    try:
        library = ctypes.CDLL(str(place))
        library.scan_source.restype = ctypes.c_char_p
        made_of: bytes = library.scan_source()
        if made_of.decode() != sha256(_SOURCE.read_bytes()).hexdigest():
            return None
    except (OSError, AttributeError):
        return None
    sizes = ctypes.POINTER(ctypes.c_size_t)
    library.scan_new.restype = ctypes.c_void_p
    library.scan_new.argtypes = [
        *(ctypes.c_char_p, ctypes.c_size_t, sizes),
        *(ctypes.c_char_p, ctypes.POINTER(ctypes.c_uint32), ctypes.c_uint32),
        *(ctypes.c_char_p, ctypes.c_size_t, ctypes.POINTER(ctypes.c_int), ctypes.c_uint64),
    ]
    library.scan_free.restype = None
    library.scan_free.argtypes = [ctypes.c_void_p]
    library.scan_places.restype = ctypes.c_size_t
    library.scan_places.argtypes = [
        *(ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_size_t),
        *(sizes, ctypes.c_size_t, sizes),
    ]
    return library


LIBRARY = library_at(_SOURCE.with_name("_scan.so"))


class Scan:
    """Finds the values of one field. Many threads may ask one, and none waits for another."""

    def __init__(self, library: ctypes.CDLL, made: int) -> None:
        self._places = library.scan_places
        self._made = made
        finalize(self, library.scan_free, made)

    def places(self, block: bytes) -> list[int]:
        """Where the name of the field stands whose value could be one of those."""
        size, found = len(block), list[int]()
        places, at = _Places(), ctypes.c_size_t(0)
        while at.value < size:
            count = self._places(
                self._made, block, at.value, size, places, _PLACES_AT_ONCE, ctypes.byref(at)
            )
            found += places[:count]
        return found


def scan_of(name: bytes, behind: Behind, telling: bytes) -> Scan | None:
    """What finds these values behind this name; `telling`: text that says how often signs come.

    None without a library, or without memory for it.
    """
    values = b"".join(behind.values)
    if LIBRARY is None or len(values) > _MOST_BYTES:
        return None
    needle = name + b'"'
    starts = list(accumulate(map(len, behind.values), initial=0))
    alike = b"".join(bytes((len(sign),)) + sign for sign in behind.alike) + b"\0"
    how = (behind.digits, behind.texts, behind.folded, behind.abroad)
    made = LIBRARY.scan_new(
        *(needle, len(needle), (ctypes.c_size_t * 2)(*_rarest(needle, telling))),
        *(values, (ctypes.c_uint32 * len(starts))(*starts), len(behind.values)),
        *(alike, len(alike), (ctypes.c_int * len(how))(*how), secrets.randbits(64)),
    )
    return Scan(LIBRARY, made) if made else None


def _rarest(needle: bytes, telling: bytes) -> tuple[int, int]:
    """Where the two rarest signs of this needle stand in it; one sign twice, if it has only one."""
    by_rarity = sorted(range(len(needle)), key=lambda at: telling.count(needle[at]))
    other = next((at for at in by_rarity if needle[at] != needle[by_rarity[0]]), by_rarity[0])
    return by_rarity[0], other
