"""`dsr submit`: one request, or a CSV file of them with a result for each row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

import click

from dsr_worker.bootstrap import Office
from dsr_worker.cli import complaining, desk, faults
from dsr_worker.cli.desk import Caller, Opening, acting, pass_opening
from dsr_worker.cli.faults import Fault, usage
from dsr_worker.cli.names import asking_the_law, kinds_of
from dsr_worker.cli.output import json_option, local, note, progress, show
from dsr_worker.cli.root import Options
from dsr_worker.cli.stating import asked, from_text
from dsr_worker.cli.values import (
    CODE,
    INSTANT,
    KEY,
    Word,
    canonical,
    code,
    identity_options,
    instant,
    key,
    language_of,
    utf8,
)
from dsr_worker.cli.values import pair as kind_and_value
from dsr_worker.domain.request import TAKEN_IN, kind_of
from dsr_worker.fulfil.complaints import Filed, Filing
from dsr_worker.fulfil.correcting import Stated
from dsr_worker.fulfil.intake import SUBMIT, Accepted, Request
from dsr_worker.ledger import LedgerUnreachable, instances
from dsr_worker.statutes import ClockSpec, applicable, request_clocks

COLUMNS = (
    *("kind", "email", "customer_number", "phone", "identity", "law", "country", "also"),
    *("channel", "received", "zone", "language", "idempotency_key", "attest", "corrections"),
    *("topic", "about", "dispute", "text"),
)
"""What a CSV file may have as columns; `identity` holds `KIND=VALUE`, several apart by `;`, `also`
country codes in the same way, `corrections` the JSON list of a rectification; the last four are a
complaint's."""

_TELL_EVERY = 100
_MOST_CSV_BYTES = 64 * 1024 * 1024


@click.command("submit")
@click.option("--kind", metavar="KIND", help=f"{' or '.join(sorted(TAKEN_IN))}.")
@identity_options
@click.option("--law", metavar="NAME", help="Such as eu-gdpr; default: from --country.")
@click.option("--country", metavar="CODE", help="Where the person lives: DE, GB-ENG, US-CA.")
@click.option(
    "--also",
    multiple=True,
    metavar="CODE",
    help="A further country where the person may live: its law's clock runs beside. Repeatable.",
)
@click.option("--channel", type=CODE, default="other", help="How it came: mail, web, letter, …")
@click.option("--received", type=INSTANT, help="When it came, with offset; default: now.")
@click.option("--zone", metavar="ZONE", help="Zone of the day of receipt; default: by the law.")
@click.option("--language", metavar="CODE", help="Language of the answer, such as de.")
@click.option(
    "--idempotency-key", "idempotency_key", type=KEY, metavar="KEY", help="Same key, same case."
)
@click.option("--attest", type=CODE, metavar="METHOD", help="You know who asks, and how you know.")
@click.option("--verify", type=Word("code"), help="Send a code to the contact on file (default).")
@click.option(
    "--corrections",
    "correction_source",
    metavar="FILE|-",
    help="What a rectification puts right: a JSON list in a file or on stdin.",
)
@click.option("--topic", metavar="TOPIC", help=f"Of a complaint: {', '.join(complaining.TOPICS)}.")
@click.option("--about", metavar="CASE", help="Of a complaint: the earlier case it is about.")
@click.option("--dispute", is_flag=True, help="Of a complaint: something is contested. Holds.")
@click.option(
    "--text",
    "text_source",
    metavar="FILE|-",
    help="Of a complaint: what the person says, in a file or on stdin; it is sealed.",
)
@click.option(
    "--csv",
    "csv_file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Submit every row of a file; its columns are called like the options.",
)
@acting
@json_option
@pass_opening
@click.pass_context
def submit_command(ctx: click.Context, opening: Opening, /, **options: Any) -> None:
    """Take a request in and print its case and due dates."""
    if options["attest"] and options["verify"]:
        raise usage("a person is verified by --attest or by --verify code, not by both")
    with opening.office() as office:
        caller = desk.caller(office, options["actor"], options["key_file"])
        if options["csv_file"] is not None:
            if options["correction_source"] or options["text_source"]:
                raise usage("with --csv each row has its own: fill corrections or text")
            _warn(office, options["kind"] or "access")
            ctx.exit(_many(office, caller, options))
        if complaining.meant(options):
            filing = complaining.filing(office, options, *complaining.asked(options))
            filed = _file(office, caller, filing)
            show(complaining.told(filed), complaining.lines(filed), as_json=options["as_json"])
            return
        named, corrections = asked(options)
        if not options["kind"] or not named:
            raise usage(
                f"name --kind ({', '.join(sorted(TAKEN_IN))}) and who asks, such as --email"
            )
        request = _request(office, options, named, corrections)
        _warn(office, request.kind, request.language)
        accepted = _submit(office, caller, request)
        desk.ring(office, accepted.ring)
    show(told(accepted), _lines(accepted), as_json=options["as_json"])


