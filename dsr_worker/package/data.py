"""The records of one collection in the package: the JSON, the pages, the attachments.

In: a part (which collection of which system, where its files go) and its records. Out: members of
the archive. The JSON is what was spooled; a page is a view of at most 500 records or 1 MiB.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from markupsafe import Markup

from dsr_worker.contract import Collection, Field
from dsr_worker.evidence import Words
from dsr_worker.package import pages, plain, tables
from dsr_worker.package.archive import Archive
from dsr_worker.package.contents import (
    AttachmentSource,
    Found,
    PackageRefused,
    RecordSource,
    Source,
    is_block,
)
from dsr_worker.package.paging import Page
from dsr_worker.package.records import Records, ThirdParty, Withheld
from dsr_worker.package.texts import texts

HTML, JSON = "text/html", "application/json"
_JOIN_BYTES = 64 * 1024
# Endings a browser or office program shows; anything else (programs, scripts, HTML, SVG) is `.bin`.
_ENDING = re.compile(
    r"bmp|csv|docx?|eml|gif|gz|jpe?g|json|m4a|mov|mp[34]|ndjson|od[pst]|ogg|opus|pdf|png|pptx?|"
    r"tiff?|txt|wav|web[mp]|xlsx?|zip"
)
_WORTH_COMPRESSING = re.compile(r"bmp|csv|doc|eml|json|ndjson|ppt|tiff?|txt|wav|xls")


@dataclass(frozen=True, slots=True)
class Part:
    """One collection with records: where its files are, within `root/folder` of the package."""

    source: Source
    collection: Collection
    records: int
    stem: str
    folder: str
    root: str

    @property
    def has_free_text(self) -> bool:
        """Whether some field is one."""
        return any(field.free_text for field in self.collection.fields.values())

    @property
    def about(self) -> dict[str, Any]:
        """What the manifest says of each of its files."""
        return {"system": self.source.system.name, "collection": self.collection.name}

    @property
    def json(self) -> str:
        """The path of the original."""
        return f"{self.root}/{self.folder}/{self.stem}.json"

    def page(self, number: int) -> str:
        """The name of a page in its folder."""
        return f"{self.stem}.html" if number == 1 else f"{self.stem}.p{number:04}.html"

    def page_path(self, number: int) -> str:
        """The path of a page in the package."""
        return f"{self.root}/{self.folder}/{self.page(number)}"


class Data:
    """Writes parts into an archive; counts what it had to leave out, and attachments."""

    def __init__(self, archive: Archive, language: str, say: Words, withheld: Withheld) -> None:
        self._archive = archive
        self._lang = language
        self._attached = texts(language)[1]["attachment"]
        self._say = say
        self._withheld = withheld
        self.attachments = 0

    def write(self, part: Part, records: Records) -> None:
        """The JSON, then the pages, before each page the attachments of its records."""
        guard = ThirdParty(part.source.system.name, part.collection, self._withheld)
        about = {
            **part.about,
            "records": part.records,
            "searched_at": iso(part.source.searched_at),
        }
        elements = guard.elements(records.of(part.collection.name))
        if records.is_held:
            self._archive.put(part.json, JSON, b"".join(_array(elements)), about)
        else:
            self._archive.is_large()
            with self._archive.member(part.json, JSON, about=about) as member:
                for piece in _array(elements):
                    member.write(piece)
        self._write_pages(part, self._bodies(part, records.of(part.collection.name), guard))

    def _bodies(
        self, part: Part, found: Iterable[Found], guard: ThirdParty
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

    def _write_pages(self, part: Part, found: Iterable[tuple[list[bytes], Markup | None]]) -> None:
        page, left = Page(1), part.records
        for bodies, link in found:
            start = 0
            while start < len(bodies):
                taken = page.take(bodies, start, link)
                start, left = start + taken, left - taken
                if page.is_full or not left:
                    self._write_page(part, page, is_last=not left)
                    page = Page(page.number + 1)

    def _write_page(self, part: Part, page: Page, *, is_last: bool) -> None:
        fields, number = part.collection.fields, page.number
        names, rows = self._rows(part, page)
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
        keep = number == 1 and is_last and all(n in fields or n == self._attached for n in names)
        shown = pages.records(frame, rows, keep=keep)
        self._archive.put(part.page_path(number), HTML, shown, part.about)

    def _rows(self, part: Part, page: Page) -> tuple[tuple[str, ...], bytes]:
        """The columns of a page, and its rows."""
        fields = part.collection.fields
        mapped = tuple(f.name for f in fields.values() if not f.third_party)
        rows = None if page.links else plain.table_rows(page.bodies, mapped)
        if rows is not None:
            return mapped, rows
        records = self._parsed(part, page)
        names = tables.columns(records, list(fields))
        return tuple(names), tables.table_rows(records, names).encode("utf-8", "replace")

    def _parsed(self, part: Part, page: Page) -> list[dict[str, Any]]:
        try:
            records = tables.parse(page.bodies)
        except ValueError:
            raise PackageRefused(
                f"{part.source.system.name}.{part.collection.name}: a record is not a JSON object.",
                **_place(part),
            ) from None
        for number, link in page.links.items():
            records[number][self._attached] = link
        return records

    def _label(self, fields: Mapping[str, Field], name: str) -> str:
        return self._say.category(fields[name].category) if name in fields else ""

    def _write_attachment(
        self, part: Part, record: RecordSource, attachment: AttachmentSource
    ) -> Markup:
        self.attachments += 1
        ending = _ending(attachment)
        path = f"attachments/{part.folder}/{part.stem}/{self.attachments:06}.{ending}"
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
                f"{part.source.system.name}.{part.collection.name}: an attachment is not whole.",
                **_place(part),
            )
        return pages.link(f"../../{path}", attachment.name)


def _place(part: Part) -> dict[str, str]:
    return {"system": part.source.system.name, "collection": part.collection.name}


def iso(at: datetime | None) -> str | None:
    """An instant for machines, in UTC."""
    return None if at is None else at.astimezone(UTC).isoformat(timespec="seconds")


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
