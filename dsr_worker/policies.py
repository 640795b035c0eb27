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
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from dsr_worker.contract import Action, Collection, System
from dsr_worker.documents import Document, DocumentError, near, parse, read, read_file
from dsr_worker.domain.decision import Bound, Term
from dsr_worker.domain.retention import Anchor, AnchorKind, CalendarPeriod, YearEnd
from dsr_worker.policy_file import KeepFile, PolicyFile, RuleFile, year_end_of
from dsr_worker.statutes.names import UnknownNameError
from dsr_worker.statutes.retention import RetentionLimit, retention_maximum, retention_minimum

_EXAMPLE_YEAR = date(2023, 12, 1)
_EXAMPLE_DAYS = 1 + 366 + 31
"""A leap year and a month on both sides: every way in which periods can differ by start."""
_NATURES = {
    "statute": "what a law orders",
    "limitation": "the limitation of claims, which orders nobody to keep anything",
    "guidance": "guidance or a standard, which no law orders",
}


class UnfitNatureError(ValueError):
    """A rule is named as what it is not; the text says how to name it."""


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
    if not _ever_together(limit, minimum):
        return False
    days = (_EXAMPLE_YEAR + timedelta(days=n) for n in range(_EXAMPLE_DAYS))
    return any(limit.ends_on(day) < minimum.ends_on(day) for day in days)


def _ever_together(one: Term, other: Term) -> bool:
    """Say whether there is a day on which both are in force."""
    first = max(one.effective_from or date.min, other.effective_from or date.min)
    return first < min(one.effective_to or date.max, other.effective_to or date.max)


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
        except (UnknownNameError, UnfitNatureError) as error:
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
        rule.keep_at_most and (rule.keep_at_most.row or f"{file.policy}/{rule.id}")
        for rule in file.rules
    ]
    return ("rules", grounds.index(limit.ground), "keep_at_most")


def _terms(file: PolicyFile, rule: RuleFile, key: str, keep: KeepFile | None) -> tuple[Term, ...]:
    return () if keep is None else (_term(file, rule, key, keep),)


def _term(file: PolicyFile, rule: RuleFile, key: str, keep: KeepFile) -> Term:
    closes = YearEnd() if keep.year_end is None else year_end_of(keep.year_end)
    action = Action.MASK if rule.action == "mask" else Action.ERASE
    if keep.row is not None:
        row = _STATUTES[key](keep.row)
        _refuse_another_nature(keep, row)
        return Term(
            ground=row.id,
            citation=row.citation,
            period=row.period,
            anchor=Anchor(row.anchor, closes),
            zone=file.zone,
            clock=rule.clock,
            action=action,
            effective_from=row.effective_from,
            effective_to=row.effective_to,
        )
    return Term(
        ground=f"{file.policy}/{rule.id}",
        citation=keep.citation or "",
        period=CalendarPeriod.parse(keep.period or ""),
        anchor=Anchor(keep.anchor or AnchorKind.RECORD_DATE, closes),
        zone=file.zone,
        clock=rule.clock,
        action=action,
    )


def _refuse_another_nature(keep: KeepFile, row: RetentionLimit) -> None:
    right = "statute" if row.nature.ordered else row.nature.value
    if getattr(keep, right) is None:
        raise UnfitNatureError(
            f"{row.id} is {_NATURES[right]}: a policy that takes it up"
            f" says so, {{{right}: {row.id}}}"
        )


def _frozen(file: PolicyFile, bound: Mapping[str, Bound], data: Mapping[str, Any]) -> Policy:
    periods = {
        name: [_said(term) for term in (*b.minimums, *b.limits)] for name, b in bound.items()
    }
    text = _canonical({"policy": data, "periods": periods})
    return Policy(file, bound, text, _sha256(text))


def _said(term: Term) -> str:
    since, until = term.effective_from, term.effective_to
    dates = f" {since or ''}/{until or ''}" if since or until else ""
    return f"{term.ground} {term.period} {term.anchor.kind}{dates}"


def _canonical(data: object) -> str:
    return json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
