"""From a server to a proposed map: reads, counts, judges and drafts, in this order.

In: a server, and the map as it stands (it may be empty). Out: the contract's `Proposal`. The order
matters: names and forms say who the people are, people say which references are worth counting, and
references say whose everything else is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice

from psycopg2.sql import SQL

from connectors.naming.classifying import Looks, looks
from connectors.naming.forms import Seen
from connectors.postgres.proposing import inventory as catalogue
from connectors.postgres.proposing import referring
from connectors.postgres.proposing.comparing import drift
from connectors.postgres.proposing.drafting import Draft
from connectors.postgres.proposing.inventory import At, Inventory, Reference, Table, place
from connectors.postgres.proposing.neighbouring import beside, in_a_persons_row, on_their_own
from connectors.postgres.proposing.owning import (
    Belonging,
    How,
    belongings,
    is_profile,
    people,
)
from connectors.postgres.proposing.playing import parts
from connectors.postgres.proposing.sampling import Sample, Sampler
from connectors.postgres.server.session import Limits, Server
from dsr_worker.contract import LeftOut, Proposal, System


def propose(system: System, server: Server, limits: Limits) -> Proposal:
    """The proposed map, and where the present one does not fit. Changes nothing."""
    with server.transaction(limits) as session:
        session.run(SQL("SET TRANSACTION READ ONLY"))
        found = catalogue.read(session)
    sampler = Sampler(server, limits)
    samples = dict(sampler.tables(found.tables.values()))
    seen = {at: beside(table, _looks(table, samples[at])) for at, table in found.tables.items()}
    found = _with_inferred(found, people(found, seen), sampler, samples)
    found = replace(found, parts=parts(found, seen, people(found, seen)))
    belonging = belongings(found, seen, people(found, seen))
    for at, whose in belonging.items():
        table = found.tables[at]
        if whose.how is How.LOOSE:
            seen[at] = on_their_own(table, found.part(at), seen[at])
        if whose.how is How.PERSON or is_profile(table, whose, belonging):
            seen[at] = in_a_persons_row(table, seen[at], samples[at].seen)
    draft = Draft(found, seen, samples, belonging)
    collections = draft.collections()
    return Proposal(
        collections,
        draft.grounds,
        tuple(_left_out(found, belonging, samples)),
        tuple(drift(system, found, seen, belonging)),
    )


def _looks(table: Table, sample: Sample) -> Looks:
    return {
        name: looks(column, sample.seen.get(name, Seen())) for name, column in table.columns.items()
    }


def _with_inferred(
    found: Inventory, persons: Iterable[At], sampler: Sampler, samples: Mapping[At, Sample]
) -> Inventory:
    """The inventory with the references that names, types and samples speak for."""
    best: dict[tuple[At, tuple[str, ...], tuple[str, ...]], Reference] = {}
    persons = tuple(persons)
    paths = {
        at: {name: tuple(seen.paths) for name, seen in sample.seen.items()}
        for at, sample in samples.items()
    }

    def rank(reference: Reference) -> tuple[float, bool]:
        key = found.tables[reference.target].primary
        return reference.sure, key == reference.target_columns

    every = (
        *referring.candidates(found, persons),
        *islice(referring.of_several_columns(found), referring.MOST_UNUSUAL),
        *islice(referring.in_documents(found, persons, paths), referring.MOST_UNUSUAL),
    )
    for candidate in every:
        table, target = found.tables[candidate.table], found.tables[candidate.target]
        judged = referring.judged(sampler.included(candidate, table, target))
        at = (candidate.table, candidate.columns, candidate.path)
        if judged is not None and (at not in best or rank(judged) > rank(best[at])):
            best[at] = judged
    return catalogue.with_references(found, (*found.references, *best.values()))


def _left_out(
    found: Inventory,
    belonging: Mapping[At, Belonging],
    samples: Mapping[At, Sample],
) -> Iterator[LeftOut]:
    """What is nobody's, with the reason; partitions go with their table."""
    referred = {r.target for r in found.references if r.table in belonging}
    pointing = {r.table for r in found.references if r.target in belonging}
    for at in found.tables:
        if at in belonging:
            continue
        code = "nothing_personal"
        if at in pointing:
            code = "refers_to_people"
        if at in referred:
            code = "referred_to"
        if samples[at].code in {"no_select", "not_read"}:
            code = samples[at].code
        yield LeftOut(place(*at), code)
    yield from (LeftOut(place(*at), code) for at, code in found.others if code != "partition")
