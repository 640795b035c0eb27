"""Mentions, links and affected people; the reader agrees with plainer ones and stays small."""

from __future__ import annotations

import csv as stdlib_csv
import io
import json
import logging
import resource
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from importlib import resources
from itertools import chain
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.s3.formats.csv import CsvEntry, csv
from connectors.s3.formats.csv_dialect import Dialect
from connectors.s3.formats.ndjson import JsonEntry, ndjson
from connectors.s3.formats.text import raw_of
from connectors.s3.reading.owners import Owners
from dsr_worker.contract import Configuration, Identity, LeakScope, Subject
from dsr_worker.datamap import read_system
from dsr_worker.testing.context import TrialContext
from dsr_worker.testing.shop import Shop
from dsr_worker.testing.shop.load import load_s3
from tests.contract.s3_support import (
    EVENTS,
    FILES,
    affected,
    connector,
    lines,
    members,
    number,
    person,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

from tests.contract.s3_erasures import erased, event, outcomes
from tests.examples import examples

# ---- mentions, links, breaches


def test_mentions_are_reported_and_stay(s3: S3Client, s3_endpoint: str, bucket_name: str) -> None:
    """Another's record that names the subject is reported by place; parts of words are not."""
    rows = [
        event(1, "2", note="call ANNA@shop.example, please"),
        event(2, "2", note="hanna@shop.example"),
        event(3, "2", referrer="1", quantity="1"),
        event(4, "1", note="anna@shop.example"),
    ]
    body = lines(rows) + b'{"broken": "anna@shop.example\n'
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=body)
    made = connector(s3_endpoint, bucket_name, EVENTS)
    anna = person("case", ("email", "anna@shop.example"), ("customer_number", "1"))
    found = {(m.key[1], m.field) for m in made.mentions([anna], TrialContext())}
    place = f"byte {len(lines(rows))}"
    assert found == {("e1", "note"), ("e3", "referrer"), (place, "(unreadable line)")}


def test_third_parties_are_withheld(s3: S3Client, s3_endpoint: str, bucket_name: str) -> None:
    """A mapped field about others is left out of the record and named."""
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines([event(1, "1", agent="Kim")]))
    (record,) = connector(s3_endpoint, bucket_name, EVENTS).find([number("1")], TrialContext())
    assert [(w.field, w.ground) for w in record.withheld] == [("agent", "AC_RIGHTS_OF_OTHERS")]
    assert b"Kim" not in record.body
    assert json.loads(record.body)["event_id"] == "e1"


def test_links_count_other_owners(s3: S3Client, s3_endpoint: str, bucket_name: str) -> None:
    """An identity that others' records carry as well is contested."""
    rows = [event(1, "1", session="s1"), event(2, "1", session="s2"), event(3, "2", session="s2")]
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines(rows))
    links = connector(s3_endpoint, bucket_name, EVENTS).resolve([number("1")], TrialContext())
    found = {(link.identity, link.owners, link.via) for link in links}
    assert found == {
        (Identity("session_id", "s1"), 0, "customer_number"),
        (Identity("session_id", "s2"), 1, "customer_number"),
    }


def test_a_known_name_that_others_carry_is_told(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """A session that came with the request stands in somebody else's record as well."""
    rows = [event(1, "1", session="s1"), event(2, "1", session="s2"), event(3, "2", session="s2")]
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines(rows))
    known = person("case", ("customer_number", "1"), ("session_id", "s1"), ("session_id", "s2"))
    links = connector(s3_endpoint, bucket_name, EVENTS).resolve([known], TrialContext())
    assert [(link.identity.value, link.owners) for link in links] == [("s2", 1)]


