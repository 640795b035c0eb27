"""An invented bucket in which much of an online shop lies: what proposals are measured on.

In: a client. Out: objects by key, made from no chance but a seed. What of it is personal stands in
`others/bucket-labels.txt`, which was written first. All people, addresses and texts are invented.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LABELS = Path(__file__).parent / "others" / "bucket-labels.txt"
_FIRST = (
    "Anna",
    "Bert",
    "Clara",
    "Dirk",
    "Elif",
    "Femke",
    "Goran",
    "Hana",
    "Ines",
    "Jonas",
    "Kaja",
    "Lars",
)
_LAST = ("Sander", "Albers", "Okafor", "Nowak", "Demir", "Visser", "Petrov", "Sato", "Moreau")
_CITIES = ["Delft", "Aarhus", "Leipzig", "Ghent", "Turku", "Graz"]
_STREETS = ("Elm Row", "Mill Lane", "Hoogstraat", "Am Anger", "Quai Vert")
_TEXTS = (
    "please ring the bell twice, the dog is friendly",
    "the parcel came late and the box was open",
    "could you change the size before it is sent out",
    "thank you, this was quicker than I had hoped for",
)
_PIXEL = b"\xff\xd8\xff\xe0" + bytes(range(64))


def labels() -> frozenset[tuple[str, str]]:
    """(place, field) of everything personal."""
    return labels_in(LABELS)


def labels_in(file: Path) -> frozenset[tuple[str, str]]:
    """(place, field) of a file of labels."""
    found = set()
    for line in file.read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            place, *fields = line.split()
            found |= {(place, name) for name in fields}
    return frozenset(found)


def build(s3: S3Client, bucket: str) -> None:
    """Put every object."""
    for key, body in objects():
        s3.put_object(Bucket=bucket, Key=key, Body=body)
    for number in range(12):
        name = uuid.UUID(int=random.Random(number).getrandbits(128))
        tags = f"customer={5000 + number}&kind=photo"
        s3.put_object(Bucket=bucket, Key=f"uploads/{name}", Body=_PIXEL, Tagging=tags)


def objects() -> Iterator[tuple[str, bytes]]:
    """Every object but those with tags."""
    chance = random.Random(7)
    people = [person(n, chance) for n in range(40)]
    yield from _records(people, chance)
    yield from _whole(people)
    yield from _beside(chance)


def person(n: int, chance: random.Random) -> dict[str, Any]:
    """A person of a seed."""
    first, last = chance.choice(_FIRST), chance.choice(_LAST)
    return {
        "number": 5000 + n * 7,
        "first": first,
        "last": last,
        "email": f"{first}.{last}{n}@mail.example".lower(),
        "phone": f"+49 30 {chance.randrange(10**6, 10**7)}",
        "street": f"{chance.choice(_STREETS)} {n + 1}",
        "zip": f"{chance.randrange(10_000, 99_999)}",
        "city": chance.choice(_CITIES),
        "country": chance.choice(["DE", "NL", "DK"]),
        "ip": f"192.0.2.{n + 1}",
        "born": f"19{chance.randrange(50, 99)}-0{chance.randrange(1, 9)}-1{n % 9}",
    }


def _records(
    people: Sequence[Mapping[str, Any]], chance: random.Random
) -> Iterator[tuple[str, bytes]]:
    for day in range(1, 4):
        rows = (_event(n, chance.choice(people), day, chance) for n in range(60))
        yield f"events/dt=2026-01-0{day}/part-0000.json.gz", gzip.compress(ndjson(rows), mtime=0)
        rows = (_chat(n, chance.choice(people), day, chance) for n in range(30))
        yield f"chat/2026/01/0{day}/room.jsonl", ndjson(rows)
    for day in range(1, 3):
        yield f"exports/customers/2026-01-0{day}.csv", separated(map(_customer, people), ";")
        orders = [_order(n + 40 * day, people[n], day, chance) for n in range(40)]
        yield f"orders/2026/0{day}/orders-{day:04}.ndjson", ndjson(orders)
        for row in orders[:6]:
            yield row["invoice_pdf"], b"%PDF-1.7 invented"
    yield "tickets/2026/tickets.jsonl", ndjson(_ticket(n, people[n], chance) for n in range(30))
    yield (
        "sessions/2026-01.tsv",
        separated((_session(n, p, chance) for n, p in enumerate(people)), "\t"),
    )
    yield "payments/2026-01.csv", separated((_payment(n, p) for n, p in enumerate(people)), ",")
    yield "newsletter/subscribers.csv", separated((_subscriber(p) for p in people), ",")
    yield "reviews/all.ndjson", ndjson(_review(n, people[n], chance) for n in range(30))
    yield "signups/formular.csv", separated(map(_signup, people), ";")
    yield "returns/returns.json", ndjson(_return(n, people[n], chance) for n in range(25))


def _event(n: int, person: Mapping[str, Any], day: int, chance: random.Random) -> dict[str, Any]:
    return {
        "event_id": f"ev-{day}{n:05}",
        "ts": f"2026-01-0{day}T10:{n:02}:00Z",
        "type": chance.choice(["view", "cart", "buy"]),
        "user": {"customer_number": person["number"], "email": person["email"]},
        "ip": person["ip"],
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/130.0",
        "session_id": f"s{chance.getrandbits(64):016x}",
        "page": f"/products/sku-{chance.randrange(90)}",
        "amount": chance.randrange(100, 9000) / 100,
    }


def _chat(n: int, person: Mapping[str, Any], day: int, chance: random.Random) -> dict[str, Any]:
    return {
        "id": day * 1000 + n,
        "customer_id": person["number"],
        "sent_at": f"2026-01-0{day}T11:{n:02}:00Z",
        "sender": f"{person['first']} {person['last']}",
        "message": chance.choice(_TEXTS),
        "ip": person["ip"],
        "channel": chance.choice(["web", "app"]),
    }


def _customer(person: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "customer_id": person["number"],
        "first_name": person["first"],
        "last_name": person["last"],
        "email": person["email"],
        "phone": person["phone"],
        "street": person["street"],
        "zip": person["zip"],
        "city": person["city"],
        "country": person["country"],
        "newsletter": "yes",
        "created_at": "2025-11-02T08:00:00Z",
    }


def _order(n: int, person: Mapping[str, Any], day: int, chance: random.Random) -> dict[str, Any]:
    return {
        "order_id": f"o-{n:06}",
        "customer_id": person["number"],
        "ordered_at": f"2026-0{day}-11T09:00:00Z",
        "status": chance.choice(["paid", "sent"]),
        "total": chance.randrange(1000, 90_000) / 100,
        "currency": "EUR",
        "billing": {
            "name": f"{person['first']} {person['last']}",
            "street": person["street"],
            "city": person["city"],
            "postal_code": person["zip"],
            "country": person["country"],
        },
        "items": [{"sku": f"sku-{chance.randrange(90)}", "quantity": 1}],
        "note": chance.choice(_TEXTS),
        "invoice_pdf": f"invoices/2026/INV-{n:06}.pdf",
    }


def _ticket(n: int, person: Mapping[str, Any], chance: random.Random) -> dict[str, Any]:
    return {
        "ticket_id": 900 + n,
        "created_at": "2026-01-03T12:00:00Z",
        "priority": chance.choice(["low", "high"]),
        "requester": {"name": f"{person['first']} {person['last']}", "email": person["email"]},
        "subject": chance.choice(_TEXTS),
        "body": f"{chance.choice(_TEXTS)}. {person['first']}",
        "tags": ["delivery", "size"],
    }


def _session(n: int, person: Mapping[str, Any], chance: random.Random) -> dict[str, Any]:
    return {
        "session_id": f"{chance.getrandbits(128):032x}",
        "started_at": f"2026-01-04T{n % 24:02}:00:00Z",
        "ip": person["ip"],
        "device": chance.choice(["iPhone15,2", "Pixel 8", "desktop"]),
        "country": person["country"],
        "pages": n,
    }


def _payment(n: int, person: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "payment_id": f"pay_{n:08}",
        "iban": iban(n),
        "holder": f"{person['first']} {person['last']}",
        "amount": f"{n}.50",
        "booked_at": "2026-01-05",
    }


def iban(n: int) -> str:
    """An account number whose checksum is right."""
    account = f"{10**17 + n:018}"
    check = 98 - int(f"{account}131400") % 97  # ISO 7064, MOD 97-10; D is 13, E is 14
    return f"DE{check:02}{account}"


def _subscriber(person: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "email": person["email"],
        "locale": "de_DE" if person["country"] == "DE" else "nl_NL",
        "confirmed_at": "2025-12-24",
        "list": "weekly",
    }


def _review(n: int, person: Mapping[str, Any], chance: random.Random) -> dict[str, Any]:
    return {
        "review_id": n,
        "product_sku": f"sku-{n}",
        "stars": chance.randrange(1, 6),
        "author": f"{person['first']} {person['last'][0]}.",
        "text": chance.choice(_TEXTS),
        "written_at": "2026-01-06T10:00:00Z",
    }


def _signup(person: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "Vorname": person["first"],
        "Nachname": person["last"],
        "E-Mail": person["email"],
        "Telefon": person["phone"],
        "Geburtsdatum": person["born"],
        "Angemeldet am": "2026-01-07",
    }


def _return(n: int, person: Mapping[str, Any], chance: random.Random) -> dict[str, Any]:
    return {
        "rma": f"R{n:05}",
        "order_id": f"o-{n:06}",
        "customer": {
            "full_name": f"{person['first']} {person['last']}",
            "email": person["email"],
        },
        "reason": chance.choice(_TEXTS),
        "received_on": "2026-01-08",
    }


def _whole(people: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, bytes]]:
    """Objects that are a person's as a whole."""
    for person in people[:15]:
        number = person["number"]
        yield f"customers/{number}/avatar.jpg", _PIXEL
        yield f"customers/{number}/letters/2026-01-09.pdf", b"%PDF-1.7 invented"
        yield f"calls/customer_id={number}/2026-01-10.wav", b"RIFF" + bytes(40)
        yield f"users/{person['email']}/profile.png", b"\x89PNG\r\n\x1a\n" + bytes(32)


