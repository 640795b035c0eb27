"""Performs `resolve`: which further names a system knows a person by.

In: batches at systems that declare `Resolves`. Out: identities, sealed, with the ground of each; a
stop for a human where a person's identity leads to several people.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from dsr_worker.contract import Identity, Link, Resolves
from dsr_worker.domain.resolution import Resolution, absorb, start
from dsr_worker.engine.batch import Batch, Member
from dsr_worker.engine.identities import seal_identity
from dsr_worker.ledger.rows import SealedIdentity, StepResult
from dsr_worker.vault import KeyRing


class Resolving:
    """The performer of `resolve` steps."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    def __call__(self, batch: Batch) -> Sequence[StepResult]:
        """One call for all subjects of the batch; one result each."""
        connector: Resolves = batch.connector  # the course asks only those that declare it
        links: dict[str, list[Link]] = defaultdict(list)
        for link in connector.resolve(batch.subjects, batch.ctx):
            links[link.subject_ref].append(link)
        return [self._result(batch, member, links[member.subject.ref]) for member in batch.members]

    def _result(self, batch: Batch, member: Member, links: Sequence[Link]) -> StepResult:
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
        return member.done(identities=found, result={"found": len(fresh)})

    def _sealed(
        self, member: Member, identity: Identity, standing: str, resolution: Resolution
    ) -> SealedIdentity:
        ground = resolution.grounds.get(identity)
        place = f"{ground.system}.{ground.collection} via {ground.via}" if ground else ""
        return seal_identity(
            self._keys, member.key, identity, standing, ground=place, number=member.claim.round
        )
