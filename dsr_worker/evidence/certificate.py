"""Certificates of what was done to rows, for a person or by a sweep: checkable by a public key.

In: counts, grounds, versions, instants; never an identifier of a person. Out: signed JSON with the
codes. The wording is scoped: a certificate says what a named system no longer returned at a named
time, never that no copy exists, and lists what it does not cover. `certificate_page` shows it.

The fields of a request's record follow 11 CCR § 7101(b) (date and manner of the request, date and
nature of the response, basis of a denial); a response names what was not done and why by Art. 12(4)
GDPR.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal

import orjson

from dsr_worker.evidence.chain import (
    Checkpoint,
    Signer,
    canonical_json,
)
from dsr_worker.evidence.statements import finding, left_undone, not_covered
from dsr_worker.evidence.wording import words

FORMAT = "dsr-certificate/1"
LABEL = b"dsr certificate\0"


CertificateKind = Literal["erasure", "rectification", "restriction", "lifting", "sweep"]

COUNTED = (
    *("erased", "masked", "redacted", "rectified", "restricted", "lifted"),
    *("already_gone", "pending"),
)
"""The counts of a collection's result beside what is kept, in the order in which pages show them.
Certificates of before there were rectifications and liftings have no counts of these."""


class CertificateRefused(ValueError):  # noqa: N818 - reads as what happened
    """The results do not add up, so nothing is certified."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Rows that stay, masked or whole: why, and until when (None: until the ground ends).

    The first of them need no longer be kept after `first_until_on`, the last after `until_on`.
    """

    rows: int
    ground: str
    until_on: date | None = None
    first_until_on: date | None = None
    masked: bool = False  # personal fields went, the rest of the row stays
    rectified: bool = False  # some fields were put right, the rest of the row stays


@dataclass(frozen=True, slots=True)
class CollectionResult:
    """One collection's counts of rows; they add up to `found`.

    `masked` and `rectified` are without a ground to keep anything; `pending` was accepted by a
    remote system and is not finished; each of `kept` has its ground.
    """

    collection: str
    found: int
    erased: int = 0
    masked: int = 0
    redacted: int = 0
    rectified: int = 0
    restricted: int = 0
    lifted: int = 0
    already_gone: int = 0
    pending: int = 0
    kept: tuple[Kept, ...] = ()

    @property
    def accounted(self) -> int:
        """The rows that have an outcome."""
        counts: list[int] = [getattr(self, name) for name in COUNTED]
        return sum(counts) + sum(k.rows for k in self.kept)


@dataclass(frozen=True, slots=True)
class Requery:
    """The second look: by which path, when, how many rows it returned beyond the kept ones.

    `path` is a code: `second-path`, `located-again` (a connector that has no other way), `recount`.
    """

    at: datetime
    path: str
    returned: int


@dataclass(frozen=True, slots=True)
class SystemResult:
    """What was done in one system, and under which versions."""

    system: str
    connector: str
    connector_version: str
    map_hash: str
    policy_hash: str
    law_pack: str  # empty in a sweep: policies alone decide it
    collections: tuple[CollectionResult, ...]
    requery: Requery | None  # None only in a sweep, or where the request was left undone
    proofs: tuple[Mapping[str, str], ...] = ()  # of objects that were written anew


@dataclass(frozen=True, slots=True)
class Deferred:
    """A promise: the first of these rows go on `due_on`, the last on `last_due_on`.

    None: after the legal hold on them has ended. `refused`: the store refuses them for now, and no
    law keeps them.
    """

    system: str
    collection: str
    rows: int
    ground: str
    due_on: date | None
    last_due_on: date | None = None
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Ground:
    """What a ground's code means, in the certificate's language, and the provision behind it."""

    code: str
    words: str
    citation: str = ""


@dataclass(frozen=True, slots=True)
class MentionsLeft:
    """Places in other people's records that name the person: left for a human to judge."""

    system: str
    collection: str
    places: int


@dataclass(frozen=True, slots=True)
class Left:
    """A system in which the request was not carried out to its end: what is known of it.

    It stopped at `action`, for the reason `code`. `located` rows had been found there (None:
    nothing was looked for); `begun` are at most the rows, by outcome, of changes whose end nobody
    saw. `requery` is there where the system is not among the certified ones and was looked at.
    """

    system: str
    action: str
    code: str
    located: int | None
    begun: Mapping[str, int]
    requery: Requery | None


@dataclass(frozen=True, slots=True)
class Recipients:
    """To whom a collection's data was passed on, as the data map says: they are to be told."""

    system: str
    collection: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Certificate:
    """All that a certificate says. `case` is the job's opaque id.

    `language` is that of `grounds` and of the page. `not_asked` names systems in which the person
    is known by nothing, `contested` the kinds of identity that could be somebody else's: nothing
    was looked for in the former, nor by the latter. `inclusion` places the case's last event under
    the checkpoint: leaf, index, proof (hex). Both are None in what the worker certifies: when it
    signs, the case's last events are not yet written, let alone sealed.
    """

    kind: CertificateKind
    number: str
    case: str
    controller: str
    regime: str
    country: str
    request_kind: str
    received_at: datetime | None  # None in a sweep
    manner: str  # the channel of the request, or how the sweep was started
    responded_at: datetime
    response: str  # granted | partly_granted | denied | nothing_found | swept
    issued_at: datetime
    systems: tuple[SystemResult, ...]
    deferred: tuple[Deferred, ...] = ()
    left: tuple[Left, ...] = ()
    mentions: tuple[MentionsLeft, ...] = ()
    recipients: tuple[Recipients, ...] = ()  # Art. 19 GDPR
    denial_grounds: tuple[str, ...] = ()
    packages_destroyed: int = 0  # earlier access packages of the person, destroyed by this erasure
    grounds: tuple[Ground, ...] = ()
    not_asked: tuple[str, ...] = ()
    contested: tuple[str, ...] = ()
    promised_by: str | None = None  # the case whose promise this carries out
    lifts: str | None = None  # the case whose restriction this ends
    informed_on: date | None = None  # when the person was told of that (Art. 18(3) GDPR)
    language: str = "en"
    backups: str = ""  # the organisation's own text: how long copies in backups last
    checkpoint: Checkpoint | None = None
    inclusion: Mapping[str, Any] | None = None


