"""Puts a certificate together: what became of every row of a case, why, and who else must hear.

In: the recorded outcomes of a case, its plan, what looking again gave. Out: a `Certificate`, not
yet signed. It holds counts, codes and names of places; of a correction neither the old value nor
the new.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from importlib.metadata import version
from typing import Any

from dsr_worker.contract import Collection, Outcome, is_remainder
from dsr_worker.domain import rights
from dsr_worker.domain.resolution import reached
from dsr_worker.engine.batch import Batch, Member
from dsr_worker.evidence import (
    Certificate,
    CertificateKind,
    CollectionResult,
    Deferred,
    Kept,
    Left,
    MentionsLeft,
    Recipients,
    Requery,
    SystemResult,
    words,
)
from dsr_worker.fulfil.keeping import Later
from dsr_worker.fulfil.plans import CORRECTED
from dsr_worker.fulfil.texts import language_of
from dsr_worker.fulfil.verbs import DEFERRED, LIFTING, RESTRICTION
from dsr_worker.ledger.answers import Accounted
from dsr_worker.organisation import Organisation
from dsr_worker.package.grounds import certified

INFORMED_ON = "informed_on"  # the fact of a lifting: when the person was told that it comes

LEFT = "left"
"""The fact of a case that a person ended before it was carried out everywhere: by system where it
stopped (`action`, `code`), what was `begun` there, whether rows were `changed` in all, and whether
it was `looked` at again."""

_TITLES: Mapping[str, CertificateKind] = {
    "rectification": "rectification",
    RESTRICTION: "restriction",
    LIFTING: "lifting",
}
"""What each kind of job is certified as; all others are erasures."""
_MUST_BE_TOLD = frozenset({Outcome.RECTIFIED, Outcome.RESTRICTED})
"""What recipients are told of (Art. 19 GDPR); of erasures they are told by the organisation."""


def composed(
    batch: Batch,
    member: Member,
    rows: Sequence[Accounted],
    later: Mapping[str, Sequence[Later]],
    organisation: Organisation,
) -> Certificate:
    """The certificate of a case, but for the packages that its finish destroys."""
    job = member.job
    plan = job.plan or {}
    systems = plan["systems"]
    used = words(language_of(organisation, job.facts.get("language")))
    grounds = sorted({r.ground for r in rows if r.ground})
    of_system = by_system(rows)
    left: Mapping[str, Mapping[str, Any]] = job.facts.get(LEFT, {})
    results = {
        name: batch.results.get((job.id, "recheck", name), {})
        for name in systems
        if name not in left or left[name]["looked"]  # else what was seen before is out of date
    }
    certified_in = [name for name in systems if name not in left or of_system[name]]
    informed_on = job.facts.get(INFORMED_ON)
    return Certificate(
        kind=_TITLES.get(job.kind, "erasure"),
        number=f"{job.ref}-{member.claim.round}",
        case=job.ref,
        promised_by=job.facts.get("promised_by"),
        lifts=job.facts.get(rights.LIFTS),
        informed_on=date.fromisoformat(informed_on) if informed_on else None,
        controller=organisation.controller.name,
        regime=job.law or "",
        country=job.country or "",
        request_kind=job.kind,
        received_at=job.received_at,
        manner=str(job.facts.get("channel", "")),
        responded_at=batch.ctx.now,
        response=nature(rows, job.facts),
        issued_at=batch.ctx.now,
        systems=tuple(
            _system(batch, member, name, of_system[name], results.get(name, {}))
            for name in certified_in
        ),
        left=tuple(
            _left(batch, member, name, part, {} if name in certified_in else results.get(name, {}))
            for name, part in sorted(left.items())
        ),
        deferred=tuple(
            Deferred(
                name,
                row.collection,
                row.row_count,
                row.ground,
                *days,
                refused=is_remainder(row.ground),
            )
            for name, parts in sorted(later.items())
            for row, days in parts
        ),
        mentions=_mentions(results),
        recipients=tuple(_recipients(batch, rows)),
        denial_grounds=tuple(code for code in grounds if not is_remainder(code)),
        grounds=tuple(
            certified(code, used, job.law, batch.frozen.decisions.values()) for code in grounds
        ),
        not_asked=_not_asked(batch, member),
        contested=tuple(plan.get("contested", ())),
        language=used.language,
        backups=organisation.backups_in(used.language),
    )


def by_system(rows: Iterable[Accounted]) -> defaultdict[str, list[Accounted]]:
    """Outcomes by system."""
    found: defaultdict[str, list[Accounted]] = defaultdict(list)
    for row in rows:
        found[row.system].append(row)
    return found


def nature(rows: Sequence[Accounted], facts: Mapping[str, Any]) -> str:
    """The answer as a whole: rows that are kept as they are stand against all others."""
    if LEFT in facts:
        return "partly_granted"
    stays = [
        r
        for r in rows
        if r.outcome == Outcome.RETAINED and r.row_count and not is_remainder(r.ground)
    ]
    if not any(r.row_count for r in rows):
        return "nothing_found"
    if len(stays) == sum(r.row_count > 0 for r in rows):
        return "denied"
    return "partly_granted" if any(r.ground for r in rows) else "granted"


def _system(
    batch: Batch,
    member: Member,
    name: str,
    rows: Sequence[Accounted],
    recheck: Mapping[str, object],
) -> SystemResult:
    frozen = batch.frozen
    found: dict[str, list[Accounted]] = {c.name: [] for c in _looked_in(batch, member, name)}
    for row in rows:
        found.setdefault(row.collection, []).append(row)
    return SystemResult(
        system=name,
        connector=frozen.mapped[name].connector,
        connector_version=version("dsr-worker"),
        map_hash=frozen.versions["map"],
        policy_hash=frozen.versions["policy"],
        law_pack=frozen.versions["law"],
        collections=tuple(_collection(place, some) for place, some in sorted(found.items())),
        requery=_requery(recheck),
        proofs=tuple(batch.results.get((member.job.id, "apply", name), {}).get("proofs", ())),
    )


def _requery(recheck: Mapping[str, object]) -> Requery | None:
    """The second look; None where there was none, which only a case that left something has."""
    if not recheck:
        return None
    return Requery(
        at=datetime.fromisoformat(str(recheck["at"])),
        path=str(recheck["path"]),
        returned=int(str(recheck["remaining"])),
    )


def _left(
    batch: Batch,
    member: Member,
    name: str,
    part: Mapping[str, Any],
    recheck: Mapping[str, object],
) -> Left:
    located = batch.results.get((member.job.id, "locate", name))
    return Left(
        system=name,
        action=part["action"],
        code=part["code"],
        located=None if located is None else sum(o["rows"] for o in located["outcomes"]),
        begun=part["begun"],
        requery=_requery(recheck),
    )


def _about(batch: Batch, member: Member, name: str) -> set[str]:
    """The collections of a system that a case is about, whether anything leads to them or not."""
    system = batch.frozen.systems[name]
    if CORRECTED in member.job.facts:
        places = member.job.facts[CORRECTED].get(name, ())
        return {place.partition(".")[0] for place in places}
    if member.job.kind in {RESTRICTION, LIFTING}:  # rows are named by where they were
        return set(system.collections) - set(rights.moved_from(system)) - rights.lists(system)
    return set(system.collections)


def _looked_in(batch: Batch, member: Member, name: str) -> list[Collection]:
    about = _about(batch, member, name)
    return [c for c in reached(batch.frozen.systems[name], _kinds(member)) if c.name in about]


def _kinds(member: Member) -> frozenset[str]:
    return frozenset(i.kind for i in member.subject.identities)


def _not_asked(batch: Batch, member: Member) -> tuple[str, ...]:
    """Systems, and collections of those asked, that know the person by nothing we know."""
    plan = member.job.plan or {}
    if member.job.kind == DEFERRED:  # one system alone was promised; the scope says so
        return ()
    unreached = [
        f"{name}.{collection}"
        for name in plan["systems"]
        for collection in _about(batch, member, name)
        - {c.name for c in _looked_in(batch, member, name)}
    ]
    return (*plan["not_applicable"], *sorted(unreached))


def _recipients(batch: Batch, rows: Sequence[Accounted]) -> Iterator[Recipients]:
    """Whom data was passed on to in the collections in which something was put right or held."""
    concerned = {
        (r.system, r.collection) for r in rows if r.row_count and r.outcome in _MUST_BE_TOLD
    }
    for system, collection in sorted(concerned):
        names = batch.frozen.systems[system].collections[collection].recipients
        if names:
            yield Recipients(system, collection, tuple(names))


def _collection(name: str, rows: Sequence[Accounted]) -> CollectionResult:
    def total(outcome: Outcome, *, grounded: bool | None = None) -> int:
        return sum(
            r.row_count
            for r in rows
            if r.outcome == outcome and (grounded is None or bool(r.ground) is grounded)
        )

    kept = tuple(
        Kept(
            r.row_count,
            r.ground,
            r.until_on,
            r.first_until_on,
            masked=r.outcome == Outcome.MASKED,
            rectified=r.outcome == Outcome.RECTIFIED,
        )
        for r in rows
        if r.outcome == Outcome.RETAINED or (r.outcome in _IN_PART and r.ground)
    )
    return CollectionResult(
        collection=name,
        found=sum(r.row_count for r in rows),
        erased=total(Outcome.ERASED),
        masked=total(Outcome.MASKED, grounded=False),
        redacted=total(Outcome.REDACTED),
        rectified=total(Outcome.RECTIFIED, grounded=False),
        restricted=total(Outcome.RESTRICTED),
        lifted=total(Outcome.LIFTED),
        already_gone=total(Outcome.ALREADY_GONE),
        pending=total(Outcome.PENDING_REMOTE),
        kept=kept,
    )


_IN_PART = frozenset({Outcome.MASKED, Outcome.RECTIFIED})
"""With a ground they say that the rest of the row stays as it is."""


def _mentions(results: Mapping[str, Mapping[str, object]]) -> tuple[MentionsLeft, ...]:
    places: dict[tuple[str, str], int] = defaultdict(int)
    for system, found in results.items():
        listed = found.get("mentions")
        for mention in listed if isinstance(listed, list) else ():
            places[system, mention["collection"]] += 1
    return tuple(MentionsLeft(s, c, n) for (s, c), n in sorted(places.items()))
