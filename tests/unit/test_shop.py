"""The invented shop is what its own truth says, in memory and in real systems."""

from __future__ import annotations

import csv
import gzip
import io
import json
import wave
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psycopg2
import pytest

from dsr_worker.contract import Outcome, System
from dsr_worker.datamap import load_systems
from dsr_worker.organisation import load_organisation
from dsr_worker.policies import load_policies
from dsr_worker.testing.shop import (
    Made,
    Place,
    Places,
    Shop,
    load_postgres,
    load_s3,
    load_zendesk,
    write_configuration,
)
from dsr_worker.testing.shop.__main__ import main
from dsr_worker.testing.shop.tables import TABLES
from dsr_worker.testing.shop.truth import MASKED, kept_until
from dsr_worker.testing.zendesk import Fake

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SHOP = Shop(seed=7, customers=120, subscribers=12)
PLACES = Places(s3_endpoint="http://127.0.0.1:1", zendesk_url="http://127.0.0.1:2")
POLICIES = ("at-shop", "de-shop", "fr-shop", "uk-shop", "us-ca-shop")


@pytest.fixture(scope="module")
def systems(tmp_path_factory: pytest.TempPathFactory) -> dict[str, System]:
    """The shop's data maps as the engine reads them."""
    folder = tmp_path_factory.mktemp("configuration")
    write_configuration(folder, PLACES)
    return {name: each.system for name, each in load_systems(folder / "systems").systems.items()}


def everything(shop: Shop) -> Iterator[tuple[int, Made]]:
    """All that was made, with the number of whom it was made for."""
    for number in shop.numbers:
        for thing in shop.made(number):
            yield number, thing


def text(value: Any) -> str:
    """A value as a reader would see it."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def by_collection(shop: Shop, system: str) -> dict[str, set[tuple[str, ...]]]:
    """The keys that the generator made in one system."""
    keys: dict[str, set[tuple[str, ...]]] = {}
    for _, thing in everything(shop):
        if thing.system == system:
            keys.setdefault(thing.collection, set()).add(thing.key)
    return keys


def test_same_seed_same_shop() -> None:
    """Two shops of one seed are equal to the last byte, of another seed they are not."""
    again = Shop(seed=7, customers=120, subscribers=12)
    other = Shop(seed=8, customers=120, subscribers=12)
    assert list(everything(SHOP)) == list(everything(again))
    assert list(everything(SHOP)) != list(everything(other))


def test_a_person_does_not_depend_on_who_was_asked_before() -> None:
    """The truth about one person is the same whether or not others were made first."""
    assert Shop(seed=7, customers=120, subscribers=12).truth(77, now=NOW) == SHOP.truth(77, now=NOW)


def test_markers_stand_in_their_owners_values_and_listed_places_only() -> None:
    """A marker found anywhere but in its owner's rows is at a place that the truth lists."""
    owner = {mark: n for n in SHOP.numbers for mark in SHOP.truth(n, now=NOW).markers}
    listed = {
        (number, place) for number in SHOP.numbers for place in SHOP.truth(number, now=NOW).mentions
    }
    found: set[tuple[int, Place]] = set()
    for number, thing in everything(SHOP):
        for name, value in thing.values.items():
            shown = text(value)
            about = {owner[mark] for mark in owner if mark in shown} - {number}
            found |= {
                (other, Place(thing.system, thing.collection, thing.key, name)) for other in about
            }
        content = thing.content or b""
        assert not [m for m, n in owner.items() if n != number and m.encode() in content]
    texts = {pair for pair in listed if not pair[1].field.endswith(("_id", "_ids"))}
    assert found == texts
    assert {place.collection for _, place in texts} == {
        "support_calls",
        "events",
        "comments",
        "tickets",
    }


