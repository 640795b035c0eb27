"""What to do where a job's work stopped or waits, by the reason's code.

In: where a job stands, from the ledger. Out: each place with what was met there and a sentence that
says what helps. What a person has to decide is a question instead (`questions.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dsr_worker.ledger.reports import Stop

_AGAIN = "then `dsr retry {case}`"
_MAP = "Where the map was wrong, mend it first: approved work is then planned anew"
_BY_WORD = "or settle who it is by your own word: `dsr verify {case} --attest METHOD`"

_REMEDIES: Mapping[str, str] = {
    "permanent": (
        f"{{system}} refused it and would again: mend there what the error names, {_AGAIN}. {_MAP}"
    ),
    "configuration": (
        "set-up, rights, map and {system} disagree: `dsr connectors check {system}` says where;"
        f" mend it, {_AGAIN}. {_MAP}"
    ),
    "quarantined": (
        "it failed or lost its worker three times, alone, and is left out so that others go on:"
        f" see the error and the workers' log, mend the cause, {_AGAIN}"
    ),
    "not_openable": (
        "what this step starts from cannot be opened: restore the key ring or the store from"
        f" their backup, {_AGAIN}"
    ),
    "may_have_happened": (
        "its worker died while a mail left: find out whether it arrived;"
        " `dsr retry {case}` sends it again"
    ),
    "transient": "nothing: it is tried again by itself; the case's clock goes on and warns",
    "fault": "nothing yet: it is tried again by itself, and after three failures alone it stops",
    "mail_transient": (
        "the mail server does not take mail: mend `smtp` in organisation.yaml or the server,"
        f" {_AGAIN}; {_BY_WORD}"
    ),
    "mail_refused": (
        "the mail server refuses the address on file or this sender: mend what it is,"
        f" {_AGAIN}; {_BY_WORD}"
    ),
    "mail_unknown": (
        "the connection to the mail server was lost while the mail travelled: it may have"
        " arrived. `dsr verify {case} --code N` if it did, `dsr retry {case}` if not;"
        f" {_BY_WORD}"
    ),
}


def put(case: str, stops: Iterable[Stop]) -> list[dict[str, Any]]:
    """Every place where work stopped or waits: what was met there, and what helps (or None)."""
    return [
        {
            "system": stop.system,
            "action": stop.action,
            "state": stop.state,
            "code": stop.code,
            "error": stop.error or None,
            "remedy": _remedy(case, stop),
        }
        for stop in stops
    ]


def _remedy(case: str, stop: Stop) -> str | None:
    found = _REMEDIES.get(stop.code)
    return found.format(case=case, system=stop.system) if found else None
