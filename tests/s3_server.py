"""Moto's S3 server without its great wastes, for tests: `python -m tests.s3_server -p PORT`.

In: moto's own arguments. Out: its server. To list versions, moto copies every stored version of the
bucket with all its bytes; what is listed are names, sizes, dates and ETags, and copying those is
enough. For each request it looks twice through its own folders for what it can play. And it has no
GetObjectRetention: it answers with the object.
"""

from __future__ import annotations

from typing import Any

from moto import backends
from moto.core.common_types import TYPE_RESPONSE
from moto.s3.models import FakeKey
from moto.s3.responses import S3Response
from moto.server import ThreadedMotoServer, main


def _without_bytes(stored: FakeKey, _memo: Any) -> FakeKey:
    """What a listing shows of a version; it holds no bytes and has none to give back."""
    assert stored.etag  # computed from the bytes at the first call
    listed = object.__new__(FakeKey)
    vars(listed).update(vars(stored), disposed=True)
    del listed._value_buffer
    return listed


FakeKey.__deepcopy__ = _without_bytes  # type: ignore[attr-defined]  # moto copies for listings alone
_key_response_get = S3Response._key_response_get


def _with_retention(self: S3Response, query: dict[str, Any], key_name: str) -> TYPE_RESPONSE:
    """What a version's retention is, where that is asked for."""
    if "retention" not in query:
        return _key_response_get(self, query, key_name)
    stored, _ = self._get_key()
    if not stored.lock_mode:
        return 404, {}, "<Error><Code>NoSuchObjectLockConfiguration</Code></Error>"
    told = f"<Mode>{stored.lock_mode}</Mode><RetainUntilDate>{stored.lock_until}</RetainUntilDate>"
    return 200, {}, f"<Retention>{told}</Retention>"


S3Response._key_response_get = _with_retention  # type: ignore[method-assign]  # as above
_names = frozenset(backends.list_of_moto_modules())
backends.list_of_moto_modules = lambda: _names


def threaded(port: int = 0) -> ThreadedMotoServer:
    """A server for this process on a loopback port, not started yet: its memory is at hand."""
    return ThreadedMotoServer("127.0.0.1", port, verbose=False)


if __name__ == "__main__":
    main()
