"""Message templates: reviewed texts by name and language, filled in strictly.

In: a template's name, a language, plain values. Out: subject and body. Templates are package
data, one file per name and language (`NAME.de.txt`): the first line is the subject, an empty line
follows, then the body. Rendering is sandboxed; a missing value is an error, never a blank.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Template

FALLBACK = "en"
_FOLDER = files("dsr_worker.notify") / "templates"


class TextMissing(LookupError):  # noqa: N818 - reads as what happened
    """There is no template of this name; the text names those there are."""


@dataclass(frozen=True, slots=True)
class MailText:
    """A rendered message. May hold personal data: not shown."""

    subject: str
    body: str

    def __repr__(self) -> str:
        return "MailText(…)"


class Texts:
    """Renders templates. `common` values (the sender's name) are known to all of them."""

    def __init__(self, common: Mapping[str, str] | None = None) -> None:
        self._common = dict(common or {})

    def render(self, name: str, language: str, values: Mapping[str, object]) -> MailText:
        """The message `name` in `language`, in English where there is no text in that language.

        Raises:
            TextMissing: no such template.
            jinja2.UndefinedError: a value that the template needs is missing.

        """
        languages = languages_of(name)
        template = _template(name, language if language in languages else FALLBACK)
        whole = template.render({**self._common, **values})
        subject, _, body = whole.partition("\n\n")
        return MailText(" ".join(subject.split()), body.strip() + "\n")


@cache
def languages_of(name: str) -> tuple[str, ...]:
    """The languages in which a template is written. Raises TextMissing."""
    parts = [entry.name.split(".") for entry in _FOLDER.iterdir() if entry.name.endswith(".txt")]
    found = tuple(sorted(language for own, language, _ in parts if own == name))
    if not found:
        known = ", ".join(sorted({own for own, _, _ in parts}))
        raise TextMissing(f"no message template {name}; there are: {known}")
    return found


@cache
def _template(name: str, language: str) -> Template:
    from jinja2 import StrictUndefined, select_autoescape  # noqa: PLC0415 - slow; few send mail
    from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: PLC0415 - as above

    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined,
        autoescape=select_autoescape(default_for_string=False),  # these texts are plain
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    source = (_FOLDER / f"{name}.{language}.txt").read_text(encoding="utf-8")
    return environment.from_string(source)
