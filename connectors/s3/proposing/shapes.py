"""What segments of keys are: constants, dates, what identifies something, Hive partitions.

In: the names of folders and files beside each other. Out: their common shape. Pure. A name that is
data never leaves this room but as its shape.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from connectors.naming.forms import form_of

_DATE = re.compile(r"(?:19|20)[0-9]{2}(?:[-_]?[01][0-9](?:[-_]?[0-3][0-9])?)?(?:[T_-][0-9:.Z-]+)?")
_TWO_DIGITS = re.compile(r"[0-9]{2}")
_HIVE = re.compile(r"([A-Za-z_][A-Za-z0-9_-]*)=(.*)", re.DOTALL)
_CODED = re.compile(r"(?:[A-Za-z]{1,8}[_-])?(?=[A-Za-z]*[0-9])[A-Za-z0-9]{1,40}")
_LEAD = re.compile(r"[A-Za-z]+(?:[ _-][A-Za-z]+)*")
_NUMBERED = re.compile(r"[a-z]{1,12}[0-9]{1,2}[a-z]{0,4}")  # with a count: v2, zone10, i18n
_MOST_CONSTANTS = 40
_MANY_NAMES = 8
_SHARE = 0.8


class Shape(StrEnum):
    """What a segment holds."""

    CONSTANT = "constant"
    DATE = "date"
    EMAIL = "email"
    NUMBER = "number"
    UUID = "uuid"
    CODE = "code"
    ANY = "any"  # many different words

    @property
    def identifies(self) -> bool:
        """Whether such a segment could be somebody's name in a system."""
        return self in {Shape.EMAIL, Shape.NUMBER, Shape.UUID, Shape.CODE}


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment of a key: constant with its text, or a shape, with its name in a partition."""

    shape: Shape
    text: str = ""
    hive: str = ""

    @property
    def before(self) -> str:
        """What stands before the part that varies."""
        return f"{self.hive}=" if self.hive else ""


def shape_of(name: str, *, after_date: bool = False) -> Shape:
    """The shape of one name."""
    if _DATE.fullmatch(name) or (after_date and _TWO_DIGITS.fullmatch(name)):
        return Shape.DATE
    form = form_of(name)
    if form in {"email", "uuid"}:
        return Shape(form)
    if name.isascii() and name.isdigit():
        return Shape.NUMBER
    return Shape.CODE if _CODED.fullmatch(name) else Shape.CONSTANT


def segments_of(
    names: Sequence[str], *, after_date: bool, of_people: bool = False
) -> dict[Segment, list[str]]:
    """The folders right under one prefix, by the segments they are; constants one by one.

    Where the folder above is called after people (`of_people`), many words are names of theirs.
    """
    found: dict[Segment, list[str]] = {}
    plain: dict[str, Shape] = {}
    for name in names:
        partition = _HIVE.fullmatch(name)
        if partition is None:
            plain[name] = shape_of(name, after_date=after_date)
            continue
        shape = shape_of(partition[2], after_date=after_date)
        varies = Shape.ANY if shape is Shape.CONSTANT else shape
        found.setdefault(Segment(varies, hive=partition[1]), []).append(name)
    words = [name for name, shape in plain.items() if shape is Shape.CONSTANT]
    several = Shape.CONSTANT
    if of_people and len(words) >= _MANY_NAMES:
        several = Shape.CODE
    elif len(words) > _MOST_CONSTANTS:
        several = Shape.ANY
    for name, shape in plain.items():
        if shape is Shape.CODE and _NUMBERED.fullmatch(name):
            shape = Shape.CONSTANT  # noqa: PLW2901 - a word with a count
        told = several if shape is Shape.CONSTANT else shape
        segment = Segment(told, name) if told is Shape.CONSTANT else Segment(told)
        found.setdefault(segment, []).append(name)
    return found


def _common(shapes: Iterable[Shape]) -> tuple[Shape, float]:
    counted = Counter(shapes)
    if not counted:
        return Shape.CONSTANT, 0.0
    shape, times = counted.most_common(1)[0]
    return shape, times / counted.total()


def stem_shape(names: Sequence[str]) -> tuple[Shape, str]:
    """What files are called before their extension, and the extension that most of them have."""
    stems = [name.rpartition(".")[0] or name for name in names]
    endings = Counter(name[len(stem) :] for name, stem in zip(names, stems, strict=True))
    shape, share = _common(shape_of(stem) for stem in stems)
    return (shape if share >= _SHARE else Shape.ANY), endings.most_common(1)[0][0]


def lead(name: str) -> str:
    """The words that a file's name begins with: `orders-0001.csv` and `orders-0002.csv` agree."""
    found = _LEAD.match(name.partition(".")[0])
    return found[0] if found else ""
