"""The wire to one bucket: listing, reading and erasing versions, and what their errors mean.

In: keys and version ids. Out: versions, streams, failures by version. Reads are retried a few
times by the client; writes only where their room knows what a repeat may mean. Object keys can hold
identities: no text of an error names one. New bytes get into an object's place by `commit`.
"""

from __future__ import annotations

from connectors.s3.server.client import ARCHIVES, Spend, Version
from connectors.s3.server.erasing import Erases


class Bucket(Erases):
    """One bucket; each base is one kind of request."""


def with_no_budget(calls: int = 1) -> None:
    """For `check`, which runs outside any step and has no rate budget."""


__all__ = ["ARCHIVES", "Bucket", "Spend", "Version", "with_no_budget"]
