"""The certificate as a page to read: words in the place of codes, in the certificate's language.

In: the signed file. Out: HTML without scripts or remote parts. The page only shows the file: what
is signed is the JSON, which keeps every code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import orjson

from dsr_worker.evidence.certificate import COUNTED
from dsr_worker.evidence.statements import finding, left_undone, not_covered
from dsr_worker.evidence.wording import Words, words

if TYPE_CHECKING:
    import jinja2


def render_certificate(file: bytes) -> str:
    """The certificate as a page to read (HTML without scripts or remote parts)."""
    content = orjson.loads(file)
    stated, signature = content["certificate"], content["signature"]
    used = words(stated["language"])
    values = {
        "c": stated,
        "t": used.table("certificate"),
        "w": used,
        "signature": signature,
        "say": _Spoken(used, stated),
        "findings": {s["system"]: finding(s, used, spelt=True) for s in stated["systems"]},
        "left": [left_undone(part, used, spelt=True) for part in stated.get("left_undone", ())],
        "counted": _occurring(stated),
        "not_covered": not_covered(stated, used),
    }
    return _template().render(values)


def _occurring(stated: Mapping[str, Any]) -> list[str]:
    """The outcomes that any collection has: a column of noughts tells nobody anything."""
    results = [r for s in stated["systems"] for r in s["collections"]]
    return [name for name in COUNTED if any(r.get(name) for r in results)]


@dataclass(frozen=True, slots=True)
class _Spoken:
    """What the template asks for in words."""

    words: Words
    stated: Mapping[str, Any]

    def ground(self, code: str) -> str:
        """A ground as the certificate explains it, with its provision."""
        for ground in self.stated["grounds"]:
            if ground["code"] == code:
                cited = f" ({ground['citation']})" if ground["citation"] else ""
                return f"{ground['words']}{cited}"
        return self.words.say("ground", code)

    def at(self, instant: str) -> str:
        """An instant in words."""
        return self.words.instant(datetime.fromisoformat(instant))

    def until(self, first: str, last: str) -> str:
        """Until when the first and the last of some rows are kept."""
        text = self.words.table("certificate")["until" if first == last else "until_each"]
        return text.format(first=self._on(first), day=self._on(last))

    def day(self, day: str) -> str:
        """A civil day in words."""
        return self._on(day)

    def due(self, first: str, last: str) -> str:
        """On which days the first and the last of some rows go."""
        if first == last:
            return self._on(last)
        text = self.words.table("certificate")["due_each"]
        return text.format(first=self._on(first), day=self._on(last))

    def _on(self, day: str) -> str:
        return self.words.day(date.fromisoformat(day))


@cache
def _template() -> jinja2.Template:
    import jinja2  # noqa: PLC0415 - loads slowly, and few commands make pages

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dsr_worker.evidence", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    fill: Callable[..., str] = str.format
    environment.filters["fill"] = fill
    return environment.get_template("certificate.html")
