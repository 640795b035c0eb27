"""The pages of a package: what a browser shows, with nothing in it that could act.

In: values and records. Out: UTF-8 HTML without scripts, without remote parts, everything escaped.
The JSON beside a page is the original; a page is a view of it. What stands around the records is
the same in most packages and is kept once made; nothing from a record is ever kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from markupsafe import Markup

from dsr_worker.package import tables
from dsr_worker.package.contents import OrganisationTexts
from dsr_worker.package.texts import texts

if TYPE_CHECKING:
    import jinja2

_KEPT_PAGES = 512
_ROWS = Markup("\0rows\0")  # where the rows go; nothing of the map or the texts follows it


class RecordsFrame(NamedTuple):
    """What a page of records shows beside its rows. `columns` are names with their categories."""

    language: str
    system: str
    collection: str
    purpose: str
    page: int
    previous: str | None
    next: str | None
    columns: tuple[tuple[str, str], ...]


class PartTexts(NamedTuple):
    """What the law wants told about a collection."""

    system: str
    collection: str
    purpose: str
    legal_basis: str
    categories: tuple[str, ...]
    recipients: tuple[str, ...]
    storage: str
    origin: str


def records(frame: RecordsFrame, rows: bytes, *, keep: bool) -> bytes:
    """A page of records; `keep` its frame for others, which holds nothing of the records then."""
    before, after = _kept_frame(frame) if keep else _framed(frame)
    return before + rows + after


@lru_cache(_KEPT_PAGES)
def information(
    language: str, organisation: OrganisationTexts, parts: tuple[PartTexts, ...]
) -> bytes:
    """What Art. 15(1) GDPR wants told about these collections; the same for everybody in them."""
    lang, used = texts(language)
    values = {"lang": lang, "t": used, "organisation": organisation, "parts": parts}
    return render("information.html", values)


def _framed(frame: RecordsFrame) -> tuple[bytes, bytes]:
    lang, used = texts(frame.language)
    page = render("records.html", {**frame._asdict(), "lang": lang, "t": used, "rows": _ROWS})
    before, _, after = page.rpartition(_ROWS.encode())
    return before, after


_kept_frame = lru_cache(_KEPT_PAGES)(_framed)


def render(template: str, values: Mapping[str, Any]) -> bytes:
    """One of our templates, filled."""
    # A lone surrogate from JSON cannot be UTF-8: it shows as a question mark.
    return _environment().get_template(template).render(values).encode("utf-8", "replace")


def link(path: str, text: str) -> Markup:
    """A link to a member; `path` is of our making."""
    return Markup('<a href="{}">{}</a>').format(path, tables.clean(text))


@cache
def _environment() -> jinja2.Environment:
    import jinja2  # noqa: PLC0415 - loads slowly, and few commands make pages

    return jinja2.Environment(
        loader=jinja2.PackageLoader("dsr_worker.package", "templates"),
        autoescape=True,
        auto_reload=False,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
