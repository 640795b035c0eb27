"""The sentences of a certificate, made from what it states: the same for JSON and page.

In: a certificate's statement and the words of a language. Out: sentences. Each claims what was seen
and no more: by which path a system was read again and when, and all that nobody looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from dsr_worker.evidence.wording import Words


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
    return say["returned" if requery["returned"] else "not_returned"].format(**values)


def not_covered(stated: Mapping[str, Any], words: Words) -> list[str]:
    """What the certificate does not speak of, one sentence each."""
    say = words.table("certificate")
    names = ", ".join(s["system"] for s in stated["systems"]) or say["no_system"]
    sentences = [say["scope"].format(systems=names), _backups(stated, words), say["not_logs"]]
    if stated["kind"] != "erasure":
        return sentences
    if stated["not_asked"]:
        sentences.append(say["not_asked"].format(systems=", ".join(stated["not_asked"])))
    if stated["contested"]:
        kinds = ", ".join(words.say("identity", kind) for kind in stated["contested"])
        sentences.append(say["not_contested"].format(kinds=kinds))
    return [*sentences, say["not_mentions"], say["not_recipients"]]


def _backups(stated: Mapping[str, Any], words: Words) -> str:
    say, own = words.table("certificate"), stated["backups"].strip()
    if not own:
        return say["not_backups"]
    return say["own_backups"].format(controller=stated["controller"], text=own)