def test_each_record_that_is_a_person_is_told(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Where a record is a person, two records of one known address are two people."""
    rows = [
        event(1, "1", user={"email": "anna@shop.example"}),
        event(2, "2", user={"email": "ANNA@shop.example"}),
    ]
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines(rows))
    anna = person("case", ("email", "anna@shop.example"), ("customer_number", "1"))
    made = connector(s3_endpoint, bucket_name, replace(EVENTS, person=True, yields={}))
    links = list(made.resolve([anna], TrialContext()))
    assert {link.key for link in links} == {("events/a", "e1"), ("events/a", "e2")}
    assert {link.identity for link in links} <= set(anna.identities)


def test_affected_people(s3: S3Client, s3_endpoint: str, bucket_name: str) -> None:
    """A leak reaches each person with a record in its window and fields, wherever they live."""
    rows = [event(1, "1", country="DE", note="x"), event(2, "2", note="x"), event(3, "3")]
    rows.append(event(4, "4", note="x") | {"at": "2026-12-01T00:00:00Z"})
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines(rows))
    s3.put_object(Bucket=bucket_name, Key="customers/7/a", Body=b"x")
    made = connector(s3_endpoint, bucket_name, FILES, EVENTS)
    scopes = [LeakScope("events", ("note",), None, datetime(2026, 6, 1, tzinfo=UTC))]
    scopes.append(LeakScope("files", ("body",)))
    found = {(p.identities, p.residence) for p in affected(made, *scopes)}
    assert found == {
        ((Identity("customer_number", "1"),), "DE"),
        ((Identity("customer_number", "2"),), None),
        ((Identity("customer_number", "7"),), None),
    }


def test_residences_are_those_of_own_records(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Each differing text of a person's own records once, as it stands, and nobody else's."""
    rows = [event(1, "1", country="DE"), event(2, "1", country="DE"), event(3, "1", country="ch")]
    rows += [event(4, "2", country="FR"), event(5, "3")]
    s3.put_object(Bucket=bucket_name, Key="events/a", Body=lines(rows))
    s3.put_object(Bucket=bucket_name, Key="customers/1/a", Body=b"x")
    made = connector(s3_endpoint, bucket_name, FILES, EVENTS)
    asked = [Subject(f"s{n}", (Identity("customer_number", n),)) for n in ("1", "3")]
    found = [
        (r.subject_ref, r.collection, r.stated) for r in made.residences(asked, TrialContext())
    ]
    assert sorted(found) == [("s1", "events", "DE"), ("s1", "events", "ch")]
    unmarked = connector(s3_endpoint, bucket_name, replace(EVENTS, residence=None))
    assert not list(unmarked.residences(asked, TrialContext()))


values = st.sampled_from(
    ["1", "10", 1, 1.0, True, None, "a@b.example", "A@b.Example", "\u0131", "x"]
)
records = st.fixed_dictionaries(
    {"event_id": st.integers(0, 3), "customer": values},
    optional={"user": st.fixed_dictionaries({"email": values}), "note": st.text(max_size=6)},
)


@settings(max_examples=examples(150))
@given(st.lists(records, max_size=12), st.booleans(), st.sampled_from([7, 64, 4096]))
def test_the_prefilter_agrees_with_full_parsing(
    found: list[dict[str, object]],
    ascii_only: bool,  # noqa: FBT001 - hypothesis passes by position
    block: int,
) -> None:
    """Skipping blocks never changes who owns what, and every byte comes out again."""
    body = b"".join(json.dumps(r, ensure_ascii=ascii_only).encode() + b"\n" for r in found)
    subjects = [person("p", ("customer_number", "1"), ("email", "a@b.example"))]
    owners = Owners(EVENTS, subjects, TrialContext())

    def run(*, skipping: bool) -> tuple[bytes, list[bytes]]:
        chunks = (body[i : i + block] for i in range(0, len(body), block))
        wanted = owners.wanted() if skipping else None
        pieces = list(chain.from_iterable(ndjson().pieces(chunks, wanted)))
        out = b"".join(map(raw_of, pieces))
        mine = [p.raw for p in pieces if isinstance(p, JsonEntry) and owners.of(p)]
        return out, mine

    assert run(skipping=True) == run(skipping=False)
    assert run(skipping=True)[0] == body
    independent = [
        r
        for r in map(json.loads, body.splitlines())
        if (r["customer"] == "1" or (type(r["customer"]) is int and r["customer"] == 1))
        or str(r.get("user", {}).get("email")).lower() == "a@b.example"
    ]
    assert [json.loads(raw) for raw in run(skipping=True)[1]] == independent


cells = st.text(alphabet='ab",\n\r é', max_size=6)


@settings(max_examples=examples(200), suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(cells, min_size=3, max_size=3), max_size=6), st.integers(1, 9))
def test_csv_agrees_with_the_standard_reader(rows: list[list[str]], block: int) -> None:
    """Whatever the standard writer writes is split as the standard reader reads it."""
    text = io.StringIO(newline="")
    writer = stdlib_csv.writer(text)
    writer.writerow(["row_id", "email", "x"])
    writer.writerows(rows)
    body = text.getvalue().encode()
    chunks = (body[i : i + block] for i in range(0, len(body), block))
    pieces = list(chain.from_iterable(csv(Dialect(), ["email"]).pieces(chunks, None)))
    assert b"".join(map(raw_of, pieces)) == body
    found = [[v for _, v in p.scalars()] for p in pieces if isinstance(p, CsvEntry)]
    assert found == rows
    for piece in pieces:
        if isinstance(piece, CsvEntry):
            changed = CsvEntry(piece.masked({"x": 'q"\n'}), piece.columns, Dialect())
            assert [v for _, v in changed.scalars()][:2] == [v for _, v in piece.scalars()][:2]
            assert changed.value("x") == 'q"\n'


