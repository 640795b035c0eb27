"""What `dsr submit --kind complaint` takes in: from options, a JSON object on stdin or a CSV row.

In: a topic, who complains, what they say. Out: a `Filing`, and what became of it in lines and JSON.
What the person says never stands on the command line: it comes from a file or stdin and is sealed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dsr_worker.bootstrap import Office
from dsr_worker.cli.faults import usage
from dsr_worker.cli.names import asking_the_law, kinds_of
from dsr_worker.cli.output import local
from dsr_worker.cli.values import (
    canonical,
    identities_of,
    language_of,
    once,
    stated,
    stdin_text,
    utf8,
)
from dsr_worker.domain.complaint import KIND, Topic
from dsr_worker.fulfil.complaints import Filed, Filing, timetable
from dsr_worker.fulfil.complaints.notes import MOST_BYTES
from dsr_worker.fulfil.complaints.timetable import DueClock
from dsr_worker.ledger import instances

TOPICS = tuple(topic.value for topic in Topic)
OWN = ("topic", "about", "dispute", "text_source")
"""Options that only a complaint has."""
_YES, _NO = frozenset({"yes", "true", "1"}), frozenset({"no", "false", "0"})


def meant(options: Mapping[str, Any]) -> bool:
    """Whether a complaint is submitted. Raises Fault where another kind has options of one."""
    if (options.get("kind") or "").strip().lower() == KIND:
        return True
    given = [name for name in OWN if options.get(name)]
    if given and options.get("kind"):
        named = ", ".join(f"--{name.removesuffix('_source')}" for name in given)
        raise usage(f"{named} can only be said of a complaint: --kind complaint")
    return False


def asked(options: Mapping[str, Any]) -> tuple[list[tuple[str, str]], str | None]:
    """Who complains and what they say; both from stdin: `{"identities": {…}, "text": "…"}`."""
    source = options.get("text_source")
    if options.get("correction_source") is not None:
        raise usage("corrections belong to a rectification, this is a complaint")
    if source is None:
        return stated(options), None
    if source != "-" or options.get("identity_source") is None:
        return stated(options), read_text(source)
    try:
        plain = json.loads(stdin_text(), object_pairs_hook=once)
    except (ValueError, RecursionError):
        plain = None
    if not isinstance(plain, dict) or set(plain) != {"identities", "text"}:
        raise usage('with both from stdin it holds {"identities": {…}, "text": "…"}')
    named = stated({**options, "identity_source": None})
    return [*named, *identities_of(plain["identities"])], _text(plain["text"], "stdin")


def read_text(source: str) -> str:
    """The text of a file, or of stdin where the source is `-`. Raises Fault."""
    plain = stdin_text() if source == "-" else _read(Path(source))
    return _text(plain, "stdin" if source == "-" else "--text")


def filing(
    office: Office, options: Mapping[str, Any], named: list[tuple[str, str]], text: str | None
) -> Filing:
    """The complaint that options and people state. Raises Fault for what no complaint is."""
    topic = (options.get("topic") or "").strip().lower()
    if topic not in TOPICS:
        raise usage(f"a complaint has a --topic, one of: {', '.join(TOPICS)}")
    if not named:
        raise usage("name who complains, such as --email")
    if options.get("verify"):
        raise usage("a complaint needs no code: leave --verify out, or --attest how you know")
    own = office.files.organisation
    made = Filing(
        topic=Topic(topic),
        identities=canonical(named, own.claims.rules, kinds_of(office.files.maps.by_name)),
        received_at=options.get("received") or instances.now(office.ledger),
        channel=options.get("channel") or "other",
        dispute=_flag(options.get("dispute")),
        about=options.get("about") or None,
        text=text,
        law=options.get("law") or None,
        country=options.get("country") or None,
        also=tuple(options.get("also") or ()),
        zone=options.get("zone") or None,
        language=language_of(options),
        attested=options.get("attest") or None,
        idempotency_key=options.get("idempotency_key") or None,
    )
    _ask_the_law(office, made)
    return made


def from_row(office: Office, row: Mapping[str, Any], named: list[tuple[str, str]]) -> Filing:
    """The complaint of a CSV row; its column `text` is what the person says."""
    text = row.get("text")
    return filing(office, row, named, None if not text else _text(text, "text"))


def told(filed: Filed) -> dict[str, Any]:
    """A complaint taken in, as JSON: the shape of a request's."""
    return {
        "case": filed.ref,
        "repeated": filed.repeated,
        "clocks": [_clock(one) for one in filed.clocks],
        "hold": filed.hold,
        "not_found_in": list(filed.unseen),
        "rules_standing": list(filed.rules.failed) if filed.rules else [],
    }


def lines(filed: Filed) -> Iterator[str]:
    """The same for people."""
    again = " (it was taken in before under this key)" if filed.repeated else ""
    yield f"{filed.ref}{again}"
    for one in filed.clocks:
        mark = "" if one.clock.verified else "  NOT VERIFIED: nobody has read a source for this row"
        act_by = local(one.due.conservative_due_at, one.due.zone)
        yield f"  {one.clock.name:<24} act by {act_by}; {one.clock.citation}{mark}"
    if filed.hold:
        yield f"  {filed.hold} holds what is theirs while the dispute is open"
        yield "  no system was asked whether it knows them: under an unknown name it holds nothing"
        yield from not_found_in(filed.unseen)
    if filed.rules and filed.rules.failed:
        failed = ", ".join(filed.rules.failed)
        yield f"  not reached yet, so their own rules may still let rows go: {failed}"


def not_found_in(collections: Sequence[str]) -> Iterator[str]:
    """Where a hold on people keeps nothing from sweeps, since these know nobody by such names."""
    if collections:
        named = ", ".join(collections)
        yield f"  sweeps know nobody by these names in {named}: name them by further identities"


def _clock(one: DueClock) -> dict[str, Any]:
    clock, due = one.clock, one.due
    return {
        "clock": clock.name,
        "law": one.law,
        "country": one.country,
        "due_on": clock.due_on,
        "due_at": clock.due_at,
        "conservative_due_on": due.conservative_due_on,
        "conservative_due_at": due.conservative_due_at,
        "zone": due.zone,
        "citation": clock.citation,
        "verified": clock.verified,
        "calendar_version": clock.calendar_version,
    }


def _ask_the_law(office: Office, made: Filing) -> None:
    """Raise a fault of the input where law, country and zone do not fit."""
    own = office.files.organisation
    places = [(made.country, made.law), *((one, None) for one in made.also)]
    with asking_the_law():
        timetable.law_clocks(own, made.topic, places, made.received_at, made.zone)


def _flag(given: object) -> bool:
    if isinstance(given, str):
        word = given.strip().lower()
        if word not in _YES | _NO:
            raise usage("the column dispute says yes or no")
        return word in _YES
    return bool(given)


def _read(file: Path) -> str:
    try:
        with file.open("rb") as source:
            return utf8(source, "the file of --text", MOST_BYTES)
    except OSError:
        raise usage("--text names no file that can be read; - reads stdin") from None


def _text(text: object, what: str) -> str:
    if not isinstance(text, str) or not text.strip():
        raise usage(f"{what} holds no text: write what the person says, or leave it out")
    if len(text.encode()) > MOST_BYTES:
        raise usage(f"{what} holds more than {MOST_BYTES} bytes: add the rest as a note")
    return text
