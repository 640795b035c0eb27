"""By which identities the records of a place are found, and which further names they give.

In: what was judged of a place's fields. Out: `takes` and `yields` of its collection, and for JSON
documents, whether they or the records in their lists are what people own. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

from connectors.naming.words import means_customer, words
from connectors.s3.formats.content import EACH
from connectors.s3.proposing.judging import Judged, judged
from connectors.s3.proposing.sampling import Sample
from dsr_worker.contract import Form, Taken


def taken(found: Judged, sample: Sample) -> dict[str, Taken]:
    """The identities by which records are found.

    One in a list makes the record everybody's whom it names: only where nothing else says whose it
    is, never in a list of lists, and never in Avro, whose arrays no path enters.
    """
    takes = {"customer_number": Taken(found.identity)} if found.identity else {}
    if found.emails:
        takes["email"] = Taken(found.emails[0], Form.ASCII_CASE)
    if found.phones and not takes:
        takes["phone"] = Taken(found.phones[0], Form.DIGITS)
    if found.sessions and not takes:
        takes["session_id"] = Taken(found.sessions)
    takes = {kind: each for kind, each in takes.items() if EACH + EACH not in each.field}
    alone = {kind: each for kind, each in takes.items() if EACH not in each.field}
    return alone if alone or sample.format == "avro" else takes


def yielded(prefix: str, takes: dict[str, Taken], sample: Sample) -> dict[str, str]:
    """The further names that records give, where each is another person by all of its names."""
    people = means_customer(words(prefix)) and all(
        t.field in sample.distinct for t in takes.values()
    )
    return {kind: each.field for kind, each in takes.items()} if people and len(takes) > 1 else {}


def lists_of_records(prefix: str, sample: Sample) -> Iterator[tuple[str, Sample, Judged]]:
    """The lists in a place's documents whose elements are records of people, by their paths.

    None where the document itself names a customer; one beside whose elements the document has an
    address counts where it names several people.
    """
    own = judged(prefix, sample)
    if own.identity and EACH not in own.identity:
        return
    addressed = any(EACH not in name for name in (*own.emails, *own.phones))
    for path, inner in sample.lists.items():
        found = judged(prefix, inner) if inner.rows else Judged()
        takes = taken(found, inner)
        several = any(each.field in inner.various for each in takes.values())
        if found.personal and takes and (several or not addressed):
            yield path, inner, found
