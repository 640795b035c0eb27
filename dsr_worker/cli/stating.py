"""What a request asks to have put right, from a file or stdin: never from the command line.

In: `--corrections` beside the options that name a person. Out: identities and corrections as they
are stated. A process list and a shell's history show neither old values nor new ones; a refusal
quotes none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dsr_worker.cli.faults import usage
from dsr_worker.cli.values import identities_of, once, stated, stdin_text, utf8
from dsr_worker.contract import Correction
from dsr_worker.fulfil.correcting import Stated

_MOST_BYTES = 1024 * 1024
_KEYS = frozenset({"system", "collection", "field", "value", "was"})
_FORM = '[{"system": "…", "collection": "…", "field": "…", "value": "…", "was": "…"}]'


def asked(options: Mapping[str, Any]) -> tuple[list[tuple[str, str]], tuple[Stated, ...]]:
    """Who asks, and what is to be put right. Raises Fault.

    Where both come from stdin it holds one object: `{"identities": {…}, "corrections": […]}`.
    """
    source = options.get("correction_source")
    if source is None:
        return stated(options), ()
    if source != "-":
        return stated(options), from_text(_read(Path(source)), "--corrections")
    if options.get("identity_source") is None:
        return stated(options), from_text(stdin_text(), "stdin")
    plain = _parsed(stdin_text(), "stdin")
    if not isinstance(plain, dict) or set(plain) != {"identities", "corrections"}:
        raise usage('with both from stdin it holds {"identities": {…}, "corrections": […]}')
    named = stated({**options, "identity_source": None})
    return [*named, *identities_of(plain["identities"])], _listed(plain["corrections"], "stdin")


def from_text(text: str, what: str) -> tuple[Stated, ...]:
    """Corrections from a JSON list. Raises Fault, which quotes nothing of it."""
    return _listed(_parsed(text, what), what)


def _read(file: Path) -> str:
    try:
        with file.open("rb") as source:
            return utf8(source, "the file of --corrections", _MOST_BYTES)
    except OSError:
        raise usage("--corrections names no file that can be read; - reads stdin") from None


def _parsed(text: str, what: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError):
        raise usage(f"{what} holds no corrections; write {_FORM}") from None


def _listed(plain: Any, what: str) -> tuple[Stated, ...]:
    if not isinstance(plain, list) or not plain:
        raise usage(f"{what} holds no list of corrections; write {_FORM}")
    return tuple(_stated(part, f"correction {n} of {what}") for n, part in enumerate(plain, 1))


def _stated(part: Any, what: str) -> Stated:
    if not isinstance(part, dict) or not _KEYS - {"was"} <= set(part) <= _KEYS:
        raise usage(f"{what} names system, collection, field and value, and may say what was there")
    names = [part[key] for key in ("system", "collection", "field")]
    texts = [part["value"], part.get("was")]
    if not all(isinstance(name, str) for name in names):
        raise usage(f"{what}: system, collection and field are texts")
    if not all(text is None or isinstance(text, str) for text in texts):
        raise usage(f"{what}: value and was are texts, or null: write numbers in quotes too")
    system, collection, field = names
    return Stated(system, collection, Correction(field, *texts))
