"""Writing the package: member by member, streamed, memory flat.

In: `Contents`. Out: the ZIP in any binary file, and what was written in numbers. Refuses before the
first byte when a text that the law asks for is missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO, cast

import orjson
from markupsafe import Markup

from dsr_worker.contract import Collection, Field
from dsr_worker.evidence import Words, words
from dsr_worker.package import pages
from dsr_worker.package.archive import Archive, Names
from dsr_worker.package.contents import (
    AttachmentSource,
    Contents,
    Found,
    PackageRefused,
    RecordSource,
    Source,
    is_block,
    missing_texts,
)
from dsr_worker.package.grounds import explained
from dsr_worker.package.paging import Page
from dsr_worker.package.records import Records, ThirdParty, Withheld
from dsr_worker.package.texts import texts

_JOIN_BYTES = 64 * 1024
_JSON, _HTML = "application/json", "text/html"
# Endings a browser or office program shows; anything else (programs, scripts, HTML, SVG) is `.bin`.
_ENDING = re.compile(
    r"bmp|csv|docx?|eml|gif|gz|jpe?g|json|m4a|mov|mp[34]|ndjson|od[pst]|ogg|opus|pdf|png|pptx?|"
    r"tiff?|txt|wav|web[mp]|xlsx?|zip"
)
_WORTH_COMPRESSING = re.compile(r"bmp|csv|doc|eml|json|ndjson|ppt|tiff?|txt|wav|xls")


@dataclass(frozen=True, slots=True)
class PackageMade:
    """What was written: for the event, and for whoever checks."""

    records: int
    attachments: int
    withheld: int
    members: int
    complete: bool
    manifest_sha256: str


@dataclass(slots=True)
class _Part:
    """One collection with records: where its files are."""

    source: Source
    collection: Collection
    records: int
    stem: str
    folder: str

    @property
    def has_free_text(self) -> bool:
        return any(field.free_text for field in self.collection.fields.values())

    @property
    def about(self) -> dict[str, Any]:
        return {"system": self.source.system.name, "collection": self.collection.name}

    def page(self, number: int) -> str:
        return f"{self.stem}.html" if number == 1 else f"{self.stem}.p{number:04}.html"


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
        self._attachments = 0

    def write(self) -> PackageMade:
        folders = Names()
        answers: list[tuple[Source, Records, list[_Part]]] = []
        for source in self._contents.sources:
            records = Records(source)
            self._withheld.update(records.withheld)
            parts = list(self._parts(source, records, folders.stem(source.system.name)))
            for part in parts:
                self._write_data(part, records)
            answers.append((source, records, parts))
        for extra in self._contents.withheld:
            where = (extra.system, extra.collection, extra.field, extra.ground, extra.part)
            self._withheld[where] += extra.values
        self._write_information([part for _, _, parts in answers for part in parts])
        self._write_index(answers)
        case, complete = self._contents.case, all(s.complete for s in self._contents.sources)
        manifest = self._archive.finish(
            {
                "case": case.case,
                "kind": case.kind,
                "made_at": _iso(case.made_at),
                "complete": complete,
            }
        )
        return PackageMade(
            records=sum(part.records for _, _, parts in answers for part in parts),
            attachments=self._attachments,
            withheld=sum(self._withheld.values()),
            members=self._archive.members + 1,
            complete=complete,
            manifest_sha256=manifest,
        )

    def _parts(self, source: Source, records: Records, folder: str) -> Iterator[_Part]:
        """The collections that have records and are handed out."""
        stems = Names()
        for collection in source.system.collections.values():
            found = records.counts[collection.name]
            if not found:
                continue
            if not self._is_handed_out(source, collection):
                where = (source.system.name, collection.name, "", "not_portable", False)
                self._withheld[where] += found
                continue
            yield _Part(source, collection, found, stems.stem(collection.name), folder)

    def _is_handed_out(self, source: Source, collection: Collection) -> bool:
        if self._contents.case.kind != "portability":
            return True
        return (source.system.name, collection.name) in self._contents.portable

    # ---- data

    def _write_data(self, part: _Part, records: Records) -> None:
        guard = ThirdParty(part.source.system.name, part.collection, self._withheld)
        about = {
            **part.about,
            "records": part.records,
            "searched_at": _iso(part.source.searched_at),
        }
        path = f"{self._data_folder}/{part.folder}/{part.stem}.json"
        elements = guard.elements(records.of(part.collection.name))
        if records.is_held:
            self._archive.put(path, _JSON, b"".join(_array(elements)), about)
        else:
            self._archive.is_large()
            with self._archive.member(path, _JSON, about=about) as member:
                for piece in _array(elements):
                    member.write(piece)
        self._write_pages(part, self._bodies(part, records.of(part.collection.name), guard))

    @property
    def _data_folder(self) -> str:
        return "portable" if self._contents.case.kind == "portability" else "data"

    def _bodies(
        self, part: _Part, found: Iterable[Found], guard: ThirdParty
    ) -> Iterator[tuple[list[bytes], Markup | None]]:
        """The bodies in the order spooled; one with an attachment comes alone, with the link."""
        for one in found:
            if is_block(one):
                yield guard.lines(one.lines(), count=False).split(b"\n"), None
                continue
            record = cast("RecordSource", one)
            attachment = record.attachment
            link = None if attachment is None else self._write_attachment(part, record, attachment)
            yield [guard.body(record.body, count=False)], link

    def _write_pages(self, part: _Part, found: Iterable[tuple[list[bytes], Markup | None]]) -> None:
        page, left = Page(1), part.records
        for bodies, link in found:
            start = 0
            while start < len(bodies):
                taken = page.take(bodies, start, link)
                start, left = start + taken, left - taken
                if page.is_full or not left:
                    self._write_page(part, page, is_last=not left)
                    page = Page(page.number + 1)

    def _rows(self, part: _Part, page: Page) -> list[dict[str, Any]]:
        try:
            rows = pages.parse(page.bodies)
        except ValueError:
            raise PackageRefused(
                f"{part.source.system.name}.{part.collection.name}: a record is not a JSON object."
            ) from None
        for number, link in page.links.items():
            rows[number][self._texts["attachment"]] = link
        return rows

    def _write_page(self, part: _Part, page: Page, *, is_last: bool) -> None:
        fields, rows, number = part.collection.fields, self._rows(part, page), page.number
        names = pages.columns(rows, list(fields))
        frame = pages.RecordsFrame(
            language=self._lang,
            system=part.source.system.name,
            collection=part.collection.name,
            purpose=part.collection.purpose,
            page=number,
            previous=part.page(number - 1) if number > 1 else None,
            next=None if is_last else part.page(number + 1),
            columns=tuple((n, self._label(fields, n)) for n in names),
        )
        common = self._texts["attachment"]  # a name we gave ourselves
        keep = number == 1 and is_last and all(n in fields or n == common for n in names)
        path = f"{self._data_folder}/{part.folder}/{part.page(number)}"
        shown = pages.records(frame, pages.table_rows(rows, names), keep=keep)
        self._archive.put(path, _HTML, shown, part.about)

    def _label(self, fields: Mapping[str, Field], name: str) -> str:
        return self._words.category(fields[name].category) if name in fields else ""

    def _write_attachment(
        self, part: _Part, record: RecordSource, attachment: AttachmentSource
    ) -> Markup:
        self._attachments += 1
        ending = _ending(attachment)
        path = f"attachments/{part.folder}/{part.stem}/{self._attachments:06}.{ending}"
        about = {**part.about, "original_name": attachment.name, "record": list(record.key)}
        with self._archive.member(
            path,
            "application/octet-stream",
            size_bytes=attachment.size_bytes,
            compress=_WORTH_COMPRESSING.fullmatch(ending) is not None,
            about=about,
        ) as member:
            for piece in attachment.open():
                member.write(piece)
        if member.bytes != attachment.size_bytes:
            raise PackageRefused(
                f"{part.source.system.name}.{part.collection.name}: an attachment is not whole."
            )
        return pages.link(f"../../{path}", attachment.name)

    # ---- information, index

    @property
    def _frame(self) -> dict[str, Any]:
        return {"lang": self._lang, "t": self._texts}

    def _write_information(self, parts: list[_Part]) -> None:
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
        self._archive.put("information/art15.json", _JSON, _json(content))
        page = pages.information(self._lang, organisation, described)
        self._archive.put("information/art15.html", _HTML, page)

    def _described(self, part: _Part) -> pages.PartTexts:
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

    def _write_index(self, answers: list[tuple[Source, Records, list[_Part]]]) -> None:
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
        self._archive.put("withheld.json", _JSON, _json(content))
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
            "attachments": self._attachments,
            **content,
        }
        self._archive.put("index.html", _HTML, pages.render("index.html", values))

    def _left_out(self, where: tuple[str, str, str, str, bool], values: int) -> dict[str, Any]:
        system, collection, field, ground, is_part = where
        return {
            "system": system,
            "collection": collection,
            "field": field,
            "ground": ground,
            "values": values,
            "extent": "part" if is_part else "whole",
            "explanation": str(explained(ground, self._words, self._contents.case.regime)),
        }

    def _answer(self, source: Source, records: Records, parts: list[_Part]) -> dict[str, Any]:
        folder, zone = self._data_folder, self._contents.case.zone
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
                    "page": f"{folder}/{part.folder}/{part.page(1)}",
                    "json": f"{folder}/{part.folder}/{part.stem}.json",
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


def _array(bodies: Iterator[bytes]) -> Iterator[bytes]:
    """A JSON array of the bodies as they are, in pieces of some size."""
    pending: list[bytes] = []
    size, before = 0, b"[\n"
    for body in bodies:
        pending += (before, body)
        size += len(body)
        before = b",\n"
        if size >= _JOIN_BYTES:
            yield b"".join(pending)
            pending, size = [], 0
    yield b"".join(pending) + b"\n]\n"


def _ending(attachment: AttachmentSource) -> str:
    ending = attachment.name.rpartition(".")[2].lower()
    return ending if _ENDING.fullmatch(ending) else "bin"


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat(timespec="seconds")


def _json(content: Mapping[str, Any]) -> bytes:
    return orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n"
