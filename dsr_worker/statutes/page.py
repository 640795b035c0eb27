"""All law packs as one page, `docs/law-packs.md`: what a lawyer reads to check them.

In: the packs. Out: Markdown, the same for the same packs. Nothing on the page stands anywhere but
in the packs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dsr_worker.statutes import wording
from dsr_worker.statutes.load import load_pack, packs, retention_table
from dsr_worker.statutes.model import LawPack, RightsRow, Scope, SourcedRow, Standing

_HEAD = """# Law packs

Made by `dsr statutes page` from `dsr_worker/statutes/`; whoever changes a pack makes it anew. Not
legal advice. *Standing* says how a row was checked: `statute` by the wording of the law,
`secondary` by a secondary source, NOT VERIFIED by nobody: such rows say so wherever they are shown.
Dates are those of the check. A law of a sector, or for whoever declares it, is marked *declared*.
"""
_UNREAD = "Nobody has read a source for these: what they say is believed."


def page() -> str:
    """Return the page."""
    found = [load_pack(name) for name in packs()]
    lines = [_HEAD, *_counts(found), *_requests(found), *_appeals(found), *_complaints(found)]
    lines += [*_breaches(found), *_recurring(found), *_records(found), *_retention()]
    lines += [*_grounds(found), *_unverified(found)]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class Place:
    """A sourced part of a pack, with where it stands."""

    law: str
    row: str
    part: str
    source: SourcedRow


def places(pack: LawPack) -> Iterator[Place]:
    """Every part of a pack that has a source of its own."""

    def at(row: str, part: str, source: SourcedRow | None) -> Iterator[Place]:
        if source is not None:
            yield Place(pack.name, row, part, source)

    yield from at("authorities", "", pack.authorities)
    for closed in pack.closed:
        yield from at("closed days", closed.first, closed)
    for row in pack.rights:
        yield from at(row.id, "", row)
        yield from at(row.id, "answer", row.respond)
        for pause in row.respond.pauses:
            yield from at(row.id, f"pause: {pause.ground}", pause)
        yield from at(row.id, "acknowledgement", row.acknowledge)
        yield from at(row.id, "refusal", row.refusal)
        yield from at(row.id, "fee", row.fee)
        yield from at(row.id, "appeal", row.appeal)
        yield from at(row.id, "answer to an appeal", row.appeal and row.appeal.answer)
    for complaint in pack.complaints:
        yield from at(complaint.id, "", complaint)
        yield from at(complaint.id, "acknowledgement", complaint.acknowledge)
        yield from at(complaint.id, "answer", complaint.respond)
    for duty in pack.breach:
        yield from at(duty.id, "", duty)
        yield from at(duty.id, "deadline", duty.clock)
    whole = [
        *((again.id, "", again) for again in pack.recurring),
        *(("records", record.of.value, record) for record in pack.records),
        *((ground.code, "", ground) for ground in pack.exemptions),
    ]
    for name, part, source in whole:
        yield from at(name, part, source)


def _counts(found: Sequence[LawPack]) -> Iterator[str]:
    rules = retention_table().rules
    sources = [place.source for pack in found for place in places(pack)] + list(rules)
    by_standing = {kind: sum(s.standing is kind for s in sources) for kind in Standing}
    yield from _table(
        ("What", "Number"),
        (
            ("laws", len(found)),
            ("laws with clocks for requests", sum(bool(pack.rights) for pack in found)),
            ("laws with duties of a breach", sum(bool(pack.breach) for pack in found)),
            ("duties of a breach", sum(len(pack.breach) for pack in found)),
            ("retention rules", len(rules)),
            ("grounds of exemption", sum(len(pack.exemptions) for pack in found)),
            ("rows and parts read in the law", by_standing[Standing.STATUTE]),
            ("rows and parts read in a secondary source", by_standing[Standing.SECONDARY]),
            ("rows and parts not verified", by_standing[Standing.UNVERIFIED]),
        ),
    )


def _requests(found: Sequence[LawPack]) -> Iterator[str]:
    yield "\n## Requests\n"
    yield from _table(
        ("Law", "Rights", "Answer", "Acknowledgement", "In force", "Source", "Standing"),
        (
            (
                _named(pack),
                ", ".join(row.provisions),
                wording.clock(row.respond),
                "" if row.acknowledge is None else wording.clock(row.acknowledge),
                wording.in_force(row),
                row.respond.citation,
                wording.standing(row.respond),
            )
            for pack in found
            for row in pack.rights
        ),
    )


def _appeals(found: Sequence[LawPack]) -> Iterator[str]:
    yield "\n## Appeals\n"
    yield from _table(
        ("Law", "Row", "Answer to an appeal", "Elsewhere", "Source", "Standing"),
        (
            (
                _named(pack),
                row.id,
                _appeal(row),
                row.appeal.channel,
                row.appeal.citation,
                wording.standing(row.appeal),
            )
            for pack in found
            for row in pack.rights
            if row.appeal is not None
        ),
    )


def _appeal(row: RightsRow) -> str:
    if row.appeal is None or row.appeal.answer is None:
        return "the law gives none"
    return wording.clock(row.appeal.answer)


def _complaints(found: Sequence[LawPack]) -> Iterator[str]:
    yield "\n## Complaints to the controller\n"
    yield from _table(
        ("Law", "Acknowledgement", "Answer", "In force", "Source", "Standing"),
        (
            (
                _named(pack),
                wording.clock(row.acknowledge),
                wording.clock(row.respond),
                wording.in_force(row),
                row.citation,
                wording.standing(row),
            )
            for pack in found
            for row in pack.complaints
        ),
    )


def _breaches(found: Sequence[LawPack]) -> Iterator[str]:
    yield "\n## Breaches\n"
    yield from _table(
        ("Law", "Recipient", "Stage", "Deadline", "People", "In force", "Source", "Standing"),
        (
            (
                _named(pack),
                f"{row.recipient}: {row.body}" if row.body else row.recipient,
                row.stage,
                wording.clock(row.clock, row.after),
                wording.threshold(row),
                wording.in_force(row),
                row.clock.citation,
                wording.standing(row.clock),
            )
            for pack in found
            for row in pack.breach
        ),
    )


def _records(found: Sequence[LawPack]) -> Iterator[str]:
    yield "\n## Records to keep\n"
    yield from _table(
        ("Law", "Of", "What", "How long", "Source", "Standing"),
        (
            (
                _named(pack),
                row.of,
                row.contents,
                row.period or "no term",
                row.citation,
                wording.standing(row),
            )
            for pack in found
            for row in pack.records
        ),
    )


def _recurring(found: Sequence[LawPack]) -> Iterator[str]:
    yield "\n## Recurring duties\n"
    yield from _table(
        ("Law", "Row", "What", "Every", "In force", "Source", "Standing"),
        (
            (
                _named(pack),
                row.id,
                row.what,
                wording.period(row.every),
                wording.in_force(row),
                row.citation,
                wording.standing(row),
            )
            for pack in found
            for row in pack.recurring
        ),
    )


def _retention() -> Iterator[str]:
    yield "\n## Retention\n"
    yield "A law orders a *statute minimum* and a *maximum*. Nobody orders *limitation* (claims may"
    yield "be brought for so long) and *guidance* (an authority or a standard): a policy takes them"
    yield "up by that name. A rule that is not yet or no longer in force is not applied.\n"
    yield from _table(
        (
            "Rule",
            "Country",
            "Records",
            "Nature",
            "At least",
            "At most",
            "From",
            "In force",
            "Source",
            "Standing",
        ),
        (
            (
                row.id,
                row.country or "",
                row.title,
                row.nature.replace("_", " "),
                row.minimum or "",
                row.maximum or "",
                row.anchor.replace("_", " "),
                wording.dates(row.effective_from, row.effective_to),
                row.citation,
                wording.standing(row),
            )
            for row in retention_table().rules
        ),
    )


def _grounds(found: Sequence[LawPack]) -> Iterator[str]:
    yield "\n## Grounds of exemption\n"
    yield from _table(
        ("Law", "Ground", "Meaning", "Rights", "Source", "Standing"),
        (
            (
                pack.name,
                row.code,
                row.meaning,
                ", ".join(row.rights),
                row.citation,
                wording.standing(row),
            )
            for pack in found
            for row in pack.exemptions
        ),
    )


def _unverified(found: Sequence[LawPack]) -> Iterator[str]:
    yield f"\n## Not verified\n\n{_UNREAD}\n"
    yield from _table(
        ("Law", "Row", "Part", "Source to read"),
        (
            (place.law, place.row, place.part, place.source.citation)
            for pack in found
            for place in places(pack)
            if not place.source.verified
        ),
    )
    yield ""
    rules = (row for row in retention_table().rules if not row.verified)
    yield from _table(("Retention rule", "Source to read"), ((r.id, r.citation) for r in rules))


def _named(pack: LawPack) -> str:
    return f"{pack.name} (declared)" if pack.applies is Scope.DECLARED else pack.name


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(str(cell).replace('|', '/') for cell in row)} |"
