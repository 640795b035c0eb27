"""Retention policies: how long classes of records are kept at least and at most.

Why this room exists: the law speaks of vouchers and customers, a system of tables; a policy binds a
period to a class of records, with its source and its owner. A folder of YAML files enters; policies
leave, and for each collection the terms that bind it. A limit shorter than a minimum on the same
class is a fault that names both sources, never a silent choice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from dsr_worker.contract import Action, Collection, System
from dsr_worker.documents import Document, DocumentError, Strict, near, parse, read, read_file
from dsr_worker.domain.calendar import zone_of
from dsr_worker.domain.decision import Bound, Term
from dsr_worker.domain.retention import Anchor, AnchorKind, CalendarPeriod, YearEnd
from dsr_worker.statutes.names import UnknownNameError
from dsr_worker.statutes.retention import RetentionLimit, retention_maximum, retention_minimum

_NAME = r"^[a-z][a-z0-9_-]{0,62}$"
_EXAMPLE_YEAR = date(2023, 12, 1)
_EXAMPLE_DAYS = 1 + 366 + 31
"""A leap year and a month on both sides: every way in which periods can differ by start."""
_EXAMPLE_TIME = datetime(2024, 1, 1, tzinfo=UTC)


def _is_zone(name: str) -> str:
    zone_of(name)
    return name


def _is_period(text: str) -> str:
    CalendarPeriod.parse(text)
    return text


def _is_cron(text: str) -> str:
    try:
        CronSim(text, _EXAMPLE_TIME)
    except CronSimError as error:
        raise ValueError('not a cron expression; write "15 3 * * *" for 03:15 every day') from error
    return text


def _year_end(text: str) -> YearEnd:
    month, dash, day = text.partition("-")
    if not dash or not month.isdigit() or not day.isdigit():
        raise ValueError('write month and day, such as "03-31"')
    return YearEnd(int(month), int(day))


def _is_year_end(text: str) -> str:
    _year_end(text)
    return text


def _is_text(value: object) -> object:
    if isinstance(value, int | float):
        raise ValueError('put it in quotes, three numbers with dots: "1.0.0"')  # noqa: TRY004 - pydantic takes no TypeError
    return value


def _is_filled(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuse an empty list; one whose only part has a fault of its own is not empty."""
    if not values:
        raise ValueError("empty; write at least one")
    return values


_FILLED = (AfterValidator(_is_filled), Field(json_schema_extra={"minItems": 1}))
Name = Annotated[str, Field(pattern=_NAME)]
Text = Annotated[str, Field(min_length=1)]
Zone = Annotated[str, AfterValidator(_is_zone)]


class KeepFile(Strict):
    """A period: a statute's row by id, or a period of one's own with its source."""

    statute: Name | None = None
    period: Annotated[str, AfterValidator(_is_period)] | None = None
    anchor: AnchorKind | None = None
    citation: Text | None = None
    year_end: Annotated[str, AfterValidator(_is_year_end)] | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        own = (self.period, self.anchor, self.citation)
        if self.statute is not None and any(own):
            raise ValueError("a statute brings its own period, anchor and citation; leave one out")
        if self.statute is None and not all(own):
            raise ValueError("write {statute: id}, or period, anchor and citation together")
        return self


class RuleFile(Strict):
    """One rule of a policy."""

    id: Name
    record_class: Annotated[Name, Field(alias="class")]
    keep_at_least: KeepFile | None = None
    keep_at_most: KeepFile | None = None
    clock: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    action: Literal["erase", "mask"] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.keep_at_least is None and self.keep_at_most is None:
            raise ValueError("a rule has keep_at_least, keep_at_most or both")
        if self.keep_at_most is None and self.action is not None:
            raise ValueError("an action belongs to keep_at_most; take it out")
        return self


class LimitsFile(Strict):
    """How much one sweep may touch without asking a person."""

    rows: Annotated[int, Field(ge=0)]
    share: Annotated[float, Field(ge=0, le=1, strict=False)]


