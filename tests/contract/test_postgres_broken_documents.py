r"""Documents in `json` that the server stores and cannot read: \u0000, and halves of surrogates.

One such row may neither stop anybody's request nor be left out of its own person's.
"""

from __future__ import annotations

import json
import random
import re

import pytest
from psycopg2.sql import SQL

from connectors.postgres import Postgres
from connectors.postgres.server.places import Column, Place
from dsr_worker.contract import (
    Action,
    Always,
    Correction,
    DecisionTable,
    Field,
    Form,
    Identity,
    LeakScope,
    Mask,
    MaskKind,
    Rule,
    Subject,
    Taken,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.postgres_shop import connected as plainly_connected
from tests.contract.postgres_shop import execute, query
from tests.contract.postgres_tables import collection, connected

ANNA, BERT = (Subject(name, (Identity("owner", name),)) for name in ("anna", "bert"))
NULL = Mask(MaskKind.NULL)
BROKEN = {
    "high": r"a\ud83d",
    "low": r"\ude00b",
    "turned round": r"\ude00\ud83d",
    "high before a pair": r"\ud83d\ud83d\ude00",
    "in capitals": r"\uDBFF\uD800",
    "after a backslash": r"\\\ud83d",
    "beside a NUL": r"\ud83d\u0000\ude00",
    "of a text": r"\\ud83d\ude00",
}


@pytest.fixture
def dsn(module_database: str) -> str:
    """A table of documents: Anna's whole one, Bert's, and who owns both by a column."""
    execute(
        module_database,
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public;"
        "CREATE TABLE d (id int PRIMARY KEY, doc json, at date DEFAULT '2020-01-01')",
    )
    execute(
        module_database,
        "INSERT INTO d VALUES (%s, %s)",
        [(1, '{"mail": "anna", "x": "whole"}'), (2, '{"mail": "bert", "x": "whole"}')],
    )
    return module_database


def mapped(dsn: str, **fields: Field) -> Postgres:
    """The documents, found by a key within them."""
    d = collection("d", "doc", owner=None, masks={"doc->>mail": NULL, "doc->>x": NULL}, person=True)
    found = {**d.fields, **{field.name: field for field in fields.values()}}
    d = type(d)(
        "d",
        ("id",),
        found,
        takes={"owner": Taken("doc->>mail", Form.ASCII_CASE)},
        yields={"owner": "doc->>mail"},
        contact={"email": "doc->>x"},
        clocks={"record_date": "at"},
        person=True,
        source=d.source,
    )
    return connected(dsn, d)


def add(dsn: str, text: str, mail: str = "anna") -> str:
    """A broken document of somebody, as it is stored."""
    document = f'{{"mail": "{mail}", "x": "{text}", "k{text}": [1, {{"y":  "{text}"}}]}}'
    execute(dsn, "INSERT INTO d VALUES (3, %s)", [(document,)])
    return document


def keys(postgres: Postgres, *people: Subject) -> set[tuple[str, str]]:
    """Whose is what."""
    found = postgres.locate(people, TrialContext())
    return {(key.subject_ref, key.key[0]) for key in found}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_document_is_found_and_told_as_it_is_stored(dsn: str, case: str) -> None:
    """It stops nobody, is its owner's by its readable keys, and comes out as it stands."""
    stored, postgres = add(dsn, BROKEN[case]), mapped(dsn)
    assert keys(postgres, ANNA, BERT) == {("anna", "1"), ("anna", "3"), ("bert", "2")}
    found = {r.key: bytes(r.body) for r in postgres.find([ANNA, BERT], TrialContext())}
    assert set(found) == {("1",), ("2",), ("3",)}
    assert stored.encode() in found["3",]
    blocks = list(postgres.find_blocks([ANNA], TrialContext()))
    assert any(stored.encode() in getattr(block, "bodies", b"") for block in blocks)
    told = {point.value for point in postgres.contacts([BERT], TrialContext())}
    assert told == {"whole"}
    assert list(postgres.resolve([ANNA, BERT], TrialContext()))
    scope = LeakScope("d", ("doc->>x",))
    assert len(list(postgres.affected([scope], TrialContext()))) == 2


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_document_is_masked_put_right_and_erased(dsn: str, case: str) -> None:
    """What is to change changes, the rest of the document stays readable, others' stay as is."""
    add(dsn, BROKEN[case])
    postgres = mapped(dsn)
    located = list(postgres.locate([ANNA], TrialContext()))
    asks = Subject("anna", ANNA.identities, {"d": (Correction("doc->>x", "right", was="whole"),)})
    rights = TrialContext(tables={"d": DecisionTable("d", (Rule("r", Always(), Action.RECTIFY),))})
    list(postgres.rectify([asks], located, rights))
    assert query(dsn, "SELECT doc ->> 'x' FROM d WHERE id < 3 ORDER BY id") == [
        ("right",),
        ("whole",),
    ]
    masking = Rule("default", Always(), Action.MASK, "", {"doc->>x": NULL})
    list(
        postgres.erase([ANNA], located, TrialContext(tables={"d": DecisionTable("d", (masking,))}))
    )
    assert query(dsn, "SELECT doc -> 'x' FROM d WHERE id = 3") == [(None,)]
    assert not list(postgres.recheck([BERT], [], TrialContext(second_path=True)))[1:]
    list(postgres.erase([ANNA], located, TrialContext()))
    assert query(dsn, "SELECT id FROM d") == [(2,)]


def test_a_name_with_a_broken_sign_is_nobody_elses(dsn: str) -> None:
    """Half a sign is no sign that may be left out: such a name names nobody who is known."""
    add(dsn, "", mail=r"an\ud83dna")
    assert keys(mapped(dsn), ANNA, BERT) == {("anna", "1"), ("bert", "2")}


def test_a_broken_document_is_withheld_in_part(dsn: str) -> None:
    """Another person's key goes out of the document that is told, broken or not."""
    add(dsn, r"a\ud83d")
    hidden = Field("doc->>x", "user", third_party=True)
    postgres = mapped(dsn, x=hidden)
    found = {r.key: json.loads(r.body) for r in postgres.find([ANNA], TrialContext())}
    assert found["1",]["doc"] == {"mail": "anna"}
    assert set(found["3",]["doc"]) == {"mail", "ka�"}


def test_what_is_asked_of_a_whole_document_meets_a_broken_one(dsn: str) -> None:
    """A correction of the whole column compares it with rows that hold half a sign."""
    add(dsn, r"a\ud83d")
    postgres = mapped(dsn)
    located = list(postgres.locate([ANNA], TrialContext()))
    was = '{"mail": "anna", "x": "whole"}'
    asks = Subject("anna", ANNA.identities, {"d": (Correction("doc", '{"x": 1}', was=was),)})
    rights = TrialContext(tables={"d": DecisionTable("d", (Rule("r", Always(), Action.RECTIFY),))})
    list(postgres.rectify([asks], located, rights))
    assert query(dsn, "SELECT id, doc ->> 'x' FROM d WHERE id < 3 ORDER BY id") == [
        (1, "1"),
        (2, "whole"),
    ]


PIECES = (
    *(
        "a",
        "ud83d",
        "u0000",
        r"\\",
        r"\n",
        r"\"",
        r"\/",
        "é",
        "😀",
        r"\u0000",
        r"\u00e9",
        r"\uFFFF",
    ),
    *(r"\ud83d", r"\uDBFF", r"\ude00", r"\uDC00", r"\ud83d\ude00", r"\uD7ff", r"\uE000"),
)


def test_any_document_is_read_as_python_reads_it(dsn: str) -> None:
    """All of a text is kept but NUL and half signs, whatever stands beside them."""
    dice = random.Random(7)
    texts = ["".join(dice.choices(PIECES, k=dice.randint(0, 7))) for _ in range(4000)]
    doc = Column("doc", "json", "json", None, not_null=False, generated=False, collation=None,
                 deterministic=True, bare="json")  # fmt: skip
    execute(dsn, "TRUNCATE d")
    with plainly_connected(dsn) as connection, connection.cursor() as cursor:
        values = [(n, f'{{"k": ["{text}"], "v": "{text}"}}') for n, text in enumerate(texts)]
        cursor.execute(
            "INSERT INTO d SELECT n, doc::json FROM unnest(%s::int[], %s::text[]) u (n, doc)",
            ([n for n, _ in values], [text for _, text in values]),
        )
        cursor.execute(SQL("SELECT {} FROM d ORDER BY id").format(Place(doc, ("v",)).value("d")))
        read = [value for (value,) in cursor.fetchall()]
    expected = [
        re.sub("[\ud800-\udfff]", "�", json.loads(f'"{text}"')).replace("\0", "") for text in texts
    ]
    assert read == expected