def _beside(chance: random.Random) -> Iterator[tuple[str, bytes]]:
    """What is nobody's, or cannot be rewritten here."""
    for n in range(15):
        yield f"img/products/sku-{n}.jpg", _PIXEL
    products = ({"sku": f"sku-{n}", "title": f"Mug {n}", "price": n, "stock": 4} for n in range(40))
    yield "catalog/products.csv", separated(products, ",")
    points = (
        {"metric": "cpu", "value": chance.random(), "ts": 1_760_000_000 + n, "host": f"web-{n % 3}"}
        for n in range(50)
    )
    yield "metrics/2026-01-11.ndjson", ndjson(points)
    rates = (
        {"day": f"2026-01-{n:02}", "currency": "SEK", "rate": 11.0 + n / 10} for n in range(1, 29)
    )
    yield "rates/2026-01.csv", separated(rates, ",")
    yield "config/settings.json", json.dumps({"theme": "dark", "retries": 3}, indent=2).encode()
    yield "logs/app/2026-01-12.log", b"2026-01-12 10:00:00 INFO started in 3 s\n" * 50
    yield "backup/db.dump", b"PGDMP" + bytes(200)
    yield (
        "lake/clicks/_delta_log/00000000000000000000.json",
        b'{"protocol":{"minReaderVersion":1}}\n',
    )
    yield "lake/clicks/part-00000.snappy.parquet", b"PAR1" + bytes(64) + b"PAR1"
    yield "lake/visits/metadata/v1.metadata.json", b'{"format-version":2}'
    yield "lake/visits/data/00000.parquet", b"PAR1" + bytes(64) + b"PAR1"
    yield "warehouse/old/part-0.snappy.orc", b"ORC" + bytes(64)


def ndjson(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Records a line."""
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def separated(rows: Iterable[Mapping[str, Any]], delimiter: str) -> bytes:
    """Records with a header."""
    found = list(rows)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(found[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(found)
    return out.getvalue().encode()