def test_every_personal_text_carries_a_marker() -> None:
    """Nothing that names a person is left without their marker, file bodies included."""
    for number, thing in everything(SHOP):
        truth = SHOP.truth(number, now=NOW)
        marks = truth.markers | truth.shared_markers
        fields = MASKED.get(thing.collection, frozenset()) - {"birth_on"}
        for name in fields:
            if thing.values[name] is not None:
                assert any(m.lower() in thing.values[name].lower() for m in marks), name
        if thing.content is not None:
            assert any(mark.encode() in thing.content for mark in marks), thing.collection


def test_those_who_are_copied_in_are_listed_as_mentions() -> None:
    """A ticket copied to somebody, and what they wrote in it, are mentions of them."""
    copied = 0
    for number, thing in everything(SHOP):
        for user in thing.values.get("collaborator_ids", ()):
            other = next(n for n in SHOP.numbers if _desk_user(n) == user)
            place = Place("helpdesk", "tickets", thing.key, "collaborator_ids")
            assert place in SHOP.truth(other, now=NOW).mentions
            assert (place, other) in SHOP.truth(number, now=NOW).names_others
            copied += 1
    assert copied > 3


def _desk_user(number: int) -> int | None:
    user = SHOP.desk_user(number)
    return None if user is None else user["id"]


def test_special_customers_are_what_they_are_called() -> None:
    """Each constant names a customer with exactly that trait."""
    person = SHOP.person
    first, second = (person(n) for n in SHOP.SHARED_PHONE)
    assert first.phone_digits == second.phone_digits
    assert Counter(person(n).phone_digits for n in range(120))[first.phone_digits] == 2
    wildcard, neighbour = person(SHOP.UNDERSCORE).email, person(SHOP.UNDERSCORE_NEIGHBOUR).email
    assert len(wildcard) == len(neighbour)
    assert [(a, b) for a, b in zip(wildcard, neighbour, strict=True) if a != b] == [("_", "4")]
    lower, upper = (person(n).email for n in SHOP.CASE_PAIR)
    assert lower != upper
    assert lower.lower() == upper.lower()
    assert person(SHOP.ID_ZERO).customer_number == "0"
    assert person(SHOP.DROP_TABLE).name == "Robert'); DROP TABLE customers;--"
    assert SHOP.truth(SHOP.DISPUTED, now=NOW).held
    assert {r.outcome for r in SHOP.truth(SHOP.DISPUTED, now=NOW).rows} == {Outcome.RETAINED}


def test_one_customer_is_in_every_collection(systems: dict[str, System]) -> None:
    """The full customer has rows in each collection that the data maps know."""
    have = {(row.system, row.collection) for row in SHOP.truth(SHOP.FULL, now=NOW).rows}
    assert have == {(s.name, c) for s in systems.values() for c in s.collections}


@pytest.mark.parametrize(
    ("number", "invoice"),
    [
        (SHOP.LAST_DAY_OF_PERIOD, Outcome.MASKED),
        (SHOP.FIRST_DAY_OUT, Outcome.ERASED),
        *((n, Outcome.MASKED) for n in SHOP.INVOICES_IN_PERIOD),
        *((n, Outcome.ERASED) for n in SHOP.OLD_INVOICES),
    ],
)
def test_a_period_decides_the_invoice_and_all_above_it(number: int, invoice: Outcome) -> None:
    """An invoice inside its period stays masked and keeps order and customer; outside all goes."""
    rows = SHOP.truth(number, now=NOW).rows
    outcome = {c: {r.outcome for r in rows if r.collection == c} for c in TABLES}
    assert outcome["invoices"] == outcome["payments"] == {invoice}
    assert outcome["orders"] == outcome["customers"] == {invoice}
    assert outcome["order_lines"] == {Outcome.ERASED}


