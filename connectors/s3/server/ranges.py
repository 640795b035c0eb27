"""Ranges of keys, in which a bucket is listed part by part.

In: two keys. Out: whether a key lies between them. Keys are in the order of their UTF-8 bytes, in
which S3 lists general purpose buckets.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Keys after `after` up to and with `upto`; empty and None: no border."""

    after: str = field(default="", repr=False)
    upto: str | None = field(default=None, repr=False)

    def __contains__(self, key: str) -> bool:
        return self.after.encode() < key.encode() and not self.ends_before(key)

    def ends_before(self, key: str) -> bool:
        """Whether this key, and so every one that is listed after it, lies behind the range."""
        return self.upto is not None and self.upto.encode() < key.encode()


EVERY_KEY = KeyRange()
