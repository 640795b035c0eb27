"""The proposed map of a bucket: collections with layouts, fields, identities, clocks and marks.

In: places, samples of them, the labels of a few objects. Out: the contract's `Collection`s, the
grounds of each, and what is left out with its code. Pure but for the two callables that it is
handed: they read. Whatever is unsure carries `review`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from connectors.naming.classifying import SURE
from connectors.naming.forms import form_of
from connectors.naming.rows import topic
from connectors.naming.words import Part, means_customer, part_of, referred, singular, words
from connectors.s3.formats.content import EACH
from connectors.s3.links import Addresses
from connectors.s3.proposing.judging import Judged, judged
from connectors.s3.proposing.naming_people import lists_of_records, taken, yielded
from connectors.s3.proposing.sampling import Sample
from connectors.s3.proposing.shapes import Segment, Shape, lead, stem_shape
from connectors.s3.proposing.walking import Place
from connectors.s3.server.bucket import Version
from dsr_worker.contract import (
    Collection,
    Evidence,
    Field,
    Form,
    Ground,
    LeftOut,
    Mask,
    MaskKind,
    Taken,
)

Sampler = Callable[[Sequence[Version]], Sample]
Labels = Callable[[Sequence[Version]], list[Mapping[str, str]]]
_LINKED_LEAST, _LINKED_SHARE = 3, 0.5
_MOST_LEADS = 6
_LONGEST_NAME = 60
_DOUBT = 0.5
_COUNTRY = "user.contact.address.country"


@dataclass(frozen=True, slots=True)
class _Records:
    """A place whose records were read, and what they say."""

    name: str
    prefix: str
    sample: Sample
    judged: Judged
    path: str = ""  # in JSON documents, of the list that they stand in


@dataclass
class Draft:
    """The proposal under way."""

    addresses: Callable[[str], Addresses]
    sampled: Sampler
    labels: Labels
    collections: dict[str, Collection] = field(default_factory=dict)
    grounds: dict[tuple[str, str], Ground] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    _records: list[_Records] = field(default_factory=list)
    _opaque: list[tuple[str, str, list[Version]]] = field(default_factory=list)

    def take(self, places: Iterable[Place]) -> None:
        """Propose what these places hold."""
        people: dict[str, tuple[Segment, list[Place]]] = {}
        others: dict[str, list[Place]] = {}
        for place in places:
            at = _person_at(place.segments)
            if place.table:
                self.left_out.append(LeftOut(place.prefix or "/", place.table))
            elif at is not None:
                text = _template(place.segments[: at + 1]) + "**"
                people.setdefault(text, (place.segments[at], []))[1].append(place)
            elif (named := _person_in_name(place)) is not None:
                people.setdefault(named[0], (named[1], []))[1].append(place)
            elif place.objects:
                others.setdefault(place.prefix, []).append(place)
            elif place.more:
                self.left_out.append(LeftOut(place.prefix or "/", "not_read"))
        for text, (segment, found) in people.items():
            self._keyed(text, segment, found)
        for prefix, found in others.items():
            nested = any(other != prefix and other.startswith(prefix) for other in others)
            self._sorted_out(prefix, found, nested=nested)
        for prefix, code, objects in self._opaque:
            self._whole(prefix, code, objects)

    # ---- whole objects

    def _keyed(self, text: str, segment: Segment, places: Sequence[Place]) -> None:
        """Objects whose keys name a person."""
        constants = [part for place in places for part in _said_before(place, segment)]
        sure, code = 0.9, "key.customer"
        if segment.shape is Shape.EMAIL:
            code = "key.email"
        elif not any(means_customer(words(part)) for part in constants):
            sure, code = _DOUBT, f"key.{segment.shape}"
        kind = _kind(segment.shape)
        name = self._name(text.partition("{")[0].rpartition("/")[0])
        evidence = (Evidence(code), *_counted(places))
        takes = {kind: Taken("key", Form.ASCII_CASE if kind == "email" else Form.EXACT)}
        self._add_whole(name, {"layout": "prefix", "template": text}, takes, Ground(sure, evidence))

    def _whole(self, prefix: str, code: str, objects: list[Version]) -> None:
        """Objects that say nothing by record: linked from rows, labelled, or nobody's."""
        if prefix and self._linked(prefix):
            return
        labels = self.labels(objects)
        takes: dict[str, Taken] = {}
        for name in dict.fromkeys(chain.from_iterable(labels)):
            values = [found[name] for found in labels if name in found]
            mail = all(form_of(value) == "email" for value in values)
            said = words(name.partition(":")[2])
            if mail or means_customer(referred(name.partition(":")[2]) or said):
                taken = Taken(name, Form.ASCII_CASE if mail else Form.EXACT)
                takes.setdefault("email" if mail else "customer_number", taken)
        if not takes:
            self.left_out.append(LeftOut(prefix or "/", code))
            return
        ground = Ground(0.8, (Evidence("label", len(labels), len(labels)),))
        source = {"layout": "objects", "prefix": prefix}
        self._add_whole(self._name(prefix), source, takes, ground)

    def _linked(self, prefix: str) -> bool:
        addresses = self.addresses(prefix)
        for records in self._records:
            rows = self.collections.get(records.name)
            for name, links in records.sample.links.items() if rows and rows.takes else ():
                matched = sum(addresses.key(link) is not None for link in links)
                if matched < max(_LINKED_LEAST, _LINKED_SHARE * len(links)):
                    continue
                assert rows is not None  # noqa: S101 - asked for above
                takes = {k: Taken(f"row:{t.field}", t.form) for k, t in rows.takes.items()}
                source = {"layout": "linked", "from": rows.name, "field": name, "prefix": prefix}
                ground = Ground(0.85, (Evidence("linked", matched, len(links)),))
                self._add_whole(self._name(prefix), source, takes, ground)
                return True
        return False

    def _add_whole(
        self, name: str, source: Mapping[str, str], takes: Mapping[str, Taken], ground: Ground
    ) -> None:
        fields = {"key": "user.unique_id", "size": "user", "last_modified": "user"}
        fields |= {"body": "user.content"}
        fields |= {t.field: "user.unique_id" for t in takes.values() if t.field not in fields}
        self.grounds[name, ""] = ground
        self.collections[name] = Collection(
            name,
            ("key",),
            {each: Field(each, category) for each, category in fields.items()},
            takes=takes,
            clocks={"record_date": "last_modified"},
            review=ground.confidence < SURE,
            source=source,
        )

    # ---- records

    def _sorted_out(self, prefix: str, places: Sequence[Place], *, nested: bool) -> None:
        """Read a place; files that begin with other words may be of another kind."""
        objects = [version for place in places for version in place.objects]
        leads: dict[str, list[Version]] = {}
        for version in objects:
            leads.setdefault(lead(version.key.rpartition("/")[2]), []).append(version)
        whole = self.sampled(objects)
        constant = all(segment.shape is Shape.CONSTANT for p in places for segment in p.segments)
        if whole.mixed and constant and 1 < len(leads) <= _MOST_LEADS and all(leads):
            for start, some in leads.items():
                self._read(f"{prefix}{start}", self.sampled(some), some, nested=nested)
        else:
            self._read(prefix, whole, objects, nested=nested)

    def _read(self, prefix: str, sample: Sample, objects: list[Version], *, nested: bool) -> None:
        lists = [*lists_of_records(prefix, sample)]
        for path, inner, found in lists:
            name = self._name(f"{prefix}{path if len(lists) > 1 else ''}")
            self._shared(_Records(name, prefix, inner, found, path), nested=nested)
        if lists:
            self._beside(prefix, sample)
            return
        if sample.code or not sample.rows:
            self._opaque.append((prefix, sample.code or "empty", objects))
            return
        found = judged(prefix, sample)
        if not found.personal:
            self.left_out.append(LeftOut(prefix or "/", "nothing_personal"))
            return
        self._shared(_Records(self._name(prefix), prefix, sample, found), nested=nested)

    def _beside(self, prefix: str, sample: Sample) -> None:
        """What looks personal in documents outside of the lists that are proposed."""
        for name in judged(prefix, sample).looks:
            if EACH not in name:
                self.left_out.append(LeftOut(f"{prefix}:{name}", "beside_records"))

    def _shared(self, records: _Records, *, nested: bool) -> None:
        self._records.append(records)
        sample, found, name = records.sample, records.judged, records.name
        takes = taken(found, sample)
        yields = yielded(records.prefix, takes, sample)
        sure = 0.9 if found.identity else 0.85
        evidence = [Evidence("records", sample.rows), Evidence(f"format.{sample.format}")]
        for code, limit in (
            ("somebodys_work", 1.0 if found.plainly else _DOUBT),
            ("no_way_to_it", 0.4 if not takes else 1.0),
            ("several_people", _DOUBT if any(EACH in t.field for t in takes.values()) else 1.0),
            ("name.uid", _DOUBT if found.guessed else 1.0),
            ("no_key", 1.0 if found.key else 0.4),
            ("key_is_personal", _DOUBT if found.looks.keys() & found.key else 1.0),
            ("mixed", _DOUBT if sample.mixed else 1.0),
            ("nested", _DOUBT if nested else 1.0),
        ):
            if limit < sure:
                sure = limit
                evidence.append(Evidence(code))
        if len(takes) > 1 and not yields:
            evidence.append(Evidence(f"could_yield.{'.'.join(takes)}"))
        self.grounds[name, ""] = Ground(sure, tuple(evidence))
        fields = {f.name: f for f in self._fields(records)}
        self.collections[name] = Collection(
            name,
            found.key or tuple(sorted(fields, key=lambda each: EACH in each))[:1],
            fields,
            takes=takes,
            yields=yields,
            clocks={"record_date": found.clock} if found.clock else {},
            residence=self._residence(records) if takes else None,
            review=sure < SURE,
            source=_source(records),
        )

    @staticmethod
    def _residence(records: _Records) -> str | None:
        """The field in which codes of countries stand, one and the same for the whole record."""
        for name in records.sample.fields:
            look = records.judged.looks.get(name)
            if look is None or look.category != _COUNTRY or EACH in name:
                continue
            if any(evidence.code == "form.country" for evidence in look.evidence):
                return name
        return None

    def _fields(self, records: _Records) -> Iterator[Field]:
        found, about = records.judged, topic(records.name)
        stays = {*found.key, found.clock, found.identity}
        for name in records.sample.fields:
            look = found.looks.get(name)
            if look is not None:
                unmasked = EACH in name and records.sample.format != "parquet"
                sure = min(look.sure, _DOUBT) if unmasked else look.sure
                told = (*look.evidence, Evidence("in_a_list")) if unmasked else look.evidence
                ground = Ground(sure, told)
                mask = None if name in stays or unmasked else Mask(MaskKind.NULL)
                marks = (look.third_party, look.free_text)
                made = Field(name, look.category, mask, *marks, review=sure < SURE)
            elif name in stays - {found.clock} or referred(name.rpartition(".")[2]):
                ground, made = Ground(0.9, (Evidence("key"),)), Field(name, "user.unique_id")
            elif name in found.unsure:
                ground = Ground(_DOUBT, (Evidence("unknown"),))
                made = Field(name, about, review=True)
            else:
                ground, made = Ground(SURE, (Evidence("owned"),)), Field(name, about)
            self.grounds[records.name, name] = ground
            yield made

    def _name(self, prefix: str) -> str:
        """A name of its own for a collection, by the words of its place."""
        said = "_".join(word for word in words(prefix) if word.isascii() and word.isalnum())
        slug = said[:_LONGEST_NAME] or "objects"
        slug = slug if slug[0].isalpha() else f"p_{slug}"
        name, number = slug, 2
        while name in self.collections or any(r.name == name for r in self._records):
            name, number = f"{slug}_{number}", number + 1
        return name