def test_the_last_day_ends_in_berlin() -> None:
    """The invoice of 31 December 2018 is kept until midnight in Berlin, not in Greenwich."""
    kept = SHOP.truth(SHOP.LAST_DAY_OF_PERIOD, now=datetime(2026, 12, 31, 22, 59, tzinfo=UTC))
    gone = SHOP.truth(SHOP.LAST_DAY_OF_PERIOD, now=datetime(2026, 12, 31, 23, 0, tzinfo=UTC))
    assert kept_until(date(2018, 12, 31)) == date(2026, 12, 31)
    assert {r.kept_until for r in kept.staying() if r.ground == "minimum"} == {date(2026, 12, 31)}
    assert not list(gone.staying())


def test_only_a_shared_phone_leaves_a_call_uncertain() -> None:
    """A call that two customers' one phone made is nobody's for certain; other such calls are."""
    uncertain = {n: SHOP.truth(n, now=NOW).uncertain for n in SHOP.numbers}
    assert {n for n, things in uncertain.items() if things} <= set(SHOP.SHARED_PHONE)
    assert uncertain[SHOP.SHARED_PHONE[0]]
    unnamed = [
        row
        for row in SHOP.truth(SHOP.FULL, now=NOW).rows
        if row.collection == "support_calls" and row.values["customer_id"] is None
    ]
    assert unnamed


def test_the_data_map_masks_what_the_truth_masks(systems: dict[str, System]) -> None:
    """Where rows may have to stay, map and truth name the same personal fields."""
    shop = systems["shop"].collections
    mapped = {
        name: frozenset(f.name for f in shop[name].fields.values() if f.mask) for name in MASKED
    }
    assert mapped == MASKED


def test_the_data_map_knows_every_column(systems: dict[str, System]) -> None:
    """Each value made for the database is a mapped field, and none is missing."""
    made: dict[str, set[str]] = {}
    for _, thing in everything(SHOP):
        if thing.system == "shop":
            made.setdefault(thing.collection, set()).update(thing.values)
    assert made == {name: set(c.fields) for name, c in systems["shop"].collections.items()}


def test_every_collection_says_why_it_is_kept(systems: dict[str, System]) -> None:
    """No text that Art. 15 GDPR asks for is missing, in the maps or in the organisation."""
    for system in systems.values():
        for collection in system.collections.values():
            assert collection.purpose, collection.name
            assert collection.legal_basis, collection.name
            assert collection.recipients, collection.name
            assert collection.origin, collection.name
            assert collection.record_class, collection.name


def test_the_configuration_loads_and_holds_no_secret(tmp_path: Path) -> None:
    """What is written loads without a fault, names secrets by reference and leaves no blank."""
    write_configuration(tmp_path, PLACES, policies=POLICIES)
    organisation = load_organisation(tmp_path / "organisation.yaml")
    for language in organisation.languages:
        assert not organisation.information[language].missing
    assert set(load_policies(tmp_path / "policies").by_name) == set(POLICIES)
    written = "".join(p.read_text("utf-8") for p in tmp_path.rglob("*.yaml"))
    assert "$" not in written
    assert "dsn: {env: SHOP_DSN}" in written


def test_every_policy_binds_to_classes_that_the_shop_has(
    tmp_path: Path, systems: dict[str, System]
) -> None:
    """No rule of a shipped policy is about a class that no collection has."""
    write_configuration(tmp_path, PLACES, policies=POLICIES)
    classes = {c.record_class for s in systems.values() for c in s.collections.values()}
    for policy in load_policies(tmp_path / "policies").by_name.values():
        assert {rule.record_class for rule in policy.file.rules} <= classes


def test_postgres_holds_what_was_made(database: Callable[[], str]) -> None:
    """After loading, each table has exactly the rows that the generator names."""
    dsn = database()
    seen: list[int] = []
    load_postgres(SHOP, dsn, progress=seen.append)
    assert seen == [len(SHOP.numbers)]
    connection = psycopg2.connect(dsn)
    try:
        with connection.cursor() as cursor:
            for table, keys in by_collection(SHOP, "shop").items():
                cursor.execute(f"SELECT * FROM {table}")  # noqa: S608 - our own tables' names
                assert {(str(row[0]),) for row in cursor} == keys, table
            cursor.execute("SELECT name, email FROM customers WHERE id = %s", (SHOP.DROP_TABLE,))
            robert = SHOP.person(SHOP.DROP_TABLE)
            assert cursor.fetchone() == (robert.name, robert.email)
    finally:
        connection.close()


