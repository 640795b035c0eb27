"""The sentences of a certificate, made from what it states: the same for JSON and page.

In: a certificate's statement and the words of a language. Out: sentences. Each claims what was seen
and no more: by which path a system was read again and when, and all that nobody looked at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from dsr_worker.evidence.wording import Table, Words

DRY_RUN = "dry-run"
"""The path of a second look that asks what is left to change, where rows are meant to stay."""


def finding(system: Mapping[str, Any], words: Words, *, spelt: bool = False) -> str:
    """What the second look at one system gave; `spelt` writes instants in words."""
    say, requery, name = words.table("certificate"), system["requery"], system["system"]
    if requery is None:
        return say["counted"].format(system=name)
    kept = sum(k["rows"] for r in system["collections"] for k in r["kept"])
    at = requery["at"]
    values = {
        "system": name,
        "rows": requery["returned"],
        "path": words.say("path", requery["path"]),
        "when": words.instant(datetime.fromisoformat(at)) if spelt else at,
        "beside": say["beside"].format(kept=kept) if kept else "",
    }
    found = bool(requery["returned"])
    if requery["path"] == DRY_RUN:
        return say["left" if found else "nothing_left"].format(**values)
    return say["returned" if found else "not_returned"].format(**values)


def left_undone(part: Mapping[str, Any], words: Words, *, spelt: bool = False) -> str:
    """What is known of a system in which the request was not carried out to its end."""
    say, looked = words.table("certificate"), part["requery"]
    reason = words.say("left", part["code"])
    said = [say["left_at"].format(system=part["system"], reason=reason)]
    name = "left_not_located" if part["located"] is None else "left_located"
    said.append(say[name].format(rows=part["located"]))
    if part["begun"]:
        said.append(say["left_begun"].format(rows=sum(part["begun"].values())))
    if looked is not None:
        at = looked["at"]
        said.append(
            say["left_to_change" if looked["path"] == DRY_RUN else "left_there"].format(
                rows=looked["returned"],
                path=words.say("path", looked["path"]),
                when=words.instant(datetime.fromisoformat(at)) if spelt else at,
            )
        )
    return " ".join(said)


def not_covered(stated: Mapping[str, Any], words: Words) -> list[str]:
    """What the certificate does not speak of, one sentence each."""
    say = words.table("certificate")
    names = ", ".join(s["system"] for s in stated["systems"]) or say["no_system"]
    sentences = [say["scope"].format(systems=names), _backups(stated, words)]
    sentences += [say["not_derived"], say["not_logs"]]
    if stated["kind"] == "sweep":
        return sentences
    sentences += _not_asked(stated["not_asked"], say)
    if stated["contested"]:
        kinds = ", ".join(words.say("identity", kind) for kind in stated["contested"])
        sentences.append(say["not_contested"].format(kinds=kinds))
    are_found = bool(stated["mentions_left_for_a_human"])
    sentences.append(say["not_mentions_found" if are_found else "not_mentions"])
    return [*sentences, say["not_recipients"]]


def _not_asked(places: Sequence[str], say: Table) -> Iterator[str]:
    """Whole systems apart from collections (`system.collection`) of systems that were read."""
    systems = [place for place in places if "." not in place]
    if systems:
        yield say["not_asked"].format(systems=", ".join(systems))
    parts: dict[str, list[str]] = defaultdict(list)
    for system, dot, collection in (place.partition(".") for place in places):
        if dot:
            parts[system].append(collection)
    if parts:
        named = ", ".join(f"{system} ({', '.join(names)})" for system, names in parts.items())
        yield say["not_looked_in"].format(collections=named)


def _backups(stated: Mapping[str, Any], words: Words) -> str:
    say, own = words.table("certificate"), stated["backups"].strip()
    if not own:
        return say["not_backups"]
    return say["own_backups"].format(controller=stated["controller"], text=own)