def build_certificate(certificate: Certificate, signer: Signer) -> bytes:
    """The signed JSON file. The same certificate and key give the same bytes.

    Raises CertificateRefused when counts do not add up or a system was not looked at again.
    """
    left = {part.system for part in certificate.left}
    for system in certificate.systems:
        _check(system, is_looked_at=certificate.kind != "sweep" and system.system not in left)
    statement = _statement(certificate)
    signed = {
        "certificate": statement,
        "signature": {
            "algorithm": "Ed25519",
            "public_key": signer.public_key.hex(),
            "value": signer.sign(LABEL + canonical_json(statement)).hex(),
        },
    }
    return orjson.dumps(signed, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2) + b"\n"


def _check(system: SystemResult, *, is_looked_at: bool) -> None:
    for result in system.collections:
        if result.found != result.accounted:
            raise CertificateRefused(
                f"{system.system}.{result.collection}: {result.found} rows were found and "
                f"{result.accounted} have an outcome. Nothing is certified until they agree."
            )
    if is_looked_at and system.requery is None:
        raise CertificateRefused(f"{system.system} was not looked at again: verify it first.")


def _statement(c: Certificate) -> dict[str, Any]:
    stated = _stated(c)
    plain = words("en")
    for system in stated["systems"]:
        system["finding"] = finding(system, plain)
    for part in stated["left_undone"]:
        part["finding"] = left_undone(part, plain)
    return {**stated, "not_covered": not_covered(stated, plain)}


def _stated(c: Certificate) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "kind": c.kind,
        "number": c.number,
        "language": c.language,
        "case": c.case,
        "promised_by": c.promised_by,
        "lifts": c.lifts,
        "informed_on": _day(c.informed_on),
        "controller": c.controller,
        "regime": c.regime,
        "country": c.country,
        "request": {
            "kind": c.request_kind,
            "received_at": _instant(c.received_at),
            "manner": c.manner,
        },
        "response": {
            "nature": c.response,
            "responded_at": _instant(c.responded_at),
            "denial_grounds": list(c.denial_grounds),
        },
        "issued_at": _instant(c.issued_at),
        "systems": [_system(s) for s in c.systems],
        "deferred": [
            {
                "system": d.system,
                "collection": d.collection,
                "rows": d.rows,
                "ground": d.ground,
                "due_on": _day(d.due_on),
                "last_due_on": _day(d.last_due_on or d.due_on),
                "refused_by_store": d.refused,
            }
            for d in c.deferred
        ],
        "left_undone": [_left(part) for part in c.left],
        "mentions_left_for_a_human": [
            {"system": m.system, "collection": m.collection, "places": m.places} for m in c.mentions
        ],
        "recipients_to_tell": [
            {"system": r.system, "collection": r.collection, "names": list(r.names)}
            for r in c.recipients
        ],
        "earlier_packages_destroyed": c.packages_destroyed,
        "grounds": [{"code": g.code, "words": g.words, "citation": g.citation} for g in c.grounds],
        "not_asked": list(c.not_asked),
        "contested": list(c.contested),
        "backups": c.backups,
        "checkpoint": c.checkpoint.to_json() if c.checkpoint else None,
        "inclusion": dict(c.inclusion) if c.inclusion else None,
    }


def _day(on: date | None) -> str | None:
    return None if on is None else on.isoformat()


def _system(s: SystemResult) -> dict[str, Any]:
    return {
        "system": s.system,
        "connector": s.connector,
        "connector_version": s.connector_version,
        "map_hash": s.map_hash,
        "policy_hash": s.policy_hash,
        "law_pack": s.law_pack,
        "collections": [_collection(r) for r in s.collections],
        "requery": _requery(s.requery),
        **({"proofs": [dict(proof) for proof in s.proofs]} if s.proofs else {}),
    }


def _requery(looked: Requery | None) -> dict[str, Any] | None:
    if looked is None:
        return None
    return {"at": _instant(looked.at), "path": looked.path, "returned": looked.returned}


def _left(part: Left) -> dict[str, Any]:
    return {
        "system": part.system,
        "action": part.action,
        "code": part.code,
        "located": part.located,
        "begun": dict(part.begun),
        "requery": _requery(part.requery),
    }


def _collection(r: CollectionResult) -> dict[str, Any]:
    return {
        "collection": r.collection,
        "found": r.found,
        **{name: getattr(r, name) for name in COUNTED},
        "kept": [
            {
                "rows": k.rows,
                "ground": k.ground,
                "first_until_on": _day(k.first_until_on or k.until_on),
                "until_on": _day(k.until_on),
                "masked": k.masked,
                "rectified": k.rectified,
            }
            for k in r.kept
        ],
    }


def _instant(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat(timespec="seconds")