def _request(
    office: Office,
    options: Mapping[str, Any],
    named: list[tuple[str, str]],
    corrections: tuple[Stated, ...],
) -> Request:
    language = language_of(options)
    attested = options.get("attest")
    kinds = kinds_of(office.files.maps.by_name)
    request = Request(
        kind=kind_of(options["kind"] or ""),
        identities=canonical(named, office.files.organisation.claims.rules, kinds),
        received_at=options.get("received") or instances.now(office.ledger),
        channel=options.get("channel") or "other",
        law=options.get("law") or None,
        country=options.get("country") or None,
        also=tuple(options.get("also") or ()),
        zone=options.get("zone") or None,
        language=language,
        verification=f"attested:{attested}" if attested else "code",
        idempotency_key=options.get("idempotency_key") or None,
        corrections=corrections,
    )
    _ask_the_law(request)
    return request


def _ask_the_law(request: Request) -> None:
    """Raise a fault of the input where law, country, zone and day of receipt do not fit."""
    with asking_the_law():
        pack = applicable(request.country, request.law)
        right = request.kind.value
        request_clocks(pack, right, request.country, request.received_at, request.zone)
        for country in request.also:
            request_clocks(applicable(country), right, country, request.received_at, request.zone)


def _warn(office: Office, kind: str, language: str | None = None) -> None:
    """Say now, weeks before the deadline, which texts an access package would be refused for."""
    for line in office.texts.warnings(kind, language, None, None):
        note(line)


def _submit(office: Office, caller: Caller, request: Request) -> Accepted:
    return office.intake.submit(request, caller.sign(SUBMIT, "new", request.digest()))


def _file(office: Office, caller: Caller, filing: Filing) -> Filed:
    return office.filings.submit(filing, caller.sign(SUBMIT, "new", filing.digest()))


def told(accepted: Accepted) -> dict[str, Any]:
    """A case taken in, as JSON."""
    return {
        "case": accepted.ref,
        "repeated": accepted.repeated,
        "clocks": [_clock(spec) for spec in accepted.clocks],
    }


def _clock(spec: ClockSpec) -> dict[str, Any]:
    return {
        "clock": spec.kind.value,
        "law": spec.law,
        "country": spec.country,
        "due_on": spec.due.due_on,
        "due_at": spec.due.due_at,
        "conservative_due_on": spec.due.conservative_due_on,
        "conservative_due_at": spec.due.conservative_due_at,
        "extended_due_on": spec.extended_due and spec.extended_due.due_on,
        "zone": spec.due.zone,
        "citation": spec.citation,
        "verified": spec.verified,
        "calendar_version": spec.due.calendar_version,
    }


def _lines(accepted: Accepted) -> Iterator[str]:
    again = " (it was taken in before under this key)" if accepted.repeated else ""
    yield f"{accepted.ref}{again}"
    for spec in accepted.clocks:
        due = spec.due
        mark = "" if spec.verified else "  NOT VERIFIED: nobody has read a source for this row"
        yield (
            f"  {spec.kind.value:<12} {local(due.due_at, due.zone)};"
            f" act by {local(due.conservative_due_at, due.zone)}"
        )
        yield f"  {'':<12} {spec.law}, {spec.citation}{mark}"


# ---- many


@dataclass
class _Tally:
    """What became of a file's rows."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    ring: set[str] = field(default_factory=set)
    accepted: int = 0
    stopped_at: int | None = None
    interrupted_at: int | None = None


def _many(office: Office, caller: Caller, options: Options) -> int:
    """Submit every row; the exit code. A bad row never stops the others."""
    tally = _Tally()
    _all(office, caller, options, tally)
    _ring(office, tally)
    refused = len(tally.rows) - tally.accepted
    progress(f"{len(tally.rows)} rows: {tally.accepted} accepted, {refused} refused")
    data = {"accepted": tally.accepted, "refused": refused, "rows": tally.rows}
    for name in ("stopped_at", "interrupted_at"):
        if (number := getattr(tally, name)) is not None:
            data[name] = number
    show(data, map(_row_line, tally.rows), as_json=options["as_json"])
    if tally.stopped_at is not None:
        raise Fault(
            "ledger_unreachable",
            f"the ledger stopped answering at row {tally.stopped_at}; it and later ones were not"
            " taken in: submit them again (rows with an idempotency key are never taken in twice)",
            faults.NOT_READY,
        )
    if tally.interrupted_at is not None:
        raise faults.interrupted(
            f"Of the rows not told here none was taken in, but perhaps row {tally.interrupted_at}:"
            " submit them again (rows with an idempotency key are never taken in twice)"
        )
    return faults.REFUSED if refused else faults.OK


def _all(office: Office, caller: Caller, options: Options, tally: _Tally) -> None:
    """Submit row after row until the end, the ledger's silence or Ctrl-C; the tally has it all."""
    number = 0
    try:
        for number, row in _rows(_text(options["csv_file"])):
            if not _one(office, caller, options, number, row, tally):
                break
            if number % _TELL_EVERY == 0:
                progress(f"{number} rows read, {tally.accepted} accepted")
                _ring(office, tally)
    except KeyboardInterrupt:
        if not number:
            raise
        tally.interrupted_at = number


