"""A second invented bucket, a travel company's: no rule was made for it before its first run.

In: a client. Out: objects by key. What of it is personal stands in
`others/second-bucket-labels.txt`, which was written first. All people and texts are invented.
"""

from __future__ import annotations

import gzip
import random
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.contract.s3_bucket import iban, labels_in, ndjson, person, separated

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_WISHES = (
    "a quiet room on a high floor would be lovely",
    "we arrive after midnight, please keep the desk open",
    "one of us eats no nuts at all",
)


def labels() -> frozenset[tuple[str, str]]:
    """(place, field) of everything personal."""
    return labels_in(Path(__file__).parent / "others" / "second-bucket-labels.txt")


def build(s3: S3Client, bucket: str) -> None:
    """Put every object."""
    for key, body in objects():
        s3.put_object(Bucket=bucket, Key=key, Body=body)


def objects() -> Iterator[tuple[str, bytes]]:
    """Every object."""
    chance = random.Random(11)
    people = [person(n, chance) for n in range(30)]
    for hour in range(3):
        rows = [_event(p, hour, chance) for p in people]
        place = f"raw/app_events/year=2026/month=02/day=01/hour=0{hour}"
        yield f"{place}/events-{hour}.jsonl.gz", gzip.compress(ndjson(rows), mtime=0)
    yield "crm/contacts-01.json", ndjson([_contact(n, p) for n, p in enumerate(people)])
    yield "crm/leads-01.csv", separated([_lead(p, chance) for p in people], ",")
    for n in range(6):
        yield f"support/attachments/ticket-{901 + n}/shot.png", b"\x89PNG\r\n\x1a\n" + bytes(40)
        member = uuid.UUID(int=chance.getrandbits(128))
        yield f"members/{member}/passport.pdf", b"%PDF-1.7 invented"
    yield "mailouts/2026-02-01.tsv", separated([_mail(p) for p in people], "\t")
    yield "hr/payroll-2026-01.csv", separated([_pay(n, p) for n, p in enumerate(people)], ";")
    yield "audit/2026-02.ndjson", ndjson([_action(p, chance) for p in people])
    yield "surveys/nps.csv", separated([_survey(p, chance) for p in people], ",")
    for month in range(1, 3):
        rows = [_booking(n, p, chance) for n, p in enumerate(people)]
        yield f"bookings/2026/0{month}/b.ndjson", ndjson(rows)
    yield "loyalty/cards.tsv", separated([_card(n, p) for n, p in enumerate(people)], "\t")
    yield "push/tokens.ndjson", ndjson([_push(p, chance) for p in people])
    yield from _beside(chance)


def _event(someone: Mapping[str, Any], hour: int, chance: random.Random) -> dict[str, Any]:
    return {
        "evt": chance.choice(["open", "search", "book"]),
        "occurred": 1_770_000_000 + hour * 3600,
        "uid": str(uuid.UUID(int=someone["number"])),
        "device_id": f"{chance.getrandbits(64):016X}",
        "lat": 52 + chance.random(),
        "lon": 4 + chance.random(),
        "props": {"search": chance.choice(["hotel in Ghent", "cheap flight north", "spa"])},
        "app_version": "4.2.1",
    }


def _contact(n: int, someone: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": n,
        "givenName": someone["first"],
        "familyName": someone["last"],
        "emailAddress": someone["email"],
        "mobile": someone["phone"],
        "company": "Invented Travel GmbH",
        "jobTitle": "Head of Travel",
        "address": {
            "line1": someone["street"],
            "town": someone["city"],
            "postcode": someone["zip"],
        },
    }


def _lead(someone: Mapping[str, Any], chance: random.Random) -> dict[str, Any]:
    return {
        "Lead_Source": chance.choice(["fair", "web"]),
        "Full_Name": f"{someone['first']} {someone['last']}",
        "Phone_Number": someone["phone"],
        "Email": someone["email"],
        "Comments": chance.choice(_WISHES),
        "Created": "2026-01-30",
    }


def _mail(someone: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "recipient": someone["email"],
        "subject": "Ten islands for the spring of this year",
        "opened_at": "2026-02-02T07:00:00Z",
        "bounced": "no",
    }


def _pay(n: int, someone: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "employee_id": n,
        "name": f"{someone['first']} {someone['last']}",
        "iban": iban(n),
        "salary": 3000 + n,
        "month": "2026-01",
    }


def _action(someone: Mapping[str, Any], chance: random.Random) -> dict[str, Any]:
    return {
        "actor": f"{someone['first']}.{someone['last']}".lower(),
        "action": chance.choice(["login", "export"]),
        "target": "report",
        "ip": someone["ip"],
        "at": "2026-02-03T09:00:00Z",
    }


def _survey(someone: Mapping[str, Any], chance: random.Random) -> dict[str, Any]:
    return {
        "respondent_email": someone["email"],
        "score": chance.randrange(11),
        "comment": chance.choice(_WISHES),
        "answered_on": "2026-02-04",
    }


def _booking(n: int, someone: Mapping[str, Any], chance: random.Random) -> dict[str, Any]:
    return {
        "booking_ref": f"BK{n:06}",
        "booked_at": "2026-01-20T10:00:00Z",
        "guest": {
            "first_name": someone["first"],
            "last_name": someone["last"],
            "email": someone["email"],
            "dob": someone["born"],
            "passport_no": f"X{chance.randrange(10**7, 10**8)}",
        },
        "hotel": {"name": chance.choice(["Sea View", "Old Mill"]), "city": "Graz"},
        "nights": chance.randrange(1, 9),
        "price": chance.randrange(100, 900),
        "special_requests": chance.choice(_WISHES),
    }


def _card(n: int, someone: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "card_no": f"L{n:07}",
        "member_id": someone["number"],
        "points": n * 10,
        "tier": "gold" if n % 5 == 0 else "blue",
        "joined_on": "2024-05-01",
    }


def _push(someone: Mapping[str, Any], chance: random.Random) -> dict[str, Any]:
    return {
        "user_id": someone["number"],
        "token": f"fcm:{chance.getrandbits(160):040x}",
        "platform": chance.choice(["ios", "android"]),
        "locale": "nl-NL",
        "updated_at": "2026-02-05T00:00:00Z",
    }


def _beside(chance: random.Random) -> Iterator[tuple[str, bytes]]:
    """What is nobody's."""
    cities = [
        {"name": f"Town {n}", "lat": 50 + n / 10, "lng": 5 + n / 10, "population": 1000 * n}
        for n in range(30)
    ]
    yield "geo/cities.csv", separated(cities, ",")
    stock = [{"sku": f"sku-{n}", "warehouse": "W1", "count": n} for n in range(30)]
    yield "inventory/stock.ndjson", ndjson(stock)
    readings = [
        {"sensor_id": f"s{n}", "temp": 20 + chance.random(), "ts": 1_770_000_000 + n}
        for n in range(30)
    ]
    yield "sensor/readings.csv", separated(readings, ",")
    yield "i18n/de.json", b'{\n  "hello": "Hallo",\n  "bye": "Tschau"\n}\n'
    yield "static/js/app.js", b"function start() {\n  return 1;\n}\n"
    yield "terraform/state.tfstate", b'{\n  "version": 4,\n  "serial": 12\n}\n'
    yield "models/ranking.bin", bytes(range(256)) * 4
