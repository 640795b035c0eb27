"""Invented values of every kind that the schemas of others hold; nobody is meant by any of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import cycle, islice
from typing import Any

ROWS = 24
_STEP = 5  # has no factor in common with ROWS: every row is pointed at once
_BEGUN = datetime(2025, 1, 6, 9, 30, tzinfo=UTC)


def _of(text: str, between: str | None = None) -> tuple[str, ...]:
    return tuple(text.split(between))


_FIRST = _of("Ada Ben Cem Dora Emil Fatma Gero Hana Ivo Jana Kofi Lena")
_LAST = _of("Ahorn Birke Carlsen Demir Eich Fichte Grau Hasel Iwan Jung Kiefer")
_STREETS = _of("Lindenweg Hauptstr. Rosengasse Am_Markt Quai_Nord Mill_Lane Seeweg")
_CITIES = _of("Norderheim Altfels Westhafen Bruckau Lindental Ostried Klippen")
_REGIONS = _of("Nordmark Suedtal Westland Oberau Hochfeld")
_COUNTRIES = _of("Germany France Austria Ireland Spain")
_ISO = _of("DE FR AT IE ES")
_LANGUAGES = _of("German French English Irish Spanish")
_GOODS = _of("Lamp Kettle Chair Teapot Candle Basket Blanket Mirror Ladle Clock Vase")
_JOBS = _of("Buyer,Owner,Sales Manager,Accountant,Order Clerk,Marketing Assistant", ",")
_WORDS = _of("blue north early paper small river round winter amber quiet plain upper")
_ZONES = _of("Berlin Paris Vienna Dublin Madrid")
_AGENTS = _of("Firefox/140.0 Chrome/139.0 Safari/18.5")
_SENTENCES = (
    "The parcel came two days late but all was well packed.",
    "Please ring twice, the bell is hard to hear from the garden.",
    "A fine walk along the river today, and the first cherries are out.",
    "Has anybody tried the new recipe with rye flour and honey?",
    "Told us that the lamp flickers; we will send another one.",
    "Thanks to all who came, see you again at the spring meeting.",
    "The colours are warmer than in the picture, and I like them.",
)


def _pick(choices: tuple[str, ...]) -> Callable[[int], str]:
    return lambda n: choices[n % len(choices)].replace("_", " ")


def _hash(n: int) -> str:
    return sha256(f"invented {n}".encode()).hexdigest()


def _full(n: int) -> str:
    return f"{_pick(_FIRST)(n)} {_pick(_LAST)(n)}"


def _user(n: int) -> str:
    return f"{_pick(_FIRST)(n)}{_pick(_LAST)(n)}{n}".lower()


def _email(n: int) -> str:
    return f"{_user(n)}@mail.example"


def _phone(n: int) -> str:
    return f"+49 30 {5550000 + 37 * n}"


def _words(n: int) -> str:
    return " ".join(islice(cycle(_WORDS), n % 12, n % 12 + 3))


def _slug(n: int) -> str:
    return f"{_pick(_WORDS)(n)}-{_pick(_GOODS)(n)}-{n}".lower()


def _yaml(n: int) -> str:
    return f"---\nnumber: {n}\nemail: {_email(n)}\nstate: {_pick(_WORDS)(n)}\n"


_TEXTS: dict[str, Callable[[int], str | None]] = {
    "first": _pick(_FIRST),
    "last": _pick(_LAST),
    "full": _full,
    "username": _user,
    "handle": lambda n: f"{_user(n)}@social.example",
    "email": _email,
    "office_email": lambda n: f"office@{_pick(_GOODS)(n).lower()}{n}.example",
    "phone": _phone,
    "street": lambda n: f"{_pick(_STREETS)(n)} {n}",
    "city": _pick(_CITIES),
    "zip": lambda n: f"{10115 + 911 * n}",
    "region": _pick(_REGIONS),
    "country": _pick(_COUNTRIES),
    "iso": _pick(_ISO),
    "lang": lambda n: _pick(_ISO)(n).lower(),
    "locale": lambda n: _pick(_ISO)(n).lower(),
    "language": _pick(_LANGUAGES),
    "zone": lambda n: f"Europe/{_pick(_ZONES)(n)}",
    "company": lambda n: f"{_pick(_GOODS)(n)} & {_pick(_LAST)(n // 11)} Ltd",
    "job": _pick(_JOBS),
    "courtesy": _pick(("Ms.", "Mr.", "Dr.")),
    "ip": lambda n: f"192.0.2.{n}",
    "agent": lambda n: f"Mozilla/5.0 (X11; Linux x86_64) {_pick(_AGENTS)(n)}",
    "host": lambda n: f"host:worker{n % 3} pid:{900 + n}",
    "url": lambda n: f"https://files.example/{_hash(n)[:8]}",
    "profile": lambda n: f"https://social.example/users/{_user(n)}",
    "domain": lambda n: f"{_pick(_GOODS)(n).lower()}{n}.example",
    "slug": _slug,
    "title": lambda n: f"{_pick(_WORDS)(n).title()} {_pick(_GOODS)(n)} {n}",
    "words": _words,
    "prose": lambda n: f"{_SENTENCES[n % len(_SENTENCES)]} {_words(n)}.",
    "code": lambda n: f"R{7000 + 13 * n}",
    "version": lambda n: f"4.{n}.0",
    "digits": lambda n: f"{1000 + 37 * n}",
    "letters": lambda n: "".join(chr(65 + (n * k) % 26) for k in (1, 3, 7, 11, 17)),
    "month": lambda n: f"{n % 12 + 1}",
    "year": lambda n: f"{2020 + n % 7}",
    "currency": _pick(("EUR", "GBP")),
    "hash": lambda n: f"$2a$12${_hash(n)[:53]}",
    "token": lambda n: _hash(n)[:40],
    "pem": lambda n: f"-----BEGIN KEY-----\n{_hash(n)}\n-----END KEY-----\n",
    "blob": lambda n: f"BAh7B{_hash(n)}",
    "uuid": lambda n: f"00000000-0000-4000-8000-{n:012d}",
    "file": lambda n: f"{_hash(n)[:12]}.png",
    "mime": _pick(("image/png", "image/jpeg")),
    "class": _pick(("Order", "LineItem", "Shipment")),
    "few": _pick(("open", "done", "late")),
    "error": lambda n: f"Timeout::Error: execution expired after {n} s",
    "yaml": _yaml,
    "settings": lambda n: json.dumps({"theme": "dark", "size": n % 3}),
    "rules": lambda n: f"---\nstate.id:\n  operator: is\n  value: {n % 4}\n",
    "draft": lambda n: f"---\nsubject: {_words(n)}\nbody: {_SENTENCES[n % len(_SENTENCES)]}\n",
    "visit": lambda n: f"---\nurl: https://shop.example/{_slug(n)}\nremote_ip: 192.0.2.{n}\n",
    "caller": lambda n: f"---\nfrom:\n- caller_id: '4930{5550000 + 37 * n}'\n  user_id: {n}\n",
    "browser_details": lambda n: f"---\nuser_agent: {_pick(_AGENTS)(n)}\nos: Linux\n",
    "place_details": lambda n: f"---\ncity: {_pick(_CITIES)(n)}\nlatitude: 52.{n}\n",
    "place": lambda n: f"{_pick(_COUNTRIES)(n)}, {_pick(_CITIES)(n)}",
    "number": lambda n: f"4930{5550000 + 37 * n}",
    "sender": lambda n: f"{_full(n)} <{_email(n)}>",
    "distinguished": lambda n: f"CN={_full(n)},emailAddress={_email(n)}",
    "header": lambda n: f"From: {_full(n)} <{_email(n)}>\nTo: office@shop.example\nX-Lines: {n}\n",
    "id_list": lambda n: f"---\n- {n}\n- {n + 1}\n",
    "mail_id": lambda n: f"<{_hash(n)[:16]}@mail.example>",
    "mixed": lambda n: (_pick(("open", "late"))(n), _full(n), _words(n))[n % 3],
    "ip_list": lambda n: f"192.0.2.{n};198.51.100.{n}",
    "ulid": lambda n: f"01J{_hash(n)[:23].upper()}",
    "pair": lambda n: chr(97 + n % 26) + chr(97 + 7 * n % 26),
    "voucher": lambda n: "-".join(_hash(n)[at : at + 4].upper() for at in (0, 4, 8, 12)),
    "empty": lambda n: None,  # noqa: ARG005 - as all the others
    "empty_text": lambda n: "",  # noqa: ARG005 - as all the others
}
_DOCUMENTS: dict[str, Callable[[int], Any]] = {
    "config": lambda n: {"enabled": n % 2 == 0, "size": n % 5, "mode": _pick(("a", "b"))(n)},
    "statistics": lambda n: {"posts": n * 3, "top_tags": [_slug(n)], "archetype": "reader"},
    "profile_fields": lambda n: [{"name": "Home", "value": f"https://{_user(n)}.example"}],
    "import_row": lambda n: {"acct": f"{_user(n)}@social.example"},
    "post": lambda n: {"text": _SENTENCES[n % len(_SENTENCES)], "sensitive": False},
    "visitor": lambda n: {"city": _pick(_CITIES)(n), "company_name": _pick(_GOODS)(n)},
    "mail": lambda n: {"email": {"from": [_email(n)], "subject": _words(n)}},
    "changes": lambda n: {"name": [_full(n), _full(n + 1)], "email": [None, _email(n)]},
    "request": lambda n: {"ip": f"192.0.2.{n}", "user_agent": f"Mozilla/5.0 {_pick(_AGENTS)(n)}"},
    "numbers": lambda n: [f"1Z{7000 + 13 * n}"],
    "order": lambda n: {"order": {"id": _TEXTS["ulid"](n), "email": _email(n)}},
    "charge": lambda n: {"id": f"pi_{_hash(n)[:20]}", "customer": f"cus_{_hash(n)[:14]}"},
    "event": lambda n: {"id": _TEXTS["ulid"](n)},
    "secret": lambda n: {"client_secret": _hash(n)[:32], "scope": "read"},
    "device": lambda n: {"endpoint": f"https://push.example/{_hash(n)}", "auth": _hash(n)[:16]},
}


def shuffled(number: int) -> int:
    """Another row's number; every number comes once."""
    return number * _STEP % ROWS + 1


