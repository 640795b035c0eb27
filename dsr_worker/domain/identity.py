"""The one canonicaliser: what a person's e-mail, phone or number is equal to."""
from __future__ import annotations


def canonical_stored(kind: str, value: str) -> str | None:
    """The canonical form of a value found in a store; None where it names nobody."""
    text = value.strip()
    if not text:
        return None
    if kind == "email":
        return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in text)
    return text
