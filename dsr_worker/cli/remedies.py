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
_ANEW = "submit the request anew with the day on which it came (`--received`)"
_END = "`dsr withdraw {case}` or `dsr refuse {case} --ground CODE`"
_BY_WORD = "or settle who it is by your own word: `dsr verify {case} --attest METHOD`"

_CANNOT: Mapping[str, str] = {
    "cannot_rectify": (
        "the connector of {system} cannot put right, and retrying does not change that; nothing was"
        " changed anywhere. Put it right there by hand and tell the person so; then `dsr withdraw"
        f" {{case}}` and, where other systems are to be put right too, {_ANEW}, without the"
        " corrections in {system}. If nothing is to be put right, `dsr refuse {case} --ground CODE`"
    ),
    "cannot_erase": (
        "the connector of {system} cannot erase, and retrying does not change that; nothing was"
        " changed anywhere. Erase there by hand, take the system out of the data map, `dsr withdraw"
        f" {{case}}` and {_ANEW}; or `dsr refuse {{case}} --ground CODE`"
    ),
    "cannot_sweep": (
        "the connector of {system} cannot sweep, and retrying does not change that: map classes"
        " that no policy limits there; `dsr sweep abandon {case}`"
    ),
}
_OF_CONNECTORS: Mapping[str, str] = {
    "sweep_brake": (
        "more is due in {system} than the sweep may touch ({seen}), so it stopped there: see"
        " `dsr sweep status {case}`, then `dsr sweep again {case}` or `dsr sweep abandon {case}`"
    ),
    "helpdesk_agent": (
        "an agent or administrator of {system} is meant, whose name stands in other people's"
        f" tickets: make them an end user there if they left, {_AGAIN}; or {_END}"
    ),
    "helpdesk_too_many_matches": (
        "{system} finds more candidates than it lists ({seen}), so nobody can be told apart:"
        f" `dsr withdraw {{case}}` and {_ANEW} with the number of their user there"
    ),
    "helpdesk_user_in_use": (
        "tickets that came after the plan keep {system} from deleting the user: erase them there,"
        f" {_AGAIN}; or `dsr leave {{case}}`, then a new request"
    ),
    "rules_changed": (
        "somebody changed the rules of {system}'s own store meanwhile, and nothing was written:"
        " look at them with `dsr retention rules {system}`, then `--apply`; `dsr explain {case}`"
    ),
    "rules_differ": (
        "the rules of {system}'s own store read back otherwise than they were written: somebody"
        " wrote at the same time; look with `dsr retention rules {system}`; `dsr explain {case}`"
    ),
    "s3-lifecycle-unreadable": (
        "the lifecycle rules in {system} cannot be told apart, and nothing was written ({seen}):"
        " see whether another tool can read them; `dsr explain {case}`"
    ),
    "s3-unreadable-object": (
        "an object in {system} is not what its map says ({seen}; the object as a keyed digest):"
        f" mend or move it, or the collection's `format`, {_AGAIN}"
    ),
    "s3-table-format": (
        "objects in {system} belong to a table ({seen}) and cannot be changed one by one: map it by"
        f" `layout: table`, or erase there by the table's own tools, {_AGAIN}. {_MAP}"
    ),
    "s3-table-unsupported": (
        "a table in {system} has something by which rows could be missed ({seen}): end it there"
        f" (compact, drop tags, rewrite under one name of each column), {_AGAIN}"
    ),
    "s3-table-mask": (
        "columns of a table in {system} do not take the map's mask ({seen}): choose one that fits"
        f" their type, whole columns only, {_AGAIN}. {_MAP}"
    ),
    "s3-table-refused": (
        "the library of a table in {system} refused the change ({seen}), and nothing is changed:"
        f" see by the table's own tools what hinders it, {_AGAIN}"
    ),
    "s3-archived-object": (
        f"an object in {{system}} lies in an archive ({{seen}}): restore it there, {_AGAIN}"
    ),
    "s3-customer-key": (
        "an object in {system} is under a customer's own key ({seen}): put it into the system's"
        f" config as `sse_customer_key`, by reference, {_AGAIN}"
    ),
    "s3-access-denied": (
        "{system} does not let the worker do this ({seen}): `dsr connectors check {system}` says"
        f" which rights are missing; grant them, {_AGAIN}"
    ),
    "s3-refused": f"{{system}} refused this ({{seen}}): mend the bucket's set-up, {_AGAIN}",
}

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
    "pending_remote": "nothing: {system} works on it still, and it is looked at again by itself",
    "in_units": "nothing: workers share the reading of {system}; it goes on after the last part",
    "not_approved": "its approval is void: `dsr plan {case}`, then `dsr approve {case}`",
    "map_unreviewed": (
        "the map of {system} still carries `review`: look at what it marks, take the marks out,"
        f" {_AGAIN} (a sweep: `dsr sweep again {{case}}`)"
    ),
    "collection_unmapped": (
        "the map of {system} lacks a place of this case by now ({seen}): map it again,"
        f" {_AGAIN}; or {_END}"
    ),
    "kept_without_day": (
        "rows in {system} stay by a statutory minimum and have no date from which it counts: give"
        f" them one there, or map another clock, {_AGAIN}"
    ),
    "package_refused": (
        f"what was found cannot be in a package ({{seen}}): mend it in the system or the map,"
        f" {_AGAIN}, which finds anew"
    ),
    "attachment_too_large": (
        "a file is larger than a package takes ({seen}): hand it over by other means, take it out"
        f" of {{system}} or its map, `dsr withdraw {{case}}` and {_ANEW}"
    ),
    **_CANNOT,
    **_OF_CONNECTORS,
}