def value(type_: str, kind: str | None, number: int) -> Any:
    """The value of a column's type and kind in one row."""
    base = re.sub(r"\(.*", "", type_)
    if base.endswith("[]"):
        return [value(base[:-2], kind, n) for n in (number, number + 1)]
    if base in {"json", "jsonb"}:
        return json.dumps(_DOCUMENTS[kind or "config"](number))
    if base in _OTHERS:
        return _OTHERS[base](number, kind)
    text = _TEXTS[kind or "words"](number)
    length = re.search(r"\((\d+)\)", type_)
    return text if text is None or length is None else text[: int(length[1])]


def _integer(n: int, kind: str | None) -> int:
    return {"year": 2000 + n, "one": 1}.get(kind or "", n)


def _fraction(n: int, kind: str | None) -> float:
    return 48 + n / 10 if kind == "degrees" else n + 0.5


def _instant(n: int, kind: str | None) -> datetime:
    return _BEGUN + timedelta(days=3 * n - 365 * 40 * (kind == "birth"))


_OTHERS: dict[str, Callable[[int, str | None], Any]] = {
    "bool": lambda n, _kind: n % 2 == 0,
    **dict.fromkeys(("int2", "int4", "int8"), _integer),
    **dict.fromkeys(("numeric", "float4", "float8"), _fraction),
    **dict.fromkeys(("timestamptz", "timestamp"), _instant),
    "date": lambda n, kind: _instant(n, kind).date(),
    "bytea": lambda n, _kind: _hash(n).encode(),
    "tsvector": lambda n, _kind: _words(n),
    "uuid": lambda n, _kind: _TEXTS["uuid"](n),
}
