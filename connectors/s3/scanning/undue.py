"""What is known of objects that a sweep read in full: that nothing in them is due.

In: the versions of an object and the table that decides. Out: whether a reading by this very table
met exactly these versions and had nothing to tell of them. A sweep counts, counts again and acts:
an object in which nothing was due is read by the first of these. A second look reads for itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from typing import Any

from connectors.s3.scanning.verdicts import rules_of
from connectors.s3.server.bucket import Version
from dsr_worker.contract import Collection, Context, DecisionTable

_CHECK_BYTES = 16


class Undue:
    """The objects of one collection that a sweep may pass over, for one call."""

    def __init__(self, collection: Collection, ctx: Context) -> None:
        self._name = collection.name
        self._ctx = ctx
        self._rules = rules_of(collection) + _told(ctx.table(collection.name))

    def holds(self, versions: Sequence[Version]) -> bool:
        """Whether exactly these versions were read by this table, and nothing was due in them."""
        if self._ctx.second_path:
            return False
        return self._ctx.state.get(self._place(versions)) == self._check(versions)

    def note(self, versions: Sequence[Version]) -> None:
        """Nothing was due in these versions, all of which were read."""
        if not self._ctx.second_path:
            self._ctx.state.put(self._place(versions), self._check(versions))

    def forget(self, versions: Sequence[Version]) -> None:
        """Know nothing of an object any more."""
        self._ctx.state.forget(self._place(versions))

    def _place(self, versions: Sequence[Version]) -> str:
        return f"undue/{self._name}/{versions[0].key}"

    def _check(self, versions: Sequence[Version]) -> bytes:
        """What it was told of; a change of anything makes it void."""
        made = hashlib.blake2b(self._rules, digest_size=_CHECK_BYTES)
        for text in sorted(f"{v.version_id}\0{v.etag}\0{v.size_bytes}\n" for v in versions):
            made.update(text.encode())
        return made.digest()


def _told(table: DecisionTable) -> bytes:
    """A table as bytes, the same in every process."""
    return json.dumps(_plain(table)).encode("utf-8", "surrogatepass")


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        named = [[field.name, _plain(getattr(value, field.name))] for field in fields(value)]
        return [type(value).__name__, named]
    if isinstance(value, Mapping):
        return sorted([str(name), _plain(part)] for name, part in value.items())
    if isinstance(value, AbstractSet):
        return sorted(map(str, value))
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    return repr(value)
