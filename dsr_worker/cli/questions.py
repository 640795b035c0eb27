"""What a person has to settle before a job goes on, as a question with its possible answers.

In: where a job stopped, as codes, places and counts. Out: sentences. They name no value: who is
meant is looked up where the rows are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dsr_worker.ledger.reports import Stop

_QUESTIONS: Mapping[str, str] = {
    "several_people": (
        "who is meant? A name of this request leads to more than one person in {places}. Compare"
        " the rows there with what the requester can tell, then give a name that only the right"
        " person has, such as their customer number: `dsr choose {case} customer_number=-` reads it"
        " from stdin. If both are the same person, who registered again, choose one and submit a"
        " further request for the other. If nobody can tell, `dsr refuse {case} --ground CODE`."
        " Until then nothing is handed out or erased, and the clocks go on."
    ),
    "too_many_identities": (
        "is this one person? {system} gives more names for it than one person has. Look for a"
        " shared phone or address in the mapped `yields`, correct data or map, then"
        " `dsr retry {case}`."
    ),
    "correction_refused": (
        "what is to stand in {places}? The store refuses the value asked for: its type, its length"
        " or a rule there forbids it. Where the store is wrong, mend it, then `dsr retry {case}`;"
        " where the request is, `dsr withdraw {case}` and submit it anew with another value."
    ),
    "corrections_contradict": (
        "what is to stand in {places}? Two people share a row there and ask for different values."
        " Settle it with them, `dsr withdraw` one of the requests, then `dsr retry {case}`."
    ),
    "correction_not_granted": (
        "may {places} be put right? Nothing in the data map gives the role the right to change it,"
        " perhaps because the law keeps it as it is. If it may, GRANT UPDATE on the column, then"
        " `dsr retry {case}`; if not, `dsr refuse {case} --ground CODE`."
    ),
    "unmapped_rows_left": (
        "whose are these {rows} row(s)? In {places}, outside the data map, a column still holds the"
        " key of what was erased. Erase them there and `dsr retry {case}`; then map the table, so"
        " that the next case erases it by itself."
    ),
}


def known(code: str) -> bool:
    """Whether a code is put as a question."""
    return code in _QUESTIONS


def put(case: str, stops: Iterable[Stop]) -> list[dict[str, Any]]:
    """A question for each stop that is one: its code, where it arose, a sentence with commands."""
    return [_put(case, stop) for stop in stops if stop.code in _QUESTIONS]


def _put(case: str, stop: Stop) -> dict[str, Any]:
    places = _places(stop)
    text = _QUESTIONS[stop.code].format(
        case=case,
        system=stop.system,
        places=", ".join(places),
        rows=stop.details.get("rows", 0),
    )
    asked = {"system": stop.system, "action": stop.action, "code": stop.code, "places": places}
    return {**asked, "text": text}


def _places(stop: Stop) -> list[str]:
    details = stop.details
    if "field" in details:
        return [f"{stop.system}.{details['collection']}.{details['field']}"]
    return details.get("collections") or details.get("places") or [stop.system]