def test_a_second_load_is_refused(database: Callable[[], str]) -> None:
    """A database that already holds a shop is left as it is."""
    dsn = database()
    small = Shop(customers=40, subscribers=0)
    load_postgres(small, dsn)
    with pytest.raises(psycopg2.errors.DuplicateTable):
        load_postgres(small, dsn)


def test_the_bucket_holds_what_was_made(s3: S3Client, bucket: Callable[[], str]) -> None:
    """Own files and records of shared objects are all there, byte for byte, and nothing else."""
    name = bucket()
    load_s3(SHOP, s3, name)
    found: dict[tuple[str, ...], Any] = {}
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=name)
    for key in [each["Key"] for page in pages for each in page["Contents"]]:
        body = s3.get_object(Bucket=name, Key=key)["Body"].read()
        if key.endswith(".ndjson.gz"):
            lines = [json.loads(line) for line in gzip.decompress(body).splitlines()]
            found |= {(key, line["event_id"]): line for line in lines}
        elif key.endswith(".csv"):
            rows = csv.DictReader(io.StringIO(body.decode(), newline=""))
            found |= {(key, row["row_id"]): row for row in rows}
        else:
            found[key,] = body
    made = {
        thing.key: thing.values if thing.content is None else thing.content
        for _, thing in everything(SHOP)
        if thing.system == "files"
    }
    assert found == made


def test_files_are_what_they_say() -> None:
    """Recordings play and papers are PDF, so that nothing needs to guess at their content."""
    for number in SHOP.numbers:
        for file in SHOP.files(number):
            if file.media_type == "audio/wav":
                with wave.open(io.BytesIO(file.body)) as sound:
                    assert sound.getnframes() == sound.getframerate() // 10
            else:
                start = int(file.body.split(b"startxref\n")[1].split()[0])
                assert file.body[start:].startswith(b"xref")


def test_the_helpdesk_holds_what_was_made() -> None:
    """Users, tickets, comments and files arrive under the ids that the truth names."""
    with Fake() as fake:
        load_zendesk(SHOP, fake.base_url)
        state = httpx.get(f"{fake.base_url}/__test__/dump", trust_env=False).json()
    keys = by_collection(SHOP, "helpdesk")
    users = {(str(user["id"]),) for user in state["users"] if user["role"] == "end-user"}
    comments = [(ticket["id"], said) for ticket in state["tickets"] for said in ticket["comments"]]
    assert users == keys["users"]
    assert {(str(ticket["id"]),) for ticket in state["tickets"]} == keys["tickets"]
    assert {(str(ticket), str(said["id"])) for ticket, said in comments} == keys["comments"]
    files = {
        (str(ticket), str(said["id"]), str(file["id"]))
        for ticket, said in comments
        for file in said["attachments"]
    }
    assert files == keys["attachments"]


def test_the_shell_loads_a_shop(
    database: Callable[[], str], capsys: pytest.CaptureFixture[str]
) -> None:
    """`python -m dsr_worker.testing.shop` fills the systems that it is told of, and says so."""
    dsn = database()
    main(["--customers", "40", "--dsn", dsn, "--today", "2026-11-21"])
    assert "44 of 44 people" in capsys.readouterr().err
    connection = psycopg2.connect(dsn)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM customers")
            assert cursor.fetchone() == (40,)
    finally:
        connection.close()


def test_a_shop_too_small_for_its_special_customers_is_refused() -> None:
    """Fewer customers than there are special ones would leave a constant without a customer."""
    with pytest.raises(ValueError, match="at least 40"):
        Shop(customers=39)
