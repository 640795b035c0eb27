"""Connectors that act without looking whether they already did.

Why: a drill proves that nothing happens twice only if it would see it. In: what the real connectors
take. Out: their work, and before it one more change each, made again by every repeat.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing

from connectors.helpdesk import Zendesk
from connectors.helpdesk.api import Api, Line
from connectors.s3 import S3
from connectors.s3.config import Config
from dsr_worker.contract import Context, Key, Receipt, Subject, System
from tests import services as real


class CarelessS3(S3):
    """Writes an object for each subject before it erases."""

    def __init__(self, system: System, config: Config) -> None:
        super().__init__(system, config)
        self._where = config

    def erase(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Receipt]:
        """Write, then erase."""
        located = list(keys)
        if not ctx.dry_run:
            client = real.s3_client(self._where.endpoint_url or "")
            with ctx.guard() as guard:
                guard.intend(())
                for subject in subjects:
                    (number,) = subject.values("customer_number")
                    client.put_object(Bucket=self._where.bucket, Key=f"done/{number}", Body=b"")
            client.close()
        yield from super().erase(subjects, located, ctx)


class CarelessZendesk(Zendesk):
    """Updates each located user before it erases."""

    def erase(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Receipt]:
        """Update, then erase."""
        located = list(keys)
        if not ctx.dry_run:
            with closing(Line(self._config)) as line, ctx.guard() as guard:
                guard.intend(())
                for key in located:
                    if key.collection == "users":
                        Api(line, ctx).put(f"users/{key.key[0]}", {"user": {"notes": "gone"}})
        yield from super().erase(subjects, located, ctx)