def _source(records: _Records) -> dict[str, Any]:
    sample = records.sample
    source: dict[str, Any] = {
        "layout": "shared",
        "prefix": records.prefix,
        "format": sample.format,
    }
    if records.path:
        source["records"] = records.path
    if sample.compression != "none":
        source["compression"] = sample.compression
    if sample.format == "csv" and sample.delimiter != ",":
        source["dialect"] = {"delimiter": sample.delimiter}
    if records.judged.clock and records.judged.unit != "iso":
        source["clock"] = records.judged.unit
    return source


def _person_at(segments: Sequence[Segment]) -> int | None:
    """The folder that is a person's: an e-mail, or an id after words for customers or none."""
    for at, segment in enumerate(segments):
        if segment.shape is Shape.EMAIL:
            return at
        if not segment.shape.identifies:
            continue
        said = segment.hive or next((s.text for s in segments[:at][::-1] if s.text), "")
        if means_customer(words(said)) or _could_be_peoples(said, hive=bool(segment.hive)):
            return at
    return None


def _could_be_peoples(said: str, *, hive: bool) -> bool:
    """Whether an id under this name may be a person's: unsure, and for people to say."""
    parts = {part_of(singular(word)) for word in words(said)}
    return not hive and bool(parts) and parts <= {Part.OTHER, Part.CUSTOMER}