def _text(file: Path) -> TextIO:
    """A file's text, read and refused whole: of half a file nobody knows what was taken in."""
    with file.open("rb") as source:
        return io.StringIO(utf8(source, "the CSV file", _MOST_CSV_BYTES), newline=None)


def _ring(office: Office, tally: _Tally) -> None:
    desk.ring(office, tally.ring)
    tally.ring.clear()


def _rows(file: TextIO) -> Iterator[tuple[int, dict[str, str] | None]]:
    """Number (the header is 0) and fields of each row; None where the row cannot be read.

    A row is one line, so that a quote too many spoils no other row.
    """
    heads = [head.strip().lower().replace("-", "_") for head in _cells(file.readline()) or ()]
    unknown = [str(at) for at, head in enumerate(heads, 1) if head not in COLUMNS]
    if unknown or not heads:
        message = f"column {', '.join(unknown) or '1'} of the first line has no name that is known"
        raise usage(f"{message}; known: {', '.join(COLUMNS)}")
    for number, line in enumerate(file, 1):
        if line.strip():
            cells = _cells(line)
            fits = cells is not None and len(cells) <= len(heads)
            yield number, dict(zip(heads, cells or (), strict=False)) if fits else None


def _cells(line: str) -> list[str] | None:
    try:
        return next(csv.reader([line], strict=True), [])
    except csv.Error:
        return None


def _one(
    office: Office,
    caller: Caller,
    options: Options,
    number: int,
    row: dict[str, str] | None,
    tally: _Tally,
) -> bool:
    """Submit one row; False when the ledger is gone and there is no use in going on."""
    try:
        told_, ring = _taken_in(office, caller, _row_request(office, options, row))
    except LedgerUnreachable:
        tally.stopped_at = number
        return False
    except Exception as error:  # noqa: BLE001 - a bad row never stops the others
        code_, message, _ = faults.described(error)
        refusal = {"row": number, "status": "refused", "code": code_, "message": message}
        tally.rows.append(refusal)
        return True
    tally.accepted += 1
    tally.ring.update(ring)
    tally.rows.append({"row": number, "status": "accepted", **told_})
    return True


def _taken_in(
    office: Office, caller: Caller, asked_for: Request | Filing
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What became of a row, as JSON, and the systems to ring for."""
    if isinstance(asked_for, Filing):
        return complaining.told(_file(office, caller, asked_for)), ()
    accepted = _submit(office, caller, asked_for)
    return told(accepted), accepted.ring


def _row_request(
    office: Office, options: Options, row: Mapping[str, str] | None
) -> Request | Filing:
    """A row's request; what the row leaves empty comes from the command's options."""
    if row is None:
        raise usage("the row cannot be read: mend its quotes or its number of columns")
    given = {key: value for key, value in row.items() if value.strip()}
    named = [(kind, given[kind]) for kind in COLUMNS[1:4] if kind in given]
    identities = given.get("identity", "").split(";")
    named += [kind_and_value(text.strip(), "identity") for text in identities if text.strip()]
    received: datetime | None = options["received"]
    if "received" in given:
        received = instant(given["received"], "received")
    for name, checked in (("channel", code), ("attest", code), ("idempotency_key", key)):
        if name in given:
            checked(given[name], name)
    if not named:
        raise usage("the row names nobody: fill email, customer_number, phone or identity")
    corrections = from_text(given["corrections"], "corrections") if "corrections" in given else ()
    also = [code.strip() for code in given.get("also", "").split(";") if code.strip()]
    stated = {**options, **given, "received": received, "also": also or options["also"]}
    if complaining.meant(stated):
        return complaining.from_row(office, stated, named)
    return _request(office, stated, named, corrections)


def _row_line(row: Mapping[str, Any]) -> str:
    if row["status"] == "refused":
        return f"row {row['row']}: refused ({row['code']}): {row['message']}"
    clocks = row["clocks"]
    again = ", taken in before" if row["repeated"] else ""
    return f"row {row['row']}: {row['case']}, act by {clocks[0]['conservative_due_on']}{again}"
