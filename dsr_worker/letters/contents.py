"""What a refusal must contain: each code of a law pack, and the sentence that says it.

Many laws ask for the same thing under the names of their own authorities, so several codes share a
sentence. A code without a sentence refuses the letter: nothing that a law asks for is left out in
silence.
"""

from __future__ import annotations

from collections.abc import Mapping


class LetterRefused(ValueError):  # noqa: N818 - reads as what happened
    """This letter cannot be written; the text says why and what is possible."""


REASONS = "reasons"
REST_DONE = "rest_done"
APPEAL = "appeal"
DEADLINE = "deadline"
CHANNEL = "channel"
REVIEW = "review_by_professional"
RECOURSE = "recourse"
AUTHORITY = "complaint_to_authority"
FORBIDDEN = "none_allowed"
"""The law lets nobody refuse this: no refusal is written."""

_CODES: Mapping[str, tuple[str, ...]] = {
    REASONS: (
        "basis_in_plain_language",
        "basis_under_state_law",
        "in_writing_or_electronically",
        "justification",
        "legal_or_contractual_restriction",
        "notice_in_writing",
        "provision",
        "reasons",
        "reasons_in_writing",
        "refusal",
        "refusal_in_writing",
        "relevant_reasons",
    ),
    REST_DONE: ("access_to_the_rest", "part_not_subject_to_exception_done"),
    APPEAL: ("appeal_instructions",),
    DEADLINE: ("time_limit_of_remedy",),
    AUTHORITY: (
        "complaint_to_aaip",
        "complaint_to_anpd",
        "complaint_to_attorney_general",
        "complaint_to_authority",
        "complaint_to_commissioner",
        "complaint_to_data_office",
        "complaint_to_hhs",
        "complaint_to_ico",
        "complaint_to_information_regulator",
        "complaint_to_npc",
        "complaint_to_opc",
        "complaint_to_privacy_commissioner",
        "complaint_to_sdaia",
        "complaint_to_supervisory_authority",
        "complaint_to_the_board",
    ),
    "complaint_to_expert_committee": ("complaint_to_expert_committee",),
    "complaint_to_us": (
        "complaint_mechanisms",
        "complaint_to_controller",
        "complaint_to_entity",
        "grievance_redress",
        "how_to_object",
    ),
    "contact_point": ("contact_point",),
    "consequences": ("likely_consequences",),
    "decided_without_delay": ("decision_without_delay",),
    "dispute_noted": ("note_of_dispute_where_accuracy_is_open",),
    "evidence": ("evidence_if_any",),
    "fraud": ("reason_for_belief_of_fraud",),
    "goes_with_disclosures": ("request_goes_with_future_disclosures",),
    "habeas_data": ("habeas_data_action",),
    "judicial_remedy": ("court", "court_application", "judicial_remedy", "lawsuit"),
    "kept_for_nothing_else": ("kept_data_not_used_otherwise",),
    "not_feasible": ("technically_not_feasible",),
    "not_the_controller": ("not_the_controller_if_so",),
    "offer_of_opt_out": ("offer_of_opt_out",),
    "opinion_noted": ("note_of_the_opinion",),
    RECOURSE: ("recourse_under_part_1",),
    "review_by_authority": ("remedy_before_cai", "review_by_commissioner"),
    REVIEW: ("review_rights",),
    "statement": (
        "statement_can_be_attached",
        "statement_of_correction_can_be_attached",
        "statement_of_disagreement",
        "statement_of_the_person_can_be_attached",
    ),
    "status": ("status_deleted", "status_exempt", "status_not_found", "status_opted_out"),
}
SENTENCES: Mapping[str, str] = {code: key for key, codes in _CODES.items() for code in codes}
"""Code of a law pack -> key of its sentence."""

TO_AUTHORITY = frozenset(
    {AUTHORITY, "complaint_to_expert_committee", RECOURSE, "review_by_authority"}
)
"""Sentences that name the authority of the case."""
REMEDIES = TO_AUTHORITY | {APPEAL, REVIEW, "complaint_to_us", "habeas_data", "judicial_remedy"}
"""Sentences that say what the person can do against the answer."""


def place(key: str) -> int:
    """Where a sentence stands: what was decided, then what can be done against it, by when."""
    if key == DEADLINE:
        return 2
    return int(key in REMEDIES or key == CHANNEL)


def sentence_of(code: str) -> str:
    """The key of the sentence for a code. Raises LetterRefused for one that has none."""
    if code == FORBIDDEN:
        message = (
            "the law of this case lets nobody refuse such a request: do what the person asks, or"
            " record with `dsr withdraw` that they asked no longer"
        )
        raise LetterRefused(message)
    if code not in SENTENCES:
        message = (
            f"the law asks for `{code}` in a refusal and no letter has a sentence for it: write"
            " this one by hand, and add the code in dsr_worker/letters/contents.py"
        )
        raise LetterRefused(message)
    return SENTENCES[code]
