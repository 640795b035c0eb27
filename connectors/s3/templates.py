"""Key templates: where in an object's key an identity stands, as a whole segment.

In: a template of the map, such as `exports/{year}/customers/{customer_number}/**`. Out: the
identities that a key names, and the prefixes under which the keys of an identity lie. Pure.

An identity is compared as one whole segment, less what the template writes around it in the same
segment: `customer_id={customer_number}` and `{customer_number}.jpg` hold it, `cus_1` is never
`cus_10`. It stands there as it is or percent-encoded (RFC 3986, section 2.1), never half decoded.
"""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import quote

_TOKEN = re.compile(r"\*\*|\*|\{([a-z][a-z0-9_]*)\}|[^*{}]+|[{}]")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]*")  # these are never encoded (RFC 3986, section 2.3)
_ENCODED = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})*")
_NEEDLESS = re.compile(r"%(?:2[DdEe]|3[0-9]|4[1-9A-Fa-f]|5[0-9AaFf]|6[1-9A-Fa-f]|7[0-9AaEe])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LONGEST_KEY_BYTES = 1024  # S3 user guide, "Naming Amazon S3 objects"
_NOBODY = frozenset({".", "..", "__HIVE_DEFAULT_PARTITION__"})  # Hive's own name for null


class TemplateError(ValueError):
    """The template cannot be told apart from others, or names nobody; the text says what to do."""


@dataclass(frozen=True)
class KeyTemplate:
    """A template and the kinds of identity that its placeholders may stand for.

    Raises TemplateError when it is made. Any other placeholder stands for one segment, as `*` does;
    `**` stands for the rest of the key, and so does a closing slash.
    """

    text: str
    identity_kinds: AbstractSet[str] = field(hash=False)

    def __post_init__(self) -> None:
        _ = self._pattern

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of identity that stand in the key, in its order."""
        names = (name for name in _names(self.text) if name in self.identity_kinds)
        return tuple(dict.fromkeys(names))

    @cached_property
    def before(self) -> str:
        """The literal part of every key, up to the first part that differs."""
        first = next(token for token in _TOKEN.finditer(self.text) if token[0][0] in "*{")
        return self.text[: first.start()]

    @cached_property
    def leads(self) -> bool:
        """Whether an identity follows at once on what all keys begin with."""
        return any(self.text.startswith(f"{{{kind}}}", len(self.before)) for kind in self.kinds)

    def key_of(self, value: str) -> str | None:
        """The one key that names this identity, written as it is, where there is only one."""
        if re.search(r"[*{]|/$", self._after) or not _UNRESERVED.fullmatch(value):
            return None
        return self.before + value + self._after

    @cached_property
    def _after(self) -> str:
        return self.text[self.text.index("}", len(self.before)) + 1 :]

    def identities_in(self, key: str) -> dict[str, str] | None:
        """The identity of each kind that a key names; None where the key is not of this template.

        None as well where one of them could name nobody, or one kind is named twice and otherwise.
        """
        found = self._pattern.fullmatch(key)
        if found is None:
            return None
        named: dict[str, str] = {}
        for kind, spelled in zip(self._spelled, found.groups(), strict=True):
            value = _read(spelled)
            if value is None or named.setdefault(kind, value) != value:
                return None
        return named

    def stems(self, value: str) -> tuple[str, ...]:
        """The prefixes under which all keys lie that name this identity first; it must lead.

        There are none where it could not stand in a key. Keys of others may lie there as well.
        """
        if not _nameable(value):
            return ()
        plain = _UNRESERVED.match(value)
        assert plain is not None  # noqa: S101 - it may match nothing, and always does
        head = self.before + plain[0]
        if plain.end() == len(value):
            literal = re.match(r"[^*{]*", self._after)
            return (head + (literal[0] if literal else ""),)
        sign = value[plain.end()]
        coded = quote(sign, safe="")[:3]
        raw = () if sign in "/%" else (sign,)
        return tuple(dict.fromkeys(head + way for way in (*raw, coded, coded.lower())))

    @cached_property
    def _spelled(self) -> tuple[str, ...]:
        """The kind of each group of the pattern."""
        return tuple(name for name in _names(self.text) if name in self.identity_kinds)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        segments = self.text.split("/")
        for number, segment in enumerate(segments, start=1):
            _check(segment, self.identity_kinds, last=number == len(segments))
        if not self._spelled:
            raise TemplateError(
                "no placeholder of the template is an identity that the collection takes: write"
                " {kind} where it stands, with the same kind under takes"
            )
        parts = (self._part(token) for token in _TOKEN.finditer(self.text))
        rest = ".*" if self.text.endswith("/") else ""
        return re.compile("".join(parts) + rest, re.DOTALL)

    def _part(self, token: re.Match[str]) -> str:
        if token[0] == "**":
            return ".*"
        if token[1] in self.identity_kinds:
            return "([^/]+)"
        return "[^/]*" if token[1] or token[0] == "*" else re.escape(token[0])


def derived_texts(text: str, derived: tuple[str, ...]) -> tuple[str, ...]:
    """The templates of what is derived from a template's objects, where that does not cover them.

    In `derived`, `{key}` is the object's key and `{stem}` the key without its last extension.
    """
    text = f"{text}**" if text.endswith("/") else text
    found = (derived_key(text, each) for each in derived)
    if text.endswith("**"):
        folder = text.removesuffix("**")
        return tuple(each for each in found if not each.startswith(folder))
    return tuple(found)


def derived_key(key: str, derived: str) -> str:
    """The key of what is derived from an object."""
    folder, slash, name = key.rpartition("/")
    start, dot, ending = name.rpartition(".")
    stem = start if start and dot and "}" not in ending else name
    return derived.replace("{key}", key).replace("{stem}", folder + slash + stem)


def derived_from(key: str, derived: str) -> str | None:
    """What of its origin's key stands in the key of something derived; None where it is not that.

    With `{stem}` it is the origin's key without its last extension.
    """
    before, place, after = derived.partition("{key}" if "{key}" in derived else "{stem}")
    if not (place and key.startswith(before) and key.endswith(after)):
        return None
    return key[len(before) : len(key) - len(after)]


def _names(text: str) -> list[str]:
    return [token[1] for token in _TOKEN.finditer(text) if token[1]]


def _check(segment: str, kinds: AbstractSet[str], *, last: bool) -> None:
    tokens = list(_TOKEN.finditer(segment))
    variables = [token for token in tokens if token[1] or token[0] in {"*", "**"}]
    if any(token[0] in {"{", "}"} for token in tokens):
        raise TemplateError("a placeholder is written {kind}: close it, in lower case")
    if any(token[0] == "**" for token in tokens) and not last:
        raise TemplateError("`**` stands for the rest of the key: write it in the last segment")
    if len(variables) > 1 and any(token[1] in kinds for token in variables):
        raise TemplateError(
            "an identity is one whole path segment, less what is written around it: nothing else in"
            " its segment may vary"
        )


def _read(spelled: str) -> str | None:
    """The one value that a segment stands for; None where it stands for none."""
    value = spelled
    if "%" in spelled:
        if not _ENCODED.fullmatch(spelled) or _NEEDLESS.search(spelled):
            return None
        raw = re.sub(
            rb"%([0-9A-Fa-f]{2})",
            lambda code: bytes([int(code[1], 16)]),
            spelled.encode("utf-8", "surrogateescape"),
        )
        try:
            value = raw.decode()
        except UnicodeDecodeError:
            return None
    return value if _nameable(value) else None


def _nameable(value: str) -> bool:
    """Whether a value could stand in a key at all."""
    if not value or value in _NOBODY or _CONTROL.search(value):
        return False
    try:
        return len(value.encode()) <= _LONGEST_KEY_BYTES
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
