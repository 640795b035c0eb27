"""`dsr check`: whether files, policies, texts and systems are as answers will need them.

Needs no ledger and no key: it runs in a review of the files as well.
"""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import click

from dsr_worker.cli import faults
from dsr_worker.cli.desk import Opening, pass_opening
from dsr_worker.cli.names import place
from dsr_worker.cli.output import json_option, show
from dsr_worker.contract import Finding, Severity
from dsr_worker.datamap import MappedSystem
from dsr_worker.documents import DocumentError, read_file
from dsr_worker.documents import Path as Place
from dsr_worker.fulfil.texts import Texts
from dsr_worker.installation import ORGANISATION, Files
from dsr_worker.organisation import Organisation, unfilled
from dsr_worker.package import MissingText, missing_texts
from dsr_worker.policies import lint
from dsr_worker.registry import Registry
from dsr_worker.statutes import LawPack, UnknownNameError, applicable

_Function = TypeVar("_Function", bound=Callable[..., Any])
_WIDTH: Final = 100
_STATEMENT: Final = re.compile(r"(CREATE|GRANT|ALTER|REVOKE|DROP|SET) ")


@dataclass(frozen=True)
class Line:
    """One finding, and where it was made."""

    where: str
    severity: str
    subject: str
    message: str
    remedy: str = ""

    @classmethod
    def of(cls, system: str, found: Finding) -> Self:
        """A finding of a system's connector."""
        return cls(system, found.severity.value, found.subject, found.message, found.remedy)


def verbose_option(function: _Function) -> _Function:
    """Let a check take --verbose."""
    option = click.option("--verbose", is_flag=True, help="Show what is in order as well.")
    return option(function)


@click.command("check")
@click.option("--system", metavar="NAME", help="Only this system.")
@verbose_option
@json_option
@pass_opening
@click.pass_context
def check_command(
    ctx: click.Context, opening: Opening, *, system: str | None, verbose: bool, as_json: bool
) -> None:
    """Check files, policies, the texts that Art. 15 GDPR asks for, and every system."""
    settings = opening.read_settings()
    try:
        files = Files.load(settings.config_dir)
    except DocumentError as error:
        lines = [Line("files", "error", "", fault) for fault in error.faults]
    else:
        registry = opening.registry or Registry()
        lines = list(_lines(files, registry, system))
    ctx.exit(told(lines, verbose=verbose, as_json=as_json))


def told(lines: Sequence[Line], *, verbose: bool, strict: bool = False, as_json: bool) -> int:
    """Show findings; the exit code that follows, with `strict` of warnings as well.

    As text what is in order is one line with a count, unless `verbose`; JSON has it all.
    """
    errors = sum(line.severity == Severity.ERROR for line in lines)
    warnings = sum(line.severity == Severity.WARNING for line in lines)
    data = {"errors": errors, "warnings": warnings, "findings": [asdict(line) for line in lines]}
    ill = [line for line in lines if line.severity != Severity.OK]
    shown = [text for line in (lines if verbose else ill) for text in _block(line)]
    if not verbose and len(ill) < len(lines):
        shown.append(_folded([line for line in lines if line.severity == Severity.OK]))
    show(data, [*shown, f"{errors} error(s), {warnings} warning(s)."], as_json=as_json)
    return faults.REFUSED if errors or (strict and warnings) else faults.OK


def _block(line: Line) -> Iterator[str]:
    """A finding: what it is about, what it says, what to do; a statement whole, to be copied."""
    yield f"{line.severity:<8} {line.where} {line.subject}".rstrip()
    yield from _wrapped(line.message)
    if _STATEMENT.match(line.remedy):
        yield f"  {line.remedy}"
    elif line.remedy:
        yield from _wrapped(f"remedy: {line.remedy}")


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent="  ",
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _folded(lines: Sequence[Line]) -> str:
    counts = Counter(line.where for line in lines)
    each = ", ".join(f"{where} {count}" for where, count in counts.items())
    return f"{len(lines)} finding(s) ask for nothing ({each}): --verbose shows them."


def _lines(files: Files, registry: Registry, only: str | None) -> Iterator[Line]:
    mapped = files.maps.systems
    if only is not None:
        place(files.maps.by_name, only, None)
    wanted = {name: m for name, m in mapped.items() if only in (None, name)}
    if only is None:
        yield from _organisation(files)
        yield from _policies(files)
    yield from _texts(files, wanted)
    for name, one in sorted(wanted.items()):
        yield from of_system(files.folder, registry, name, one)


