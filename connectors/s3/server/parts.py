"""How an object goes up in parts: which the server copies, which are sent.

In: the segments of a draft. Out: parts that a multipart upload takes: each but the last of 5 MiB at
least, none above 5 GiB, 10,000 at most (S3 multipart limits). A stretch that is too short to be a
part borrows from the range behind it. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from connectors.s3.server.draft import MIB, SHORTEST_PART_BYTES, Segment

MOST_PARTS = 10_000
LONGEST_PART_BYTES = 5 * 1024 * MIB
_SENT_BYTES = 64 * MIB
_COPIED_BYTES = 512 * MIB  # a server copies this well within a read's timeout
_MOST_CUTS = 2_000  # of what is sent, and twice as many of what is copied

Part = list[Segment]


def copied(part: Part) -> bool:
    """Whether the server can copy the part by itself: one long range of the stored object."""
    return len(part) == 1 and part[0].stays and part[0].length >= SHORTEST_PART_BYTES


def parts_of(segments: Sequence[Segment]) -> list[Part]:
    """The parts, in order. A part that is not `copied` is sent, whatever it is made of."""
    size = sum(segment.length for segment in segments)
    sent = max(_SENT_BYTES, size // _MOST_CUTS)
    copy = min(LONGEST_PART_BYTES, max(_COPIED_BYTES, size // (2 * _MOST_CUTS)))
    parts: list[Part] = []
    waiting: Part = []
    for segment in segments:
        if not segment.stays:
            waiting.append(segment)
            continue
        lacking = max(0, SHORTEST_PART_BYTES - _length(waiting)) if waiting else 0
        if segment.length - lacking < SHORTEST_PART_BYTES:
            waiting.append(segment)
            continue
        if lacking:
            waiting.append(_piece(segment, 0, lacking))
        parts += _cut(waiting, sent)
        waiting = []
        parts += _cut([_piece(segment, lacking, segment.length - lacking)], copy)
    return parts + _cut(waiting, sent)


def _length(part: Iterable[Segment]) -> int:
    return sum(segment.length for segment in part)


def _piece(segment: Segment, at: int, length: int) -> Segment:
    return Segment(segment.stays, segment.start + at, length)


def _cut(whole: Part, longest: int) -> list[Part]:
    """Into parts of about the same length."""
    total = _length(whole)
    many = -(-total // longest)
    borders = [total * n // many for n in range(many + 1)] if many else []
    return [_between(whole, begin, end) for begin, end in pairwise(borders)]


def _between(whole: Part, begin: int, end: int) -> Part:
    found: Part = []
    at = 0
    for segment in whole:
        first, last = max(begin - at, 0), min(end - at, segment.length)
        if first < last:
            found.append(_piece(segment, first, last - first))
        at += segment.length
    return found
