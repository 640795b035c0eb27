"""Performs `resolve`: which further names a system knows a person by, and where it says they live.

In: batches at systems that declare `Resolves` or `Residences`. Out: identities, sealed, with the
ground of each; codes of countries by collection; a stop for a human where a person's identity leads
to several people. Of what a system says of residence nothing but ISO codes leaves this room.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from dsr_worker.contract import Identity, Link, Residence, Residences, Resolves
from dsr_worker.domain.resolution import Resolution, absorb, start
from dsr_worker.engine.batch import Batch, Member
from dsr_worker.engine.identities import seal_identity
from dsr_worker.ledger.rows import SealedIdentity, StepResult
from dsr_worker.statutes import country_of
from dsr_worker.vault import KeyRing

RESOLVE = "resolve"  # the action that looks for residences too; `confirm` looks for names alone


class Resolving:
    """The performer of `resolve` steps."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    def __call__(self, batch: Batch) -> Sequence[StepResult]:
        """One call for all subjects of the batch; one result each."""
        links: dict[str, list[Link]] = defaultdict(list)
        if isinstance(batch.connector, Resolves):
            for link in batch.connector.resolve(batch.subjects, batch.ctx):
                links[link.subject_ref].append(link)
        living: dict[str, list[Residence]] = defaultdict(list)
        if batch.members[0].claim.action == RESOLVE and isinstance(batch.connector, Residences):
            for residence in batch.connector.residences(batch.subjects, batch.ctx):
                living[residence.subject_ref].append(residence)
        return [
            self._result(batch, member, links[member.subject.ref], living[member.subject.ref])
            for member in batch.members
        ]

    def _result(
        self, batch: Batch, member: Member, links: Sequence[Link], living: Sequence[Residence]
    ) -> StepResult:
        before = start(member.subject.identities)
        after = absorb(before, batch.ctx.system, links)
        shared = after.contested & before.known  # what seeded already is others' as well
        if after.several_people or shared or after.dropped:
            several = after.several_people or shared
            code = "several_people" if several else "too_many_identities"
            crowded = {collection for _, collection in after.several_people}
            crowded |= {x.collection for x in links if x.owners and x.identity in shared}
            places = sorted(f"{batch.ctx.system.name}.{collection}" for collection in crowded)
            return StepResult(
                member.claim,
                state="needs_human",
                code=code,
                details={"collections": places},
                inputs={"collections": places, "counts": {"links": len(links)}},
            )
        fresh = sorted(after.known - before.known)
        contested = sorted(after.contested - before.known)
        found = [self._sealed(member, i, "resolved", after) for i in fresh]
        found += [self._sealed(member, i, "contested", after) for i in contested]
        result = {"found": len(fresh), **_places(living)}
        return member.done(identities=found, result=result)

    def _sealed(
        self, member: Member, identity: Identity, standing: str, resolution: Resolution
    ) -> SealedIdentity:
        ground = resolution.grounds.get(identity)
        place = f"{ground.system}.{ground.collection} via {ground.via}" if ground else ""
        return seal_identity(
            self._keys, member.key, identity, standing, ground=place, number=member.claim.round
        )


def _places(living: Iterable[Residence]) -> dict[str, object]:
    """Where a person lives by collection, as ISO codes; of what is none only how many there were.

    Empty where nothing was said.
    """
    codes: dict[str, set[str]] = defaultdict(set)
    unreadable = 0
    for residence in living:
        code = country_of(residence.stated)
        if code is None:
            unreadable += 1
        else:
            codes[residence.collection].add(code)
    found = {name: sorted(codes[name]) for name in sorted(codes)}
    return {
        **({"residences": found} if found else {}),
        **({"unreadable": unreadable} if unreadable else {}),
    }
