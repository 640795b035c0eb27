"""Text objects in a bucket, and what an erasure leaves of them. All people are invented."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from dsr_worker.contract import NeedsHuman, Subject
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_erasures import erased, event
from tests.contract.s3_support import (
    EVENTS,
    EXPORTS,
    connector,
    current,
    lines,
    person,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from connectors.s3 import S3
    from dsr_worker.contract import Collection


ANNA = person("anna", ("email", "anna@shop.example"))
MINE, OTHER = lines([event(1, "1")]), lines([event(2, "2"), event(3, "11")])


def events(**source: Any) -> Collection:
    """The events, by a customer number alone, with more said of how they are written."""
    return replace(EVENTS, source={**EVENTS.source, **source})


def exports(**source: Any) -> Collection:
    """The exports, with more said of how they are written."""
    return replace(EXPORTS, source={**EXPORTS.source, **source})


class Texts:
    """One object in a bucket, and what an erasure leaves of it."""

    def __init__(self, client: S3Client, endpoint: str, name: str) -> None:
        self.client, self.endpoint, self.name = client, endpoint, name

    def made(self, collection: Collection) -> S3:
        """The connector with this collection."""
        return connector(self.endpoint, self.name, collection)

    def put(self, collection: Collection, body: bytes, key: str = "a", **more: Any) -> str:
        """An object of the collection; its key."""
        place = f"{collection.source['prefix']}{key}"
        self.client.put_object(Bucket=self.name, Key=place, Body=body, **more)
        return place

    def without(
        self, collection: Collection, body: bytes, subject: Subject, key: str = "a", **more: Any
    ) -> bytes:
        """What is left of an object when the subject's records are gone."""
        place = self.put(collection, body, key, **more)
        made = self.made(collection)
        erased(made, [subject], TrialContext())
        assert not list(made.recheck([subject], [], TrialContext(second_path=True)))
        return current(self.client, self.name, place)

    def reason(self, collection: Collection, body: bytes, subject: Subject) -> str:
        """Why an object stops for a person."""
        self.put(collection, body)
        with pytest.raises(NeedsHuman, match="s3-unreadable-object") as stop:
            list(self.made(collection).find([subject], TrialContext()))
        return str(stop.value.fields["reason"])