def _organisation(files: Files) -> Iterator[Line]:
    """What loads and is nobody's yet: placeholders, and markets that no law pack covers."""
    document = read_file(files.folder / ORGANISATION)
    wrong = list(unfilled(document))
    own = files.organisation
    places: list[tuple[Place, str]] = [(("establishment", "country"), own.establishment.country)]
    places += [(("markets", at), code) for at, code in enumerate(own.markets)]
    for path, code in places:
        try:
            pack = applicable(code)
        except UnknownNameError as error:
            message = f"{error}; `dsr statutes list` shows which countries have a law pack"
            wrong.append(document.fault(path, message))
            continue
        if pack.begins_on is None or pack.begins_on > datetime.now(UTC).date():
            yield _to_come(code, pack)
    yield from _nobody_to_turn_to(own)
    for fault in wrong:
        yield Line("files", "error", "", fault)


def _nobody_to_turn_to(own: Organisation) -> Iterator[Line]:
    """Markets of which the timetable for complaints names no body outside the house."""
    for code in own.markets:
        if own.complaints.body(code) is None:
            message = f"complaints.refer_to names no body for {code}"
            remedy = "add it to organisation.yaml; until then letters leave its place open"
            yield Line("files", "warning", "complaints", message, remedy)


def _to_come(code: str, pack: LawPack) -> Line:
    since = pack.begins_on or "a day that is not set yet"
    message = f"{pack.name} is in force from {since} on: until then no statute sets a date there"
    return Line("files", "warning", code, message, "a breach there gets a duty to find the law")


def _policies(files: Files) -> Iterator[Line]:
    systems = [mapped.system for mapped in files.maps.systems.values()]
    for message in lint(files.policies, systems):
        yield Line("policies", "error", "", message)
    bound = {name for policy in files.policies.by_name.values() for name in policy.bound}
    unswept: dict[str, list[str]] = {}
    for system in systems:
        for collection in system.collections.values():
            if collection.record_class is None or collection.record_class not in bound:
                places = unswept.setdefault(collection.record_class or "none", [])
                places.append(f"{system.name}.{collection.name}")
    if unswept:
        count = sum(map(len, unswept.values()))
        each = "; ".join(f"{name}: {', '.join(places)}" for name, places in unswept.items())
        yield Line(
            "policies",
            "warning",
            f"{count} collection(s)",
            f"no policy in force binds their class, so that they are never swept ({each})",
            "give them a `class` that a policy binds, or bind the class in a policy",
        )


_UNTIL_THEN = "until then no access package can be made"


def _texts(files: Files, wanted: Mapping[str, MappedSystem]) -> Iterator[Line]:
    own = files.organisation
    texts = Texts(own, files.policies, files.maps.by_name)
    country = own.establishment.country
    try:
        law = applicable(country).name
    except UnknownNameError:
        law = None
    systems = [mapped.system for mapped in wanted.values()]
    found: dict[str, dict[str, MissingText]] = {}
    for language in own.languages:
        for missing in missing_texts(texts.for_package(language, law, country), systems):
            where = f"{missing.where} ({language})" if missing.where == "organisation" else ""
            found.setdefault(where or missing.where, {}).setdefault(missing.text, missing)
    for subject, some in found.items():
        message = f"not written: {', '.join(f'{m.text} ({m.article})' for m in some.values())}"
        remedy = f"write {', '.join(m.remedy for m in some.values())}"
        yield Line("texts", "error", subject, message, f"{remedy}; {_UNTIL_THEN}")


def of_system(folder: Path, registry: Registry, name: str, mapped: MappedSystem) -> Iterator[Line]:
    """What a system's own connector finds; `folder` is where references to files start."""
    try:
        findings = list(registry.make(mapped, folder).check())
    except Exception as error:  # noqa: BLE001 - an ill system is a line, the others are checked too
        code, message, _ = faults.described(error)
        if code == "unexpected":
            message = f"its check failed ({type(error).__name__})"
        yield Line(name, "error", mapped.connector, message)
        return
    for marked in mapped.system.unreviewed:
        message = "is marked `review`: nothing is erased by this map"
        yield Line(name, "warning", marked, message, "look at it, then take the mark out")
    for found in findings or [Finding(Severity.OK, name, "answers")]:
        yield Line.of(name, found)
