"""Whose a name is in shared objects: counted over all that find reads, and over owners only."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dsr_worker.contract import Collection, Field, Form, Identity, Subject, Taken
from dsr_worker.domain.resolution import Resolution, absorb, start
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_support import connector, lines, number, person, system, versioned

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3 import S3Client

PHONE = "+49301234567"
SOURCE = {"layout": "shared", "prefix": "rows/", "format": "ndjson"}
CALLS = Collection(
    "calls",
    ("id",),
    {name: Field(name, "user") for name in ("id", "customer", "phone", "email", "secret")},
    takes={"customer_number": Taken("customer"), "phone": Taken("phone", Form.DIGITS)},
    yields={"phone": "phone", "email": "email"},
    source=SOURCE,
)
PEOPLE = Collection(
    "people",
    ("id",),
    {"id": Field("id", "user"), "email": Field("email", "user")},
    takes={"customer_number": Taken("id"), "email": Taken("email", Form.ASCII_CASE)},
    yields={"customer_number": "id"},
    person=True,
    source=SOURCE,
)
Row = dict[str, Any]
ANNA: Row = {"id": "1", "customer": "7", "phone": PHONE}


def _walk(
    made: tuple[S3Client, str, str], subject: Subject, collection: Collection, rounds: int = 3
) -> tuple[Resolution, set[tuple[str, ...]]]:
    """What is known of the subject at last, and which rows are then found."""
    _, endpoint, bucket = made
    desk = connector(endpoint, bucket, collection)
    known = start(subject.identities)
    for _ in range(rounds):
        asked = Subject("s", known.identities)
        known = absorb(known, system(collection), desk.resolve([asked], TrialContext()))
    return known, {r.key for r in desk.find([Subject("s", known.identities)], TrialContext())}


def test_a_stranger_in_an_old_version_is_an_owner(
    s3: S3Client, s3_endpoint: str, bucket: Callable[[], str]
) -> None:
    """Find reads old versions, so that a phone shared in one of them leads nowhere."""
    name = bucket()
    versioned(s3, name)
    bert = {"id": "2", "customer": "8", "phone": PHONE, "secret": "x"}
    for rows in ([ANNA, bert], [ANNA, bert], [ANNA]):
        s3.put_object(Bucket=name, Key="rows/a", Body=lines(rows))
    known, found = _walk((s3, s3_endpoint, name), number("7"), CALLS)
    assert known.contested == {Identity("phone", PHONE)}
    assert found == {("rows/a", "1")}
    links = connector(s3_endpoint, name, CALLS).resolve([number("7")], TrialContext())
    assert [link.owners for link in links] == [1], "one row, however many versions hold it"


def test_a_row_without_owner_is_nobody_elses(
    s3: S3Client, s3_endpoint: str, bucket: Callable[[], str]
) -> None:
    """A guest's row with the same phone and no owner contests nothing."""
    name = bucket()
    guest = {"id": "2", "customer": None, "phone": PHONE}
    s3.put_object(Bucket=name, Key="rows/a", Body=lines([ANNA, guest]))
    known, found = _walk((s3, s3_endpoint, name), number("7"), CALLS)
    assert not known.contested
    assert found == {("rows/a", "1"), ("rows/a", "2")}


def test_a_guest_with_another_name_is_somebody_else(
    s3: S3Client, s3_endpoint: str, bucket: Callable[[], str]
) -> None:
    """A row without a number that names another customer's phone and its own is a stranger's."""
    name = bucket()
    chat = Collection(
        "chat",
        ("id",),
        CALLS.fields,
        takes={"customer_number": Taken("customer"), "email": Taken("email", Form.ASCII_CASE)},
        yields={"phone": "phone"},
        source=SOURCE,
    )
    guest = {"id": "2", "customer": None, "phone": PHONE, "email": "bert@mail.example"}
    s3.put_object(Bucket=name, Key="rows/a", Body=lines([ANNA, guest]))
    known, found = _walk((s3, s3_endpoint, name), number("7"), chat)
    assert known.contested == {Identity("phone", PHONE)}
    assert found == {("rows/a", "1")}


def test_a_customer_in_every_snapshot_is_one_person(
    s3: S3Client, s3_endpoint: str, bucket: Callable[[], str]
) -> None:
    """The number is the key: daily copies are one person, though her address changed between."""
    name = bucket()
    days = {"1": "old@mail.example", "2": "new@mail.example", "3": "new@mail.example"}
    for day, email in days.items():
        rows = [{"id": 7, "email": email}, {"id": 8, "email": "bert@mail.example"}]
        s3.put_object(Bucket=name, Key=f"rows/{day}", Body=lines(rows))
    known, found = _walk(
        (s3, s3_endpoint, name), person("s", ("email", "new@mail.example")), PEOPLE
    )
    assert not known.contested
    assert not known.several_people
    assert not known.dropped
    assert found == {(f"rows/{day}", "7") for day in days}


def test_two_customers_of_one_address_stay_two(
    s3: S3Client, s3_endpoint: str, bucket: Callable[[], str]
) -> None:
    """Two numbers with one address in different snapshots are two people."""
    name = bucket()
    for customer in (7, 8):
        rows = [{"id": customer, "email": "anna@mail.example"}]
        s3.put_object(Bucket=name, Key=f"rows/{customer}", Body=lines(rows))
    subject = person("s", ("email", "anna@mail.example"))
    known, _ = _walk((s3, s3_endpoint, name), subject, PEOPLE, rounds=1)
    assert known.several_people
    known, _ = _walk((s3, s3_endpoint, name), number("7"), PEOPLE)
    assert not known.several_people


def test_a_number_declared_null_unites_nobody(
    s3: S3Client, s3_endpoint: str, bucket: Callable[[], str]
) -> None:
    """A guest's number that the map declares to name nobody neither finds nor gives a name."""
    name = bucket()
    fields = {**CALLS.fields, "customer": Field("customer", "user", null_values=frozenset({"0"}))}
    calls = replace(CALLS, fields=fields, yields={"customer_number": "customer"})
    rows = [{"id": n, "customer": 0, "phone": f"+4930123456{n}"} for n in (1, 2)]
    s3.put_object(Bucket=name, Key="rows/a", Body=lines(rows))
    made = (s3, s3_endpoint, name)
    known, found = _walk(made, person("s", ("phone", "+49301234561")), calls)
    assert not known.contested
    assert found == {("rows/a", "1")}
    assert _walk(made, number("0"), calls)[1] == set()
    assert len(_walk(made, number("0"), CALLS)[1]) == len(rows), "a real customer may be number 0"