class PolicyFile(Strict):
    """One file of retention policy."""

    policy: Name
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$"), BeforeValidator(_is_text)]
    title: Text
    owner: Text
    jurisdictions: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")], ...],
        *_FILLED,
    ]
    zone: Zone
    schedule: Annotated[str, AfterValidator(_is_cron)] | None = None
    limits: LimitsFile
    rules: Annotated[tuple[RuleFile, ...], *_FILLED]


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy, with the terms by class; `text` is canonical JSON and `hash` its SHA-256 (hex).

    The hash covers the periods that statutes' rows gave, so that a changed law is a changed policy.
    """

    file: PolicyFile
    bound: Mapping[str, Bound]
    text: str = field(repr=False)
    hash: str

    @property
    def name(self) -> str:
        """The policy's name."""
        return self.file.policy


@dataclass(frozen=True, slots=True)
class Policies:
    """Policies by name; `hash` covers all of them."""

    by_name: Mapping[str, Policy]

    @property
    def hash(self) -> str:
        """The SHA-256 (hex) over names and hashes, the same whatever the order of files."""
        return _sha256(_canonical({name: p.hash for name, p in self.by_name.items()}))

    def only(self, names: Iterable[str]) -> Policies:
        """Return the policies called `names`, those in force.

        Raises:
            KeyError: there is no such policy; the text gives near names.

        """
        wanted = tuple(names)
        for name in wanted:
            if name not in self.by_name:
                raise KeyError(f"no policy {name}; {near(name, self.by_name)}")
        return Policies({name: self.by_name[name] for name in sorted(set(wanted))})


def load_policies(folder: Path) -> Policies:
    """Return the policies of every `*.yaml` in `folder`.

    Raises:
        DocumentError: every fault of every file at once.

    """
    policies: dict[str, Policy] = {}
    homes: dict[str, Path] = {}
    faults: list[str] = []
    for file in sorted(folder.glob("*.yaml")):
        try:
            document = read_file(file)
            policy = _policy(document)
        except DocumentError as error:
            faults += error.faults
            continue
        if policy.name in policies:
            message = f"{policy.name} is in {homes[policy.name]} too; keep one of the two files"
            faults.append(document.fault(("policy",), message))
        policies[policy.name] = policy
        homes.setdefault(policy.name, file)
    if faults:
        raise DocumentError(faults)
    return Policies(dict(sorted(policies.items())))


def read_policy(text: str, name: str = "policy") -> Policy:
    """Return the policy written in `text`; `name` names it in faults.

    Raises:
        DocumentError: the text is no valid policy.

    """
    return _policy(read(text, name))


def binding(policies: Policies, collection: Collection) -> Bound:
    """Return the terms that bind `collection` by its class; a term named twice counts once."""
    if collection.record_class is None:
        return Bound()
    bounds = [p.bound.get(collection.record_class, Bound()) for p in policies.by_name.values()]
    return Bound(
        tuple(dict.fromkeys(term for bound in bounds for term in bound.minimums)),
        tuple(dict.fromkeys(term for bound in bounds for term in bound.limits)),
    )


def bindings(policies: Policies, system: System) -> dict[str, Bound]:
    """Return the terms of every collection of `system`, for `compile_decisions`."""
    return {name: binding(policies, part) for name, part in system.collections.items()}


def lint(policies: Policies, systems: Iterable[System] = ()) -> list[str]:
    """Return what policies, and policies and data map, contradict; empty where all fits.

    A limit may not end before a minimum on the same class, and every clock must be mapped.
    """
    contradictions = [message for _, message in _contradictions(policies)]
    return [*contradictions, *_unmapped(policies, tuple(systems))]


def schema() -> dict[str, Any]:
    """Return the JSON schema of a policy file, made from the model that reads it."""
    return PolicyFile.model_json_schema(by_alias=True)


def _contradictions(policies: Policies) -> Iterator[tuple[Term, str]]:
    """Yield each limit that ends before a minimum, and what to say about it."""
    by_class: dict[str, list[Bound]] = {}
    for policy in policies.by_name.values():
        for name, bound in policy.bound.items():
            by_class.setdefault(name, []).append(bound)
    for name, bounds in sorted(by_class.items()):
        minimums = [term for bound in bounds for term in bound.minimums]
        for limit in (term for bound in bounds for term in bound.limits):
            for minimum in minimums:
                if _ends_earlier(limit, minimum):
                    message = (
                        f"class {name}: {limit.ground} ({limit.citation}) lets records go before "
                        f"{minimum.ground} ({minimum.citation}) does; lengthen keep_at_most or "
                        "take it out"
                    )
                    yield limit, message


