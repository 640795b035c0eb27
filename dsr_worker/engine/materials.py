"""What a job is judged by: its frozen data map and policies, compiled once, and their connectors.

In: the current configuration, ids of frozen sets. Out: `Frozen` values and connectors, cached. A
job keeps the map and policies it was begun with; what is planned anew goes by today's, and by the
law of the job's first day. Holds are never frozen and are read at every effect.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from dsr_worker.contract import Configuration, Connector, System
from dsr_worker.datamap import (
    MappedSystem,
    Maps,
    SecretMissing,
    parse_maps,
)
from dsr_worker.documents import DocumentError
from dsr_worker.domain.decision import Decisions, canonical_json, compile_decisions
from dsr_worker.domain.frozen import freeze, thaw
from dsr_worker.ledger import Ledger, frozen
from dsr_worker.policies import Policies, bindings
from dsr_worker.registry import Registry
from dsr_worker.statutes import pack_text_and_hash

NO_LAW = ("0" * 64, "")  # jobs that no statute starts: a sweep


@dataclass(frozen=True)
class Frozen:
    """One frozen set: systems, decisions of each, and the hashes that name the texts."""

    id: int
    mapped: Mapping[str, MappedSystem]
    decisions: Mapping[str, Decisions]
    versions: Mapping[str, str]
    decided_at: datetime

    @property
    def systems(self) -> dict[str, System]:
        """The systems as the contract knows them."""
        return {name: mapped.system for name, mapped in self.mapped.items()}

    @property
    def unreviewed(self) -> list[str]:
        """Where the map still carries `review`, as `system.collection` or `….field`."""
        return [f"{n}.{place}" for n, s in sorted(self.systems.items()) for place in s.unreviewed]


class Materials:
    """Frozen sets and connectors of this process, made when first needed."""

    def __init__(
        self, ledger: Ledger, registry: Registry, maps: Maps, policies: Policies, base: Path
    ) -> None:
        self._ledger = ledger
        self._registry = registry
        self._base = base
        self.maps = maps
        self.policies = policies
        self._policy_text = _policy_text(maps, policies)
        self._frozen: dict[int, Frozen] = {}
        self._ids: dict[tuple[str, str, str, datetime], int] = {}
        self._laws: dict[int, tuple[str, str]] = {}
        self._connectors: dict[tuple[str, str], Connector] = {}
        self._lock = threading.Lock()

    def freeze(self, law: str | None, now: datetime) -> int:
        """Freeze today's map and policies and a law's pack; the id of the set.

        Decisions go by the start of the UTC day, so that jobs of one day share a batch. A new set
        is committed by itself: it means nothing without a job, and other connections read it.
        """
        return self._freeze(_law(law), now)

    def freeze_anew(self, before: int, now: datetime) -> int:
        """Freeze today's map and policies with the law pack of an earlier set; the id of the set.

        A request is judged by the law of its first day, whatever releases say later.
        """
        if before not in self._laws:
            with self._ledger.transaction() as cursor:
                self._laws[before] = frozen.law(cursor, before)
        return self._freeze(self._laws[before], now)

    def _freeze(self, law: tuple[str, str], now: datetime) -> int:
        law_hash, law_text = law
        policy_hash = hashlib.sha256(self._policy_text.encode()).hexdigest()
        decided_at = now.replace(hour=0, minute=0, second=0, microsecond=0)
        known = (self.maps.hash, policy_hash, law_hash, decided_at)
        if known not in self._ids:
            texts = {
                "map": (self.maps.hash, self.maps.text),
                "policy": (policy_hash, self._policy_text),
                "law": (law_hash, law_text),
            }
            with self._ledger.transaction() as cursor:
                self._ids[known] = frozen.keep(cursor, texts, decided_at)
        return self._ids[known]

    def frozen(self, frozen_id: int) -> Frozen:
        """A frozen set. Raises LookupError."""
        found = self._frozen.get(frozen_id)
        if found is None:
            found = self._frozen[frozen_id] = _thawed(frozen.read(self._ledger, frozen_id))
        return found

    def connector(self, frozen_set: Frozen, system: str) -> Connector:
        """The connector of a system under a frozen map. Raises Configuration."""
        key = (frozen_set.versions["map"], system)
        with self._lock:
            if key not in self._connectors:
                self._connectors[key] = self._make(frozen_set.mapped[system])
            return self._connectors[key]

    def _make(self, mapped: MappedSystem) -> Connector:
        try:
            return self._registry.make(mapped, self._base)
        except (SecretMissing, DocumentError) as error:
            raise Configuration(str(error)) from None

    def can(self, frozen_set: Frozen, system: str, capability: type[Any]) -> bool:
        """Whether a system's connector declares a capability, told from its class alone."""
        cls = self._registry.connector_class(frozen_set.mapped[system].connector)
        return issubclass(cls, capability)


def _law(law: str | None) -> tuple[str, str]:
    if law is None:
        return NO_LAW
    text, digest = pack_text_and_hash(law)
    return digest, text


def _policy_text(maps: Maps, policies: Policies) -> str:
    """Every system's periods as compiled; the instant they are counted from is put in on use."""
    start = datetime.fromisoformat("2000-01-01T00:00:00+00:00")
    return canonical_json(
        {
            name: freeze(compile_decisions(system, bindings(policies, system), start))
            for name, system in sorted(maps.by_name.items())
        }
    )


def _thawed(texts: frozen.FrozenTexts) -> Frozen:
    maps = parse_maps(texts.map_text)
    systems = maps.by_name
    decisions = {
        name: replace(thaw(text, systems[name]), at=texts.decided_at)
        for name, text in json.loads(texts.policy_text).items()
    }
    versions = {"map": texts.map_hash, "policy": texts.policy_hash, "law": texts.law_hash}
    return Frozen(texts.id, maps.systems, decisions, versions, texts.decided_at)