def _person_in_name(place: Place) -> tuple[str, Segment] | None:
    """The template of objects that are called after a person, and what of the name varies."""
    if len(place.objects) < _LINKED_LEAST:
        return None
    shape, ending = stem_shape(place.names)
    of_people = any(means_customer(words(segment.text)) for segment in place.segments)
    if shape is Shape.EMAIL or (shape.identifies and of_people):
        folder = _template(place.segments)
        return f"{folder}{{{_kind(shape)}}}{ending}", Segment(shape)
    return None


def _template(segments: Sequence[Segment]) -> str:
    """Segments as the part of a template; the last that identifies is the person's."""
    last = next((n for n, s in reversed([*enumerate(segments)]) if s.shape.identifies), None)
    parts = []
    for at, segment in enumerate(segments):
        varies = f"{{{_kind(segment.shape)}}}" if at == last else "*"
        text = segment.text if segment.shape is Shape.CONSTANT else segment.before + varies
        parts.append(f"{text}/")
    return "".join(parts)


def _kind(shape: Shape) -> str:
    return "email" if shape is Shape.EMAIL else "customer_number"


def _said_before(place: Place, segment: Segment) -> Iterator[str]:
    """The words that say whose an id in the key is: a partition's name, or the folder above."""
    if segment.hive:
        yield segment.hive
        return
    yield from (s.text for s in place.segments if s.text)


def _counted(places: Sequence[Place]) -> tuple[Evidence, ...]:
    seen = sum(len(place.objects) for place in places)
    return (Evidence("objects", seen, seen),) if seen else ()