_OF_JOBS: Mapping[str, str] = {
    "found_again": (
        "rows that were reported done were found again three times: find out what writes them back"
        " (a job of the shop, a copy that is restored) and stop it, then `dsr retry {case}`; or"
        " `dsr leave {case}`, which says in the certificate what is left"
    ),
    "identity_unanswered": (
        "the person was asked who they are, and the time for it is over: ask again (`dsr verify"
        " {case} --send-code`, or a letter and `dsr verify {case} --asked`), take your own word"
        " (`dsr verify {case} --attest METHOD`), or refuse on the ground that the law names for"
        " whom nobody can identify (`dsr refuse {case} --ground CODE`, by its law such as"
        " ANY_NOT_IDENTIFIABLE, CA_NOT_VERIFIED, US_NOT_AUTHENTICATED); an answer that comes late"
        " is taken as ever"
    ),
    "promise_exceeded": (
        "more rows are there by now than this promise was made for: submit an erasure of the same"
        " person, then `dsr retry {case}`"
    ),
    "promise_unopenable": (
        "what was promised cannot be opened: restore the key ring from its backup, then"
        " `dsr retry {case}`"
    ),
    "system_unmapped": (
        "the data map lacks a system of this case by now: map it again, or go on without it where"
        " nothing was changed: `dsr retry {case}` does either; or `dsr leave {case}`"
    ),
    "map_unreviewed": (
        "a map of this case carries `review`: look at what it marks, take the marks out,"
        " then `dsr retry {case}`"
    ),
    "access_unfinished": (
        "an access of the person was not handed over, or not wholly: `dsr status` shows it;"
        " `dsr retry {case}` erases without waiting for it any longer"
    ),
}
"""Where a job stopped as a whole, in no system."""

NEVER_BY_RETRY = frozenset(_CANNOT)
"""Codes of stops that a repeat meets again until somebody has done something else."""


def known(code: str) -> bool:
    """Whether there is a remedy for a code."""
    return code in _REMEDIES


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


def of_job(case: str, code: str) -> list[dict[str, Any]]:
    """The same where a job as a whole waits for a person: by its phase, or nothing."""
    if code not in _OF_JOBS:
        return []
    remedy = _OF_JOBS[code].format(case=case)
    return [
        {
            "system": None,
            "action": None,
            "state": "needs_human",
            "code": code,
            "error": None,
            "remedy": remedy,
        }
    ]


def _remedy(case: str, stop: Stop) -> str | None:
    found = _REMEDIES.get(stop.code)
    seen = ", ".join(f"{name} {value}" for name, value in sorted(stop.details.items()))
    return (
        found.format(case=case, system=stop.system, seen=seen or "see the log") if found else None
    )
