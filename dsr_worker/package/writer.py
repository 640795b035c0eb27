"""Writing the package: member by member, streamed, memory flat.

In: `Contents`. Out: the ZIP in any binary file, and what was written in numbers. Refuses before the
first byte when a text that the law asks for is missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, BinaryIO

import orjson

from dsr_worker.contract import Collection
from dsr_worker.evidence import Words, words
from dsr_worker.package import pages
from dsr_worker.package.archive import Archive, Names
from dsr_worker.package.contents import Contents, PackageRefused, Source, missing_texts
from dsr_worker.package.data import HTML, JSON, Data, Part, iso
from dsr_worker.package.grounds import explained
from dsr_worker.package.records import Place, Records, Withheld
from dsr_worker.package.texts import texts


@dataclass(frozen=True, slots=True)
class LeftOut:
    """How many values a ground kept out of a package, and the last day on which it does."""

    ground: str
    values: int
    until_on: str

    def plain(self) -> dict[str, Any]:
        """The same for the result of a step."""
        return {"ground": self.ground, "values": self.values, "until_on": self.until_on or None}


@dataclass(frozen=True, slots=True)
class PackageMade:
    """What was written: for the event, and for whoever checks."""

    records: int
    attachments: int
    withheld: int
    members: int
    complete: bool
    manifest_sha256: str
    left_out: tuple[LeftOut, ...] = ()
    """What `withheld` counts, by ground."""


def write_package(out: BinaryIO, contents: Contents) -> PackageMade:
    """Write the package into `out`, which need not be seekable. The same contents, the same bytes.

    Raises PackageRefused when texts are missing or a record is not as the data map says, and passes
    on what `out` raises; then `out` holds no package, and nothing that opens as one.
    """
    missing = missing_texts(contents.organisation, [s.system for s in contents.sources])
    if missing:
        lines = "".join(f"\n- {text}" for text in missing)
        raise PackageRefused(f"Texts that the law asks for are missing:{lines}")
    with Archive(out, contents.case.made_at) as archive:
        return _Writer(archive, contents).write()


class _Writer:
    def __init__(self, archive: Archive, contents: Contents) -> None:
        self._archive = archive
        self._contents = contents
        self._lang, self._texts = texts(contents.case.language)
        self._words: Words = words(self._lang)
        self._withheld: Withheld = Withheld()
        self._data = Data(archive, self._lang, self._words, self._withheld)

    def write(self) -> PackageMade:
        folders = Names()
        answers: list[tuple[Source, Records, list[Part]]] = []
        for source in self._contents.sources:
            records = Records(source)
            self._withheld.update(records.withheld)
            parts = list(self._parts(source, records, folders.stem(source.system.name)))
            for part in parts:
                self._data.write(part, records)
            answers.append((source, records, parts))
        for extra in self._contents.withheld:
            where = (extra.system, extra.collection, extra.field, extra.ground, extra.part, "")
            self._withheld[where] += extra.values
        self._write_information([part for _, _, parts in answers for part in parts])
        self._write_index(answers)
        case, complete = self._contents.case, all(s.complete for s in self._contents.sources)
        manifest = self._archive.finish(
            {
                "case": case.case,
                "kind": case.kind,
                "made_at": iso(case.made_at),
                "complete": complete,
            }
        )
        return PackageMade(
            records=sum(part.records for _, _, parts in answers for part in parts),
            attachments=self._data.attachments,
            withheld=sum(self._withheld.values()),
            members=self._archive.members + 1,
            complete=complete,
            manifest_sha256=manifest,
            left_out=tuple(self._by_ground()),
        )

    def _by_ground(self) -> Iterator[LeftOut]:
        values: Counter[str] = Counter()
        until: dict[str, str] = {}
        for (_, _, _, ground, _, until_on), number in self._withheld.items():
            values[ground] += number
            until[ground] = max(until_on, until.get(ground, ""))
        for ground in sorted(values):
            yield LeftOut(ground, values[ground], until[ground])

    def _parts(self, source: Source, records: Records, folder: str) -> Iterator[Part]:
        """The collections that have records and are handed out."""
        stems = Names()
        root = "portable" if self._contents.case.kind == "portability" else "data"
        for collection in source.system.collections.values():
            found = records.counts[collection.name]
            if not found:
                continue
            if not self._is_handed_out(source, collection):
                where = (source.system.name, collection.name, "", "not_portable", False, "")
                self._withheld[where] += found
                continue
            yield Part(source, collection, found, stems.stem(collection.name), folder, root)

    def _is_handed_out(self, source: Source, collection: Collection) -> bool:
        if self._contents.case.kind != "portability":
            return True
        return (source.system.name, collection.name) in self._contents.portable

    # ---- information, index

    @property
    def _frame(self) -> dict[str, Any]:
        return {"lang": self._lang, "t": self._texts}

    def _write_information(self, parts: list[Part]) -> None:
        organisation = self._contents.organisation
        described = tuple(self._described(part) for part in parts)
        content = {
            "basis": "Art. 15(1) and (2) GDPR",
            "controller": {
                "name": organisation.controller,
                "address": organisation.address,
                "contact": organisation.contact,
            },
            "data": [
                {
                    **part.about,
                    "records": part.records,
                    **about._asdict(),
                    "category_names": about.categories,
                    "categories": _categories(part.collection),
                    "storage_terms": organisation.terms.get(part.collection.record_class or "", ()),
                }
                for part, about in zip(parts, described, strict=True)
            ],
            "rights": organisation.rights,
            "complaint": organisation.complaint,
            "automated_decisions": organisation.automated_decisions,
            "transfers": organisation.transfers,
        }
        self._archive.put("information/art15.json", JSON, _json(content))
        page = pages.information(self._lang, organisation, described)
        self._archive.put("information/art15.html", HTML, page)

    def _described(self, part: Part) -> pages.PartTexts:
        collection, storage = part.collection, self._contents.organisation.storage
        named = {self._words.category(key): None for key in _categories(collection)}
        return pages.PartTexts(
            system=part.source.system.name,
            collection=collection.name,
            purpose=collection.purpose,
            legal_basis=collection.legal_basis,
            categories=tuple(named),
            recipients=tuple(collection.recipients),
            storage=storage.get(collection.record_class or "", ""),
            origin=collection.origin,
        )

    def _write_index(self, answers: list[tuple[Source, Records, list[Part]]]) -> None:
        case, used, say = self._contents.case, self._texts, self._words
        withheld = [self._left_out(*item) for item in sorted(self._withheld.items())]
        limits = [
            {"code": code, "explanation": _limit(say, code)} for code in self._contents.limits
        ]
        free_texts = [
            {**part.about, "records": part.records}
            for _, _, parts in answers
            for part in parts
            if part.has_free_text
        ]
        content = {"withheld": withheld, "limits": limits, "free_texts": free_texts}
        self._archive.put("withheld.json", JSON, _json(content))
        values = {
            "lang": self._lang,
            "t": used,
            "case": case,
            "kind": say.say("request", case.kind),
            "law": say.say("law", case.regime),
            "country": say.say("country", case.country),
            "received": say.instant(case.received_at, case.zone),
            "made": say.instant(case.made_at, case.zone),
            "verified": _verified(say, case.verified),
            "known_by": [
                (say.say("identity", kind), say.say("standing", standing))
                for kind, standing in case.known_by
            ],
            "organisation": self._contents.organisation,
            "systems": [self._answer(*answer) for answer in answers],
            "attachments": self._data.attachments,
            **content,
        }
        self._archive.put("index.html", HTML, pages.render("index.html", values))

    def _left_out(self, where: Place, values: int) -> dict[str, Any]:
        system, collection, field, ground, is_part, until = where
        day = self._words.day(date.fromisoformat(until)) if until else ""
        return {
            "system": system,
            "collection": collection,
            "field": field,
            "ground": ground,
            "values": values,
            "extent": "part" if is_part else "whole",
            "until_on": until or None,
            "explanation": str(explained(ground, self._words, self._contents.case.regime)),
            "expected": self._texts["expected"].format(day=day) if day else "",
        }

    def _answer(self, source: Source, records: Records, parts: list[Part]) -> dict[str, Any]:
        zone = self._contents.case.zone
        asked_at = source.searched_at
        return {
            "name": source.system.name,
            "searched": None if asked_at is None else self._words.instant(asked_at, zone),
            "complete": source.complete,
            "note": self._words.say("note", source.note) if source.note else "",
            "found": sum(records.counts.values()),
            "empty": []
            if asked_at is None
            else [name for name in source.system.collections if not records.counts[name]],
            "parts": [
                {
                    "name": part.collection.name,
                    "records": part.records,
                    "page": part.page_path(1),
                    "json": part.json,
                }
                for part in parts
            ],
        }


def _categories(collection: Collection) -> list[str]:
    return sorted({f.category for f in collection.fields.values()})


def _limit(say: Words, code: str) -> str:
    """A limit in words; `contested-phone` is a kind of `contested`."""
    kind, _, what = code.partition("-")
    known = say.known("limit", kind)
    if known is None or not what:
        return say.say("limit", code)
    return known.format(what=say.say("identity", what.replace("-", "_")))


def _verified(say: Words, method: str) -> str:
    if not method:
        return ""
    known = say.known("verified", method)
    return known or say.table("verified")["attested"].format(how=say.say("method", method))


def _json(content: Mapping[str, Any]) -> bytes:
    return orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n"