# ---- bounds


@pytest.mark.slow
def test_memory_does_not_grow_with_the_object(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Ten times the object is not ten times the memory, compressed or not."""
    line = lines([event(2, "2", pad="abcdefgh" * 60)])
    made = connector(s3_endpoint, bucket_name, EVENTS)

    def run(repeats: int, key: str) -> int:
        part = line * 2000
        body = members(*[part] * repeats, lines([event(1, "1")]))
        s3.put_object(Bucket=bucket_name, Key=key, Body=body)
        assert outcomes(erased(made, [number("1")], TrialContext())) == {"erased": 1}
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

    small = run(3, "events/small.gz")
    large = run(60, "events/large.gz")
    assert large - small < 20, f"{small} MiB, then {large} MiB for 66 MB more"


def test_nothing_personal_is_said(
    s3: S3Client, s3_endpoint: str, bucket_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """No log line and no error text names a key, an identity or a value."""
    marker = "zqmarkerzq"
    s3.put_object(Bucket=bucket_name, Key=f"customers/{marker}/a", Body=b"x")
    body = b'{"event_id":"1","customer":"zqmarkerzq"}\nbroken zqmarkerzq\n'
    s3.put_object(Bucket=bucket_name, Key=f"events/{marker}", Body=body)
    with caplog.at_level(logging.INFO):
        made = connector(s3_endpoint, bucket_name, FILES, EVENTS)
        erased(made, [number(marker)], TrialContext())
        missing = connector(s3_endpoint, "no-such-bucket", FILES)
        with pytest.raises(Configuration) as error:
            list(missing.find([number(marker)], TrialContext()))
    assert marker not in caplog.text
    assert marker not in str(error.value)


def test_the_shop_comes_out_as_its_generator_says(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """The generator's truth is what is found, goes, is mentioned, and what stays as it was."""
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    shop = Shop(seed=7, customers=40)
    load_s3(shop, s3, bucket_name)
    map_text = resources.files("dsr_worker.testing.shop").joinpath("systems/files.yaml").read_text()
    made = connector(s3_endpoint, bucket_name, *read_system(map_text).system.collections.values())

    def people(numbers: Iterable[int]) -> list[Subject]:
        truths = [shop.truth(n, now=now) for n in numbers]
        return [person(str(t.number), *t.identities.items()) for t in truths]

    def found(numbers: Iterable[int]) -> dict[tuple[object, ...], bytes]:
        records = made.find(people(numbers), TrialContext(second_path=True))
        return {(int(r.subject_ref), r.collection, r.key): r.body for r in records}

    leaving, staying = (0, 3, 11), [n for n in range(40) if n not in (0, 3, 11)]
    expected = {
        (n, row.collection, row.key)
        for n in leaving
        for row in shop.truth(n, now=now).rows
        if row.system == "files"
    }
    assert set(found(leaving)) == expected
    others = found(staying)
    mentioned = {
        (m.subject_ref, m.collection, m.key) for m in made.mentions(people(leaving), TrialContext())
    }
    for n in leaving:
        for place in shop.truth(n, now=now).mentions:
            if place.system == "files":
                assert (str(n), place.collection, place.key) in mentioned
    assert outcomes(erased(made, people(leaving), TrialContext())) == {"erased": len(expected)}
    assert found(leaving) == {}
    assert found(staying) == others
