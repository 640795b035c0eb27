"""An erasure in portions: so many people a transaction that none lasts long.

Everything of one person goes in one transaction, so that each is decided as if they came alone.
In: the subjects of a call and their located keys, each subject's together. Out: portions of whole
subjects; keys that nobody has room for (one person's, more than a portion takes) are passed on as
they come, so that memory stays flat.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, islice
from operator import attrgetter

from connectors.postgres.changing.pace import Pace
from dsr_worker.contract import (
    Key,
    Outcome,
    OutcomeCount,
    Permanent,
    Receipt,
    Subject,
    System,
)


@dataclass(frozen=True, slots=True)
class Portion:
    """Some of the subjects of a call, with their keys; `rows` is 0 where nobody counted them."""

    subjects: list[Subject]
    keys: Iterable[Key]
    rows: int = 0


def portions(subjects: Sequence[Subject], keys: Iterable[Key], pace: Pace) -> Iterator[Portion]:
    """Portions of about `pace.rows` rows; those without keys come last, together.

    Few keys are one portion in whatever order they come. Raises Permanent for keys of strangers,
    and where many keys of one subject do not come together.
    """
    coming = iter(keys)
    first = list(islice(coming, pace.rows))
    if len(first) < pace.rows:
        yield Portion(list(subjects), first, len(first))
        return
    yield from _by_subject(subjects, chain(first, coming), pace)


def without_keys(subjects: Sequence[Subject], system: System) -> Iterator[Receipt]:
    """The receipts of a call in which nothing was located: no transaction is needed for them."""
    for subject in subjects:
        for name in system.collections:
            yield Receipt(subject.ref, name, (OutcomeCount(Outcome.ABSENT, 0),))


def _by_subject(subjects: Sequence[Subject], keys: Iterable[Key], pace: Pace) -> Iterator[Portion]:
    waiting = {subject.ref: subject for subject in subjects}
    some, held = list[Subject](), list[Key]()
    for ref, of_subject in groupby(keys, key=attrgetter("subject_ref")):
        subject = waiting.pop(ref, None)
        if subject is None:
            raise Permanent("located keys are a stranger's, or one subject's do not come together")
        most = pace.rows  # the caller adapts the pace while a portion is out
        own = list(islice(of_subject, most))
        if some and len(held) + len(own) > most:
            yield Portion(some, held, len(held))
            some, held = [], []
        some.append(subject)
        held += own
        if len(own) >= most:
            yield Portion(some, chain(held, of_subject))  # noqa: B031 - what `own` left of it
            some, held = [], []
    some += waiting.values()
    if some:
        yield Portion(some, held, len(held))
