"""Erasing in S3 in a line, and a death in the middle of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from connectors.s3.server.probe import Honoured
from dsr_worker.contract import Action, Always, Receipt, Rule, Subject
from dsr_worker.testing.context import TrialContext
from tests.services import s3_endpoints

if TYPE_CHECKING:
    from connectors.s3 import S3


ERASE = Rule("default", Always(), Action.ERASE)


class Crash(BaseException):
    """The worker dies here."""


def crash() -> None:
    """Die."""
    raise Crash


def sound(ctx: TrialContext, endpoint: str, bucket: str, honoured: Honoured) -> TrialContext:
    """The context, in which the endpoint was probed today and honoured these conditions."""
    value = {"at": ctx.now.isoformat(), "honoured": asdict(honoured)}
    ctx.state.put(f"s3-honoured {endpoint} {bucket}", json.dumps(value).encode())
    return ctx


def erased(s3_connector: S3, subjects: Sequence[Subject], ctx: TrialContext) -> list[Receipt]:
    """Locate, then erase what was located; the receipts must add up to it.

    Moto by itself is not probed again each time: most of an erasure's requests would be that.
    """
    config = s3_connector._bucket.config
    if config.endpoint_url in s3_endpoints and not ctx.state.get("s3-honoured"):
        sound(ctx, config.endpoint_url, config.bucket, Honoured(put=True, delete=True))
    keys = list(s3_connector.locate(subjects, ctx))
    receipts = list(s3_connector.erase(subjects, keys, ctx))
    assert sum(r.rows for r in receipts) == len(keys)
    return receipts


def outcomes(receipts: Sequence[Receipt]) -> dict[str, int]:
    """Rows by outcome over all receipts."""
    counts: dict[str, int] = {}
    for receipt in receipts:
        for outcome in receipt.outcomes:
            if outcome.rows:
                counts[outcome.outcome] = counts.get(outcome.outcome, 0) + outcome.rows
    return counts


def event(n: int, customer: object, **more: object) -> dict[str, object]:
    """An invented event."""
    return {"event_id": f"e{n}", "at": "2026-01-01T00:00:00Z", "customer": customer, **more}