def _ends_earlier(limit: Term, minimum: Term) -> bool:
    """Say whether, counted from one day, the limit ever ends first; year ends make days differ."""
    days = (_EXAMPLE_YEAR + timedelta(days=n) for n in range(_EXAMPLE_DAYS))
    return any(limit.ends_on(day) < minimum.ends_on(day) for day in days)


def _unmapped(policies: Policies, systems: tuple[System, ...]) -> Iterator[str]:
    for system in systems:
        for name, bound in bindings(policies, system).items():
            clocks = system.collections[name].clocks
            for term in (*bound.minimums, *bound.limits):
                if term.clock not in clocks:
                    yield (
                        f"{system.name}.{name}: {term.ground} counts from {term.clock}, which is "
                        f"not mapped; add it to clocks ({near(term.clock, clocks)})"
                    )


def _policy(document: Document) -> Policy:
    file = parse(document, PolicyFile)
    faults: list[str] = []
    bound: dict[str, Bound] = {}
    for at, rule in enumerate(file.rules):
        if rule.id in {earlier.id for earlier in file.rules[:at]}:
            faults.append(document.fault(("rules", at, "id"), f"{rule.id} stands twice"))
        try:
            minimums = _terms(file, rule, "keep_at_least", rule.keep_at_least)
            limits = _terms(file, rule, "keep_at_most", rule.keep_at_most)
        except UnknownNameError as error:
            faults.append(document.fault(("rules", at), str(error)))
            continue
        earlier = bound.get(rule.record_class, Bound())
        bound[rule.record_class] = Bound((*earlier.minimums, *minimums), (*earlier.limits, *limits))
    policy = _frozen(file, bound, document.data)
    for limit, message in _contradictions(Policies({"": policy})):
        faults.append(document.fault(_place(file, limit), message))
    if faults:
        raise DocumentError(faults)
    return policy


_STATUTES: Mapping[str, Callable[[str], RetentionLimit]] = {
    "keep_at_least": retention_minimum,
    "keep_at_most": retention_maximum,
}


def _place(file: PolicyFile, limit: Term) -> tuple[str | int, ...]:
    grounds = [
        rule.keep_at_most and (rule.keep_at_most.statute or f"{file.policy}/{rule.id}")
        for rule in file.rules
    ]
    return ("rules", grounds.index(limit.ground), "keep_at_most")


def _terms(file: PolicyFile, rule: RuleFile, key: str, keep: KeepFile | None) -> tuple[Term, ...]:
    return () if keep is None else (_term(file, rule, key, keep),)


def _term(file: PolicyFile, rule: RuleFile, key: str, keep: KeepFile) -> Term:
    closes = YearEnd() if keep.year_end is None else _year_end(keep.year_end)
    action = Action.MASK if rule.action == "mask" else Action.ERASE
    if keep.statute is not None:
        row = _STATUTES[key](keep.statute)
        anchor = Anchor(row.anchor, closes)
        return Term(row.id, row.citation, row.period, anchor, file.zone, rule.clock, action)
    return Term(
        ground=f"{file.policy}/{rule.id}",
        citation=keep.citation or "",
        period=CalendarPeriod.parse(keep.period or ""),
        anchor=Anchor(keep.anchor or AnchorKind.RECORD_DATE, closes),
        zone=file.zone,
        clock=rule.clock,
        action=action,
    )


def _frozen(file: PolicyFile, bound: Mapping[str, Bound], data: Mapping[str, Any]) -> Policy:
    periods = {
        name: [f"{t.ground} {t.period} {t.anchor.kind}" for t in (*b.minimums, *b.limits)]
        for name, b in bound.items()
    }
    text = _canonical({"policy": data, "periods": periods})
    return Policy(file, bound, text, _sha256(text))


def _canonical(data: object) -> str:
    return json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
