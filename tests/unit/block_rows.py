"""Rows as records and as blocks, spooled and rendered, to hold one against the other."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from dsr_worker.contract import (
    Collection,
    Field,
    Identity,
    Record,
    RecordBlock,
    Subject,
    System,
    Withheld,
)
from dsr_worker.fulfil.withholding import block_without_strangers, without_strangers
from dsr_worker.package import (
    CaseFacts,
    Contents,
    OrganisationTexts,
    Source,
    verify_package,
    write_package,
)
from dsr_worker.spool import RecordSpool, Spooled
from dsr_worker.store import LocalStore, new_name
from dsr_worker.vault import CaseKey

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = CaseKey(b"k" * 32)
MARA = Subject("a", (Identity("email", "mara@mail.example"),))
TEXTS = OrganisationTexts(
    controller="Shop GmbH",
    address="Beispielweg 1",
    contact="privacy@shop.example",
    rights="yours",
    complaint="to the authority",
    automated_decisions="none",
    transfers="none",
    storage={"order": "ten years"},
)
OTHERS = "AC_RIGHTS_OF_OTHERS"
HOSTILE = (
    "",
    "plain",
    "<script>alert('1')</script>",
    'quoted "twice" & more',
    "two\nlines\tand \\ a slash",
    "\x00\x1e\x1f\x7f\x80\x9f",
    "\N{DEGREE SIGN} 20, Ünsal, 漢字, \N{GRINNING FACE}",
    "null",
    "],[",
    '{"id":1},{"id":2}',
    "Mara@mail.example and ida@mail.example",
    "</td><td>",
)


def _collection(name: str) -> Collection:
    fields = (
        Field("id", "user.unique_id"),
        Field("name", "user.name"),
        Field("note", "user.content", free_text=True),
        Field("agent", "user.name", third_party=True),
    )
    return Collection(
        name,
        ("id",),
        {field.name: field for field in fields},
        purpose="to deliver",
        legal_basis="contract",
        recipients=("nobody",),
        origin="you",
        record_class="order",
    )


SHOP = System("shop", "postgres", {name: _collection(name) for name in ("orders", "carts")})
Row = tuple[str, bytes]  # collection and body


def rendered(source: Source, kind: str = "access") -> bytes:
    """The package's bytes."""
    out = io.BytesIO()
    case = CaseFacts("6f0c1d0a", kind, "eu-gdpr", "DE", AT, AT)
    portable = frozenset({("shop", "orders")})
    write_package(out, Contents(case, TEXTS, [source], portable=portable))
    assert verify_package(out) == []
    return out.getvalue()


def spooled(store: LocalStore, found: Sequence[Record | RecordBlock]) -> Spooled:
    """What was found, sealed as `find` seals it."""
    name = new_name("records", AT.date())
    with RecordSpool(store, name, {"a": KEY}) as spool:
        for one in found:
            collection = SHOP.collections[one.collection]
            if isinstance(one, Record):
                spool.add(without_strangers(one, collection, MARA))
            else:
                for part in block_without_strangers(one, collection, MARA):
                    spool.add(part)
        frame = spool.finish()["a"]
    return Spooled(store, frame, KEY)


def source(store: LocalStore, found: Sequence[Record | RecordBlock]) -> Source:
    """The answer of a system, from a spool."""
    read = spooled(store, found)
    return Source(SHOP, read.all, AT, read_of=read.of)


def singly(rows: Sequence[Row], withheld: Sequence[Withheld] = ()) -> list[Record]:
    """Rows as records; each has `withheld`."""
    keys = [(str(json.loads(body).get("id")),) for _, body in rows]
    return [
        Record("a", name, key, body, withheld=tuple(withheld))
        for key, (name, body) in zip(keys, rows, strict=True)
    ]


def blocks(rows: Sequence[Row], most: int, withheld: Sequence[Withheld] = ()) -> list[RecordBlock]:
    """The same rows, up to so many of one collection in a block."""
    found: list[RecordBlock] = []
    pending: list[bytes] = []
    for number, (name, body) in enumerate(rows):
        pending.append(body)
        is_last = number + 1 == len(rows) or rows[number + 1][0] != name
        if is_last or len(pending) == most:
            size = len(pending)
            out = tuple(Withheld(w.field, w.ground, w.values * size) for w in withheld)
            found.append(RecordBlock("a", name, ("id",), b"\n".join(pending), size, out))
            pending = []
    return found


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from(HOSTILE),
    st.text(st.characters(codec="utf-8"), max_size=20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.lists(st.sampled_from(HOSTILE), max_size=2),
    st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(HOSTILE), max_size=2),
)


@st.composite
def rows(draw: st.DrawFn) -> list[Row]:
    """Rows of both collections, in any order."""
    names = draw(st.lists(st.sampled_from(["orders", "carts"]), max_size=30))
    ascii_only = draw(st.booleans())
    drawn: list[Row] = []
    for number, name in enumerate(names):
        body: dict[str, Any] = {"id": number, "name": draw(values), "note": draw(values)}
        if draw(st.integers(0, 9)) == 0:
            body["extra <&>"] = draw(values)
        if draw(st.integers(0, 9)) == 0:
            body["agent"] = "Olga"
        text = json.dumps(body, ensure_ascii=ascii_only, separators=(",", ":"))
        drawn.append((name, text.encode("utf-8", "surrogatepass")))
    return drawn
