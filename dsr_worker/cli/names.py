"""Names that people type and files define: systems, collections, kinds, policies, laws.

In: what was typed, and what there is. Out: nothing, or a fault of the input (exit code 2) that
names what is near and never repeats what was typed, since it may be a person's.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dsr_worker.cli.faults import usage

if TYPE_CHECKING:
    from dsr_worker.contract import System


def near(name: str, known: Iterable[str]) -> str:
    """A hint that names what is close to a wrong name, or all that is known; never the name."""
    names = sorted(known)
    lowered = {other.lower(): other for other in names}
    close = difflib.get_close_matches(name.lower(), lowered, n=3)
    if close:
        return f"did you mean {' or '.join(lowered[other] for other in close)}?"
    return f"known: {', '.join(names) or 'none'}"


def kinds_of(systems: Mapping[str, System]) -> set[str]:
    """Every kind of identity that the data map takes or yields."""
    return {
        kind
        for system in systems.values()
        for collection in system.collections.values()
        for kind in collection.identity_kinds
    }


def place(
    systems: Mapping[str, System], name: str, collection: str | None, fields: Iterable[str] = ()
) -> None:
    """Raise Fault for a place that the data map does not know: it would reach nothing."""
    if name not in systems:
        raise usage(f"the map has no such system; {near(name, systems)}")
    if collection is None:
        return
    collections = systems[name].collections
    if collection not in collections:
        raise usage(f"{name} has no such collection; {near(collection, collections)}")
    for field in fields:
        known = collections[collection].fields
        if field not in known:
            raise usage(f"{name}.{collection} has no such field; {near(field, known)}")


def policy(policies: Iterable[str], name: str) -> None:
    """Raise Fault for a retention policy that is not in force."""
    known = set(policies)
    if name not in known:
        raise usage(f"no policy of this name is in force; {near(name, known)}")


@contextmanager
def asking_the_law() -> Iterator[None]:
    """Turn what the law packs cannot answer into a fault of the input.

    Such as a law outside its countries or days, or a zone that is none. Unknown names are one; a
    country that is written out gets its code.
    """
    from dsr_worker.statutes.names import UnknownNameError  # noqa: PLC0415 - kept out of start-up

    try:
        yield
    except UnknownNameError as error:
        code = _code_of(error.name) if error.kind == "country" else None
        if code is None:
            raise
        raise usage(f"a country is given by its code; did you mean {code}?") from None
    except ValueError as error:
        if type(error) is ValueError:  # the plain refusals of domain and statutes quote no value
            raise usage(str(error)) from None
        raise


def _code_of(country: str) -> str | None:
    """The code of a country by its English name, or by what is close to it."""
    from dsr_worker.statutes.load import countries  # noqa: PLC0415 - read when asked

    codes = {row.name.lower(): code for code, row in countries().countries.items()}
    close = difflib.get_close_matches(country.strip().lower(), codes, n=1, cutoff=0.8)
    return codes[close[0]] if close else None
