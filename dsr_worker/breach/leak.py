"""What leaked, as stated, and the facts of a breach as its job keeps them.

In: scopes of the data map, the instant of awareness, markets, what is known and what is not. Out:
plain JSON for the job (names of the map, codes, instants; no prose, no personal data), and the
`BreachFacts` by which duties are judged. Prose is kept apart, sealed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from dsr_worker.contract import LeakScope, System
from dsr_worker.domain.breach import BreachFacts, Harm, Notice, Role
from dsr_worker.domain.calendar import to_utc
from dsr_worker.domain.clock import StartKind
from dsr_worker.domain.decision import canonical_json
from dsr_worker.domain.headcount import Affected

PARTS = ("nature", "consequences", "measures", "advice")
"""The prose that Art. 33(3) and 34(2) GDPR ask for and only people can write."""


@dataclass(frozen=True, slots=True)
class Leak:
    """A breach as declared. None means not known, which never lightens a duty.

    `scopes` names per system what leaked (no fields: all of the collection). `texts` holds prose by
    language and part (`PARTS`, and `late_reasons`); it may come later.
    """

    scopes: Mapping[str, tuple[LeakScope, ...]]
    aware_at: datetime
    markets: tuple[str, ...]
    encrypted: bool | None = None
    key_taken: bool | None = None
    harm: Harm | None = None
    role: Role = Role.CONTROLLER
    lead_country: str | None = None
    events: Mapping[StartKind, datetime] = field(default_factory=dict)
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    idempotency_key: str | None = None

    def digest(self) -> str:
        """The SHA-256 (hex) of what is declared, for the declarer to sign."""
        plain = {**facts_of(self, {}), "texts": {k: dict(v) for k, v in self.texts.items()}}
        return hashlib.sha256(canonical_json(plain).encode()).hexdigest()


def facts_of(leak: Leak, systems: Mapping[str, System]) -> dict[str, Any]:
    """The facts of a declaration as the job keeps them. Raises ValueError for a naive instant."""
    return {
        "scopes": {
            name: [_scope_json(scope) for scope in scopes]
            for name, scopes in sorted(leak.scopes.items())
        },
        "categories": sorted(_categories(leak, systems)),
        "aware_at": to_utc(leak.aware_at).isoformat(),
        "markets": list(leak.markets),
        "encrypted": leak.encrypted,
        "key_taken": leak.key_taken,
        "harm": leak.harm,
        "role": leak.role,
        "lead_country": leak.lead_country,
        "events": {kind: to_utc(at).isoformat() for kind, at in sorted(leak.events.items())},
        "notices_sent": [],
        "people_told": {},
        "affected": None,
    }


def breach_facts(facts: Mapping[str, Any]) -> BreachFacts:
    """The job's facts as the domain judges them."""
    windows = [scope for scopes in facts["scopes"].values() for scope in scopes]
    found = facts.get("affected")
    return BreachFacts(
        systems=frozenset(facts["scopes"]),
        collections=frozenset(s["collection"] for s in windows),
        categories=frozenset(facts["categories"]),
        window_from_at=_bound([s["from_at"] for s in windows], min),
        window_to_at=_bound([s["until_at"] for s in windows], max),
        encrypted=facts["encrypted"],
        key_taken=facts["key_taken"],
        harm=None if facts["harm"] is None else Harm(facts["harm"]),
        role=Role(facts["role"]),
        lead_country=facts["lead_country"],
        events={StartKind(k): datetime.fromisoformat(at) for k, at in facts["events"].items()},
        notices_sent={
            Notice(law, jurisdiction, told): datetime.fromisoformat(at)
            for law, jurisdiction, told, at in facts["notices_sent"]
        },
        people_told={
            residence: datetime.fromisoformat(at) for residence, at in facts["people_told"].items()
        },
        affected=None
        if found is None
        else Affected(found["residences"], found["unknown"], found["complete"]),
    )


def scopes_of(facts: Mapping[str, Any], system: str) -> tuple[LeakScope, ...]:
    """What leaked from one system."""
    return tuple(
        LeakScope(
            s["collection"], tuple(s["fields"]), _instant(s["from_at"]), _instant(s["until_at"])
        )
        for s in facts["scopes"][system]
    )


def faults(leak: Leak, systems: Mapping[str, System]) -> list[str]:
    """What in a declaration does not fit the data map, with what there is instead."""
    found = [] if leak.scopes else ["name at least one system and collection that leaked"]
    for name, scopes in leak.scopes.items():
        if name not in systems:
            found.append(f"no system {name}; the map has {', '.join(sorted(systems))}")
            continue
        for scope in scopes:
            found += _scope_faults(systems[name], scope)
    return found


def _scope_faults(system: System, scope: LeakScope) -> list[str]:
    collection = system.collections.get(scope.collection)
    if collection is None:
        known = ", ".join(sorted(system.collections))
        return [f"{system.name} has no collection {scope.collection}; it has {known}"]
    unknown = sorted(set(scope.fields) - set(collection.fields))
    found = [f"{system.name}.{scope.collection} has no field {name}" for name in unknown]
    if scope.from_at and scope.until_at and scope.until_at < scope.from_at:
        found.append(f"the window of {system.name}.{scope.collection} ends before it begins")
    return found


def _scope_json(scope: LeakScope) -> dict[str, Any]:
    return {
        "collection": scope.collection,
        "fields": list(scope.fields),
        "from_at": _text(scope.from_at),
        "until_at": _text(scope.until_at),
    }


def _categories(leak: Leak, systems: Mapping[str, System]) -> set[str]:
    return {
        known.category
        for name, scopes in leak.scopes.items()
        if name in systems
        for scope in scopes
        for field_name, known in systems[name].collections[scope.collection].fields.items()
        if not scope.fields or field_name in scope.fields
    }


def _text(at: datetime | None) -> str | None:
    return None if at is None else to_utc(at).isoformat()


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)


def _bound(texts: list[str | None], pick: Any) -> datetime | None:
    """The outermost instant; None where any scope is open on that side."""
    instants = [_instant(text) for text in texts]
    found: datetime | None = pick(instants) if instants and None not in instants else None
    return found
