"""What the fields of records say of people: identities, categories, when a record began, its key.

In: what was counted of each field. Out: looks and roles by field. Pure. A dotted field speaks by
its last name and the one before it: `billing.name` is somebody's, `product.name` is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from connectors.naming.classifying import SURE, Look, Weight, looks, unknown
from connectors.naming.forms import Seen
from connectors.naming.hints import names_a_thing
from connectors.naming.rows import begins, topic
from connectors.naming.words import (
    is_somebodys_work,
    means_customer,
    referred,
    says_who_did_it,
    singular,
    words,
)
from connectors.s3.formats.content import EACH
from connectors.s3.proposing.sampling import Sample

_MOST = 0.8
_USER_IDS = frozenset({"uid", "userid", "user_uid"})
_WATCHED = ("user.device", "user.location")
_COUNTERS = frozenset({"ts", "timestamp", "epoch", "unixtime"})


@dataclass(frozen=True, slots=True)
class Leaf:
    """A field of a record, as the naming room sees columns: text, and nothing inside."""

    name: str
    base: str = "text"
    kind: str = "b"
    element: str | None = None
    textual: bool = True
    document: bool = False
    instant: bool = False


@dataclass
class Judged:
    """The fields of a place's records."""

    looks: Mapping[str, Look] = field(default_factory=dict)
    identity: str = ""  # the field with a customer's number
    guessed: bool = False  # it is called `uid`: a user's, and of which system is for people to say
    emails: tuple[str, ...] = ()  # the surest first
    phones: tuple[str, ...] = ()
    sessions: str = ""
    key: tuple[str, ...] = ()
    clock: str = ""
    unit: str = "iso"
    unsure: frozenset[str] = frozenset()  # nobody can say what they hold without looking
    work: bool = False  # what people wrote or did, by the name of the place: reviews, events

    @property
    def personal(self) -> bool:
        """Whether records are somebody's."""
        return self.plainly or (self.work and bool(self.looks))

    @property
    def plainly(self) -> bool:
        """Whether a field says so by itself."""
        alone = (look.weight is Weight.ALONE for look in self.looks.values())
        return bool(self.identity) or any(alone)


def judged(prefix: str, sample: Sample) -> Judged:
    """What all fields of a place say together."""
    fields = sample.fields
    found = {name: look for name, seen in fields.items() if (look := _look(name, seen)) is not None}
    numbers = [name for name in fields if _is_customer(name, fields[name])]
    identity = next(iter(sorted(numbers, key=_is_listed)), "")
    found.pop(identity, None)
    instants = {name: unit for name, seen in fields.items() if (unit := _unit(name, seen))}
    times = {name: unit for name, unit in instants.items() if not _is_listed(name)}
    ranked = sorted((rank, n) for n in times for rank in (begins(_last(n)),) if rank is not None)
    clock = ranked[0][1] if ranked else next(iter(times), "")
    for name in instants:
        found.pop(name, None)
    key = _key(prefix, sample, found)
    told = {*found, identity, *instants, *key}
    return Judged(
        looks=found,
        identity=identity,
        guessed=_last(identity).lower() in _USER_IDS,
        emails=_of_form(found, "email"),
        phones=tuple(n for n in _of_form(found, "phone") if found[n].sure >= SURE),
        sessions=next((n for n in fields if words(n)[-2:] == ("session", "id")), ""),
        key=key,
        clock=clock,
        unit=times.get(clock, "iso"),
        unsure=frozenset(
            name
            for name, seen in fields.items()
            if name not in told and not referred(_last(name)) and unknown(Leaf(_last(name)), seen)
        ),
        work=is_somebodys_work(prefix) or _is_watched(prefix, found),
    )


def _is_watched(prefix: str, found: Mapping[str, Look]) -> bool:
    """Whether a place is of what people do, and its records tell devices or whereabouts."""
    told = any(look.category.startswith(_WATCHED) for look in found.values())
    return told and topic(prefix).startswith("user.behavior")


def _last(name: str) -> str:
    return name.replace(EACH, "").rpartition(".")[2]


def _is_listed(name: str) -> bool:
    """Whether a field stands in a list: a record may have several values of it."""
    return EACH in name


def _look(name: str, seen: Seen) -> Look | None:
    """The look of a field, by its name with the one before it, or by its name alone."""
    steps = name.replace(EACH, "").split(".")
    joined = "_".join(steps[-2:])
    told = [Leaf(joined)] if names_a_thing(words(joined)) else [Leaf(steps[-1]), Leaf(joined)]
    found = [look for leaf in told if (look := looks(leaf, seen).get(()))]
    sure = [look for look in found if look.weight is not Weight.NONE]
    return max(sure, key=lambda look: look.sure, default=None)


def _is_customer(name: str, seen: Seen) -> bool:
    """Whether a field holds the number of a customer: `customer_id`, `user.id`, `uid`."""
    joined = "_".join(name.replace(EACH, "").split(".")[-2:])
    told = any(means_customer(referred(each)[-1:]) for each in (_last(name), joined))
    shaped = seen.share("email") + seen.share("prose") + seen.share("date") < 1 - _MOST
    named = (told or _last(name).lower() in _USER_IDS) and "session" not in words(name)
    return named and shaped and not says_who_did_it(name)


def _unit(name: str, seen: Seen) -> str:
    """In which unit a field tells an instant; empty where it does not."""
    look = _look(name, seen)
    if look is not None and look.category == "user.demographic.date_of_birth":
        return ""
    if seen.share("date") >= _MOST:
        return "iso"
    counted = seen.share("number") >= _MOST and _last(name).lower() in _COUNTERS
    return "epoch_s" if counted else ""


def _of_form(found: Mapping[str, Look], form: str) -> tuple[str, ...]:
    """Fields that hold identities of a kind, the surest first, and any in a list last."""
    named = [
        (_is_listed(n), -look.sure, n)
        for n, look in found.items()
        if look.form == form and look.sure > SURE / 2
    ]
    return tuple(n for *_, n in sorted(named) if not found[n].third_party)


def _key(prefix: str, sample: Sample, found: Mapping[str, Look]) -> tuple[str, ...]:
    """The field that tells the records of an object apart: an id of their own before any other."""
    about = set(map(singular, words(prefix)))
    distinct = [n for n in sample.fields if n in sample.distinct and not _is_listed(n)]
    own = [n for n in distinct if n.lower() == "id" or about & set(map(singular, referred(n)))]
    plain = [name for name in distinct if "." not in name and name not in found]
    return tuple((own or plain or distinct)[:1])
