"""The organisation's texts as an answer needs them, in the language of the case.

In: `organisation.yaml`, the policies in force, the law packs' authorities. Out: the texts of Art.
15 GDPR for a package, with the storage period of each class taken from the policies that are run,
and the list of those that are missing while there still is time to write them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime

from dsr_worker.contract import Collection, System
from dsr_worker.domain.decision import Bound, Term
from dsr_worker.evidence import Words, words
from dsr_worker.organisation import Organisation
from dsr_worker.package import MissingText, OrganisationTexts, missing_texts
from dsr_worker.package.grounds import period_text
from dsr_worker.policies import Policies
from dsr_worker.statutes import applicable, canonical_country


class Texts:
    """Texts by language, country and law."""

    def __init__(
        self, organisation: Organisation, policies: Policies, systems: Mapping[str, System]
    ) -> None:
        self._organisation = organisation
        self._systems = systems
        self._bounds = _bounds(policies)
        self._made: dict[tuple[str, str | None, str | None], OrganisationTexts] = {}
        self._made_on: date | None = None

    def worded(self, system: System) -> System:
        """A frozen system with today's texts where it had none: a gap mended since is no gap."""
        today = self._systems.get(system.name)
        if today is None:
            return system
        collections = {
            name: _worded(collection, today.collections.get(name))
            for name, collection in system.collections.items()
        }
        return replace(system, collections=collections)

    def language(self, wanted: str | None) -> str:
        """The language of an answer: the wanted one if there are texts in it, else the first."""
        return language_of(self._organisation, wanted)

    def missing(
        self, wanted: str | None, law: str | None, country: str | None
    ) -> list[MissingText]:
        """What nobody has written and an access package of today's map would be refused for."""
        told = self.for_package(self.language(wanted), law, country)
        return missing_texts(told, self._systems.values())

    def warnings(
        self, kind: str, wanted: str | None, law: str | None, country: str | None
    ) -> list[str]:
        """One line for each text that is missing, for whoever begins or approves an access case."""
        if kind != "access":
            return []
        return [
            f"{text} is not written: no access package can be made until it is (`dsr check`)"
            for text in self.missing(wanted, law, country)
        ]

    def for_package(self, language: str, law: str | None, country: str | None) -> OrganisationTexts:
        """What a package has to tell beside the data map; the same value on the same day."""
        today = datetime.now(UTC).date()
        if self._made_on != today:  # a law may have come into force
            self._made_on, self._made = today, {}
        asked = (language, law, country)
        if asked not in self._made:
            self._made[asked] = self._told(language, law, country)
        return self._made[asked]

    def _told(self, language: str, law: str | None, country: str | None) -> OrganisationTexts:
        own = self._organisation
        said = own.information[language]
        now = datetime.now(UTC)
        bounds = {name: bound.in_force(now) for name, bound in self._bounds.items()}
        return OrganisationTexts(
            controller=own.controller.name,
            address=own.controller.address,
            contact=own.controller.data_protection_officer or str(own.controller.contact),
            rights=said.rights,
            complaint=_complaint(said.complaint, law, country, words(language)),
            automated_decisions=said.automated_decisions,
            transfers=said.transfers,
            storage=_Storage(bounds, said.retention, words(language)),
            terms={name: _terms(bound) for name, bound in bounds.items()},
        )


class _Storage(dict[str, str]):
    """Class -> how long: from the policies where they say, else the organisation's criteria."""

    def __init__(self, bounds: Mapping[str, Bound], criteria: str, used: Words) -> None:
        super().__init__({name: _period(bound, used) for name, bound in bounds.items()})
        self._criteria = criteria

    def get(self, key: str, default: str | None = None) -> str:  # type: ignore[override]  # narrower on purpose
        """The period of a class; the criteria where no policy names it."""
        return super().get(key) or self._criteria or default or ""


def language_of(organisation: Organisation, wanted: str | None) -> str:
    """The language of an answer: the wanted one if there are texts in it, else the first."""
    languages = organisation.languages
    return wanted if wanted in languages else languages[0]


def _worded(frozen: Collection, today: Collection | None) -> Collection:
    if today is None:
        return frozen
    return replace(
        frozen,
        purpose=frozen.purpose or today.purpose,
        legal_basis=frozen.legal_basis or today.legal_basis,
        recipients=frozen.recipients or today.recipients,
        origin=frozen.origin or today.origin,
    )


def _bounds(policies: Policies) -> dict[str, Bound]:
    found: dict[str, Bound] = {}
    for policy in policies.by_name.values():
        for name, bound in policy.bound.items():
            earlier = found.get(name, Bound())
            found[name] = Bound(
                (*earlier.minimums, *bound.minimums), (*earlier.limits, *bound.limits)
            )
    return found


def _period(bound: Bound, used: Words) -> str:
    kept = [_term(used, "at_least", term) for term in bound.minimums]
    gone = [_term(used, "at_most", term) for term in bound.limits]
    return "; ".join((*kept, *gone))


def _term(used: Words, form: str, term: Term) -> str:
    said = period_text(used, form, term.period, term.anchor.kind)
    return f"{said} ({used.citation(term.citation)})"


def _terms(bound: Bound) -> tuple[Mapping[str, str], ...]:
    """The same periods for machines."""
    sides = (("at_least", bound.minimums), ("at_most", bound.limits))
    return tuple(
        {
            "side": side,
            "period": str(term.period),
            "anchor": term.anchor.kind.value,
            "rule": term.ground,
            "citation": term.citation,
        }
        for side, terms in sides
        for term in terms
    )


def _complaint(text: str, law: str | None, country: str | None, used: Words) -> str:
    if not text or law is None or country is None:
        return text
    place = canonical_country(country)
    body = used.authority(applicable(country, law).authorities.body(place))
    form = used.table("format")["authority"]
    return f"{text} {form.format(country=used.say('country', place), body=body)}"
