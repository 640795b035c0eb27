"""An export, an erasure and a look for mentions that ask at once read each object's bytes once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from connectors.s3 import S3
from connectors.s3.server.bucket import Bucket
from dsr_worker.contract import Ask, Call, InOnePass, Subject
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_support import EVENTS, EXPORTS, FILES, lines, person
from tests.contract.test_s3_units_rooms import LINKED, TAGGED, archive, copied, fill, made

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ONE = person("one", ("customer_number", "1"), ("email", "one@mail.example"))
OTHER = person("other", ("customer_number", "2"), ("email", "other@mail.example"))
THIRD = person("third", ("email", "one@mail.example"))
COLLECTIONS = (FILES, TAGGED, LINKED, EVENTS, EXPORTS)


@pytest.fixture
def name(bucket: Callable[[], str], s3: S3Client) -> str:
    """A bucket with objects of two people in every kind of room, some in several versions."""
    made = bucket()
    s3.put_bucket_versioning(Bucket=made, VersioningConfiguration={"Status": "Enabled"})
    fill(s3, made)
    said = [{"event_id": "m", "customer": 3, "note": "one@mail.example and other@mail.example"}]
    s3.put_object(
        Bucket=made, Key="events/1", Body=lines([*said, {"event_id": "n", "customer": 1}])
    )
    return made


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, str]]:
    """How often the bytes of each version were asked for."""
    found = Counter[tuple[str, str]]()
    opened, ranged = Bucket.opened, Bucket.read

    def note(made: Any) -> Any:
        def asked(bucket: Bucket, version: Any, *given: Any) -> Any:
            found[version.key, version.version_id] += 1
            return made(bucket, version, *given)

        return asked

    monkeypatch.setattr(Bucket, "opened", note(opened))
    monkeypatch.setattr(Bucket, "read", note(ranged))
    return found


def asks(*asked: tuple[Call, list[Subject]]) -> list[Ask]:
    """Calls, each with a context of its own."""
    return [Ask(call, subjects, TrialContext()) for call, subjects in asked]


def shown(items: Iterable[Any]) -> Counter[str]:
    """Items as comparable texts."""
    fields = ("subject_ref", "collection", "key", "body", "field", "withheld")
    return Counter(
        repr([type(item).__name__, *(getattr(item, field, None) for field in fields)])
        for item in items
    )


def together(connector: S3, given: list[Ask]) -> list[Counter[str]]:
    """What each of these calls finds, in one pass."""
    assert isinstance(connector, InOnePass)
    found: list[list[Any]] = [[] for _ in given]
    for number, item in connector.together(given):
        found[number].append(item)
    return list(map(shown, found))


def apart(connector: S3, given: list[Ask]) -> list[Counter[str]]:
    """What each finds by itself."""
    return [shown(getattr(connector, a.call)(a.subjects, a.ctx)) for a in given]


def units(whole: S3) -> Iterator[S3]:
    """The connector within each unit, as one of the calls divides it."""
    parts = whole.units(Call.LOCATE, [ONE], TrialContext(), "")
    return (whole.in_unit(unit.name) for unit in parts)


THREE = (Call.FIND, [ONE]), (Call.LOCATE, [OTHER, THIRD]), (Call.MENTIONS, [ONE, OTHER])


def test_each_version_is_read_once_for_all(
    s3_endpoint: str, name: str, read: Counter[tuple[str, str]]
) -> None:
    """Find, locate and mentions of different people open each version of shared objects once."""
    whole = made(s3_endpoint, name)
    told = [together(part, asks(*THREE)) for part in units(whole)]
    shared = {place: count for place, count in read.items() if place[0].startswith("e")}
    assert len(shared) == 7
    linked_by_rows = 2  # objects that rows link are found by reading all rows, for each call
    assert {n for (key, _), n in shared.items() if key.startswith("exports/")} == {1}
    assert {n for (key, _), n in shared.items() if key.startswith("events/")} == {
        1 + linked_by_rows
    }
    found = [sum((part[n] for part in told), Counter[str]()) for n in range(3)]
    assert found == apart(whole, asks(*THREE))
    assert all(found)


def test_nobody_is_handed_what_another_asked_for(s3_endpoint: str, name: str) -> None:
    """Each call finds its own subjects alone, though a pass looks for all of them."""
    whole = made(s3_endpoint, name)
    given = asks(
        *THREE, (Call.FIND, [OTHER]), (Call.FIND, [person("no", ("email", "x@y.example"))])
    )
    for part in units(whole):
        for ask, found in zip(given, together(part, given), strict=True):
            refs = {repr(subject.ref) for subject in ask.subjects}
            assert {item.split(", ")[1] for item in found} <= refs


def test_divisions_of_all_calls_are_alike(s3_endpoint: str, name: str) -> None:
    """Whoever divides first divides for all: calls and people make no difference."""
    whole = made(s3_endpoint, name)
    divisions = {
        tuple(unit.name for unit in whole.units(call, people, TrialContext(), ""))
        for call in Call
        for people in ([ONE], [THIRD], [OTHER, THIRD])
    }
    assert len(divisions) == 1


def test_what_cannot_be_read_is_told_by_each_call(
    s3_endpoint: str, name: str, s3: S3Client
) -> None:
    """A version out of reach is withheld from an access and located, in a pass as alone."""
    archive(s3, name)
    for part in units(made(s3_endpoint, name)):
        given = asks((Call.FIND, [ONE]), (Call.LOCATE, [OTHER]), (Call.MENTIONS, [OTHER]))
        assert together(part, given) == apart(part, given)


def test_copies_are_located_in_the_pass_as_by_themselves(
    s3_endpoint: str, name: str, s3: S3Client, bucket: Callable[[], str]
) -> None:
    """Keys of copies come with the pass of the first unit, once."""
    copy = bucket()
    fill(s3, copy)
    whole = copied(s3_endpoint, name, copy)
    given = asks((Call.LOCATE, [ONE]), (Call.LOCATE, [OTHER]), (Call.MENTIONS, [OTHER]))
    told = [together(part, given) for part in units(whole)]
    found = [sum((part[n] for part in told), Counter[str]()) for n in range(3)]
    assert found == apart(whole, given)
    assert any("replica" in key for key in found[0])
