"""Our own uploads that were begun and not ended, so that a dead worker's parts do not stay.

In: upload ids as they are begun and ended. Out: the abort of those that nobody will end: an earlier
attempt of the same work, and any other after a day. They stand in the connector's state, by object:
two batches may write the same object at once, and neither ends the other's upload.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from connectors.s3.server.bucket import Bucket
from connectors.s3.server.uploads import abort
from dsr_worker.contract import Context

_LIVES = timedelta(days=1)


class Begun:
    """The uploads of one object; `place` is the object's digest."""

    def __init__(self, bucket: Bucket, key: str, place: str, ctx: Context) -> None:
        self._bucket = bucket
        self._key = key
        self._name = f"s3-uploads-{place}"
        self._ctx = ctx

    def add(self, upload_id: str) -> None:
        """Note an upload, before it holds any data."""
        self._write({**self._read(), upload_id: (self._ctx.operation_id, str(self._ctx.now))})

    def forget(self, upload_id: str) -> None:
        """An upload has become the object, or was aborted."""
        self._write({name: of for name, of in self._read().items() if name != upload_id})

    def abort_left(self) -> None:
        """Abort those that nobody will end."""
        for upload_id, (operation, at) in self._read().items():
            old = self._ctx.now - datetime.fromisoformat(at) > _LIVES
            if old or operation == self._ctx.operation_id:
                self.abort(upload_id)

    def abort(self, upload_id: str) -> None:
        """Abort one; one that is gone is no error, and one whose abort is denied stays noted."""
        if abort(self._bucket, self._key, upload_id, self._ctx.spend):
            self.forget(upload_id)

    def _read(self) -> dict[str, tuple[str, str]]:
        return dict(json.loads(self._ctx.state.get(self._name) or b"{}"))

    def _write(self, uploads: dict[str, tuple[str, str]]) -> None:
        if uploads:
            self._ctx.state.put(self._name, json.dumps(uploads).encode())
        else:
            self._ctx.state.forget(self._name)
