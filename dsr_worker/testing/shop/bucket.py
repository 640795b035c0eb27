"""A customer's objects in the shop's bucket, and their lines in objects that mix customers.

In: the person, that person's random numbers, today, and whom a log line of theirs names. Out:
files of their own (real, small PDF and WAV bytes) under `customers/<number>/`, records of the daily
event logs (NDJSON, gzip) and of the CSV exports.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from dsr_worker.testing.shop import people
from dsr_worker.testing.shop.people import Person
from dsr_worker.testing.shop.tables import has_call, noon, recording_key

LOG_DAYS: Final = range(0, 120, 4)  # ago; some are older than the 90 that the shop's rule allows
EXPORTS: Final = ("exports/campaign-spring.csv", "exports/warehouse-stock-take.csv")
EXPORT_COLUMNS: Final = ("row_id", "customer_number", "email", "name", "comment", "exported_at")
_WAV_RATE_HZ: Final = 8000


@dataclass(frozen=True, slots=True)
class File:
    """One object of one customer."""

    key: str
    media_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Line:
    """One record of a shared object: `values` in the order of the columns."""

    object_key: str
    record: str
    values: dict[str, Any]


def files(who: Person) -> Iterator[File]:
    """The objects under the customer's own prefix."""
    if not who.account:
        return
    if who.number % 2 == 0 or who.number == people.FULL:
        key = f"customers/{who.number}/attachments/contract-{who.number:07d}.pdf"
        yield File(key, "application/pdf", pdf(f"Order confirmation for {who.first_name}"))
    if has_call(who.number):
        yield File(recording_key(who.number), "audio/wav", wav(f"call of {who.marker}"))


def events(who: Person, rng: random.Random, today: date, names: Person | None) -> Iterator[Line]:
    """The person's lines in the daily event logs."""
    if not who.account:
        return
    least = int(names is not None or who.number == people.FULL)
    for index in range(max(rng.choice((0, 1, 2)), least)):
        on = today - timedelta(days=rng.choice(LOG_DAYS))
        record = f"e{who.number:07d}-{index}"
        detail = f"viewed {who.marker}"
        if index == 0 and names is not None:
            detail += f", wish list shared with {names.email}"
        yield Line(
            f"events/{on:%Y/%m/%d}.ndjson.gz",
            record,
            {
                "event_id": record,
                "at": noon(on).isoformat(),
                "customer": who.number if who.number % 2 else who.customer_number,
                "page": f"/account?visitor={who.marker}",
                "detail": detail,
            },
        )


def exports(who: Person, rng: random.Random, today: date) -> Iterator[Line]:
    """The person's rows in exports that someone left in the bucket."""
    if who.number in people.CASE_PAIR:
        return
    for index, key in enumerate(EXPORTS):
        drawn = people.chance(rng, 0.35)
        if not (drawn or who.number == people.FULL):
            continue
        record = f"x{index}-{who.number:07d}"
        yield Line(
            key,
            record,
            {
                "row_id": record,
                "customer_number": who.customer_number if who.account else "",
                "email": who.email,
                "name": who.name if who.account else who.first_name,
                "comment": f'likes "oak", {who.marker}\nand wool',
                "exported_at": noon(today - timedelta(days=30 + 100 * index)).isoformat(),
            },
        )


def pdf(text: str) -> bytes:
    """Return a PDF of one page that shows `text`."""
    shown = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode("ascii", "replace")
    parts = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources %s >>"
        % b"<< /Font << /F1 5 0 R >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(shown), shown),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    )
    out, offsets = bytearray(b"%PDF-1.4\n"), []
    for number, part in enumerate(parts, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, part)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(parts) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    trailer = b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
    return bytes(out + trailer % (len(parts) + 1, start))


def wav(comment: str) -> bytes:
    """Return a tenth of a second of silence, 8 kHz mono, with `comment` in its INFO chunk."""
    said = comment.encode("ascii") + b"\0" * (2 - len(comment) % 2)
    info = b"INFOICMT" + struct.pack("<I", len(said)) + said
    form = struct.pack("<HHIIHH", 1, 1, _WAV_RATE_HZ, _WAV_RATE_HZ, 1, 8)
    silence = b"\x80" * (_WAV_RATE_HZ // 10)
    chunks = b"".join(
        name + struct.pack("<I", len(body)) + body
        for name, body in ((b"fmt ", form), (b"LIST", info), (b"data", silence))
    )
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WAVE" + chunks
