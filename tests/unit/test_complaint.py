"""Complaints: every move is in the table, nothing ends without a letter, the timetable counts."""

from __future__ import annotations

import string
from datetime import UTC, date, datetime
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from dsr_worker.documents import DocumentError
from dsr_worker.domain.calendar import Calendar
from dsr_worker.domain.complaint import (
    ENDED,
    TRANSITIONS,
    Event,
    MoveRefusedError,
    Outcome,
    Progress,
    Stage,
    State,
    Timetable,
    Topic,
    advance,
    diagram,
    legal_events,
    strictest,
    whole_period,
)
from dsr_worker.letters import LetterRefused, Sender, languages
from dsr_worker.letters.of_complaints import (
    ComplaintFacts,
    ComplaintLetter,
    composed_of_complaint,
    sentences,
)
from dsr_worker.organisation import read_organisation
from tests.unit.test_organisation import GOOD

DOCS = Path(__file__).resolve().parents[2] / "docs"
BERLIN = Calendar("DE")
TIMETABLE = Timetable(
    {
        Stage.ACKNOWLEDGE: whole_period("P3D"),
        Stage.RESOLVE: whole_period("P1M"),
        Stage.REFER: whole_period("P60D"),
        Stage.REST: whole_period("P1W"),
    }
)


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_a_move_is_in_the_table_or_refused(state: State, event: Event) -> None:
    """What the table does not name is refused with what is possible; what it names is done."""
    if (state, event) in TRANSITIONS:
        assert advance(Progress(state), event).state is TRANSITIONS[state, event]
        return
    with pytest.raises(MoveRefusedError, match="possible:"):
        advance(Progress(state), event)


def test_every_walk_to_the_end_passes_an_outcome_and_its_letter_or_a_withdrawal() -> None:
    """No path closes a complaint but through an investigation, an outcome and its letter."""
    seen: set[tuple[State, ...]] = set()

    def walk(progress: Progress, path: tuple[State, ...], events: tuple[Event, ...]) -> None:
        if progress.state in ENDED:
            seen.add(path)
            if progress.state is State.CLOSED:
                assert events[-2:] == (Event.RESOLVED, Event.DELIVERED)
                assert Event.INVESTIGATED in events
            else:
                assert events[-1] is Event.WITHDRAWN
            return
        for event in legal_events(progress):
            after = advance(progress, event)
            if path.count(after.state) < 2:
                walk(after, (*path, after.state), (*events, event))

    walk(Progress(), (State.RECEIVED,), ())
    assert {state for path in seen for state in path} == set(State)


def test_a_receipt_is_acknowledged_once_and_may_be_late() -> None:
    """The acknowledgement is owed until it left, also while the house is at work; never twice."""
    begun = advance(Progress(), Event.INVESTIGATED)
    told = advance(begun, Event.ACKNOWLEDGED)
    assert (told.state, told.acknowledged) == (State.INVESTIGATING, True)
    with pytest.raises(MoveRefusedError, match="already"):
        advance(told, Event.ACKNOWLEDGED)


def test_what_has_ended_moves_no_more() -> None:
    """A closed or withdrawn complaint is over; who complains again submits a new one."""
    assert all(not legal_events(Progress(state)) for state in ENDED)


def test_the_page_shows_the_table() -> None:
    """The published picture is made from the table and leaves nothing out."""
    assert diagram() in (DOCS / "complaints.md").read_text("utf-8")
    for (source, event), target in TRANSITIONS.items():
        (line,) = [x for x in diagram().splitlines() if x.startswith(f"    {source} --> {target}:")]
        assert event in line


def test_the_timetable_counts_from_the_day_of_receipt() -> None:
    """The day of receipt is not counted, in the zone of the house; months end as months do."""
    at = datetime(2026, 1, 30, 23, 30, tzinfo=UTC)  # the 31st in Berlin
    due = {s: TIMETABLE.due(s, at, "Europe/Berlin", BERLIN).due_on for s in Stage}
    assert due[Stage.ACKNOWLEDGE] == date(2026, 2, 3)
    assert due[Stage.RESOLVE] == date(2026, 2, 28)
    assert due[Stage.REFER] == date(2026, 4, 1)
    assert due[Stage.REST] == date(2026, 2, 7)


def test_of_house_and_law_the_sooner_counts() -> None:
    """Whoever promises less than the law keeps the law; whoever promises more keeps the promise."""
    at = datetime(2026, 3, 2, 9, tzinfo=UTC)
    dues = [TIMETABLE.due(stage, at, "Europe/Berlin", BERLIN) for stage in Stage]
    assert strictest(dues).conservative_due_on == date(2026, 3, 5)


@pytest.mark.parametrize("text", ["P0D", "P1M3D", "3 days", "PT5H", ""])
def test_a_period_is_days_or_months(text: str) -> None:
    """What no clock can count exactly is refused with what can be written."""
    with pytest.raises(ValueError, match=r"P3D|P30D"):
        whole_period(text)


_TIMES = "acknowledge_within: P3D, resolve_within: P30D, refer_after: P60D, rest_at_most: P7D"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (GOOD[GOOD.index("complaints:") : GOOD.index("information:")], "", "acknowledge_within:"),
        ("rest_at_most: P7D,\n", "\n", "rest_at_most"),
        ("acknowledge_within: P3D, ", "", "acknowledge_within"),
        ("resolve_within: P30D, ", "", "resolve_within"),
        ("refer_after: P60D, ", "", "refer_after"),
        ("resolve_within: P30D", "resolve_within: P2D", "not longer than"),
        ("refer_after: P60D", "refer_after: P20D", "not longer than"),
        ("acknowledge_within: P3D", "acknowledge_within: P1M3D", "days or months"),
        ('{DE: "Conciliation, Kehl", GB: "Ombudsman, London", US: "Bureau, Arlington"}', "{}", "1"),
    ],
)
def test_the_timetable_is_mandatory(old: str, new: str, says: str) -> None:
    """Nothing of the timetable has a default: what is missing is told with file, line, remedy."""
    assert old in GOOD
    with pytest.raises(DocumentError, match=r"^o\.yaml:\d+: ") as error:
        read_organisation(GOOD.replace(old, new, 1), "o.yaml")
    assert says in str(error.value)


# ---- letters

SENDER = Sender("Laden GmbH", "Weg 1\n10115 Berlin", "privacy@laden.example")


def _facts(about: ComplaintLetter, **more: Any) -> ComplaintFacts:
    given: dict[str, Any] = {
        "topic": Topic.REFUND,
        "body": "Ombudsman, Kehl",
        "authority": "Authority of Berlin",
        **more,
    }
    return ComplaintFacts(
        about=about,
        ref="K-2026-000007",
        sender=SENDER,
        written_on=date(2026, 11, 22),
        received_on=date(2026, 11, 20),
        due_on=date(2026, 12, 20),
        **given,
    )


def test_letters_speak_the_languages_of_all_letters() -> None:
    """A language has every sentence with the same blanks, or it is none."""

    def shape(texts: Any) -> Any:
        if isinstance(texts, str):
            return {name for _, name, _, _ in string.Formatter().parse(texts) if name}
        return {key: shape(part) for key, part in texts.items()}

    assert set(sentences()) == set(languages())
    english = shape(dict(sentences()["en"]))
    assert all(shape(dict(texts)) == english for texts in sentences().values())


@pytest.mark.parametrize("language", sorted(languages()))
@pytest.mark.parametrize("topic", list(Topic))
@pytest.mark.parametrize("outcome", list(Outcome))
def test_an_outcome_says_why_what_follows_and_where_else_to_turn(
    language: str, topic: Topic, outcome: Outcome
) -> None:
    """The letter has the outcome, places for reasons and consequences, and every way further."""
    facts = _facts(ComplaintLetter.OUTCOME, topic=topic, outcome=outcome)
    letter = composed_of_complaint(facts, language)
    assert sentences()[language]["outcome"][outcome] in letter.text
    assert letter.to_complete == 2
    for told in ("K-2026-000007", "Ombudsman, Kehl", "Authority of Berlin", SENDER.contact):
        assert told in letter.text
    assert "{" not in letter.text


@pytest.mark.parametrize("language", sorted(languages()))
def test_a_body_that_the_timetable_does_not_name_is_a_place_to_complete(language: str) -> None:
    """Nobody is told of no way further: what the house has not named, a person writes."""
    facts = _facts(ComplaintLetter.OUTCOME, outcome=Outcome.SETTLED, body=None)
    letter = composed_of_complaint(facts, language)
    assert letter.to_complete == 3
    assert sentences()[language]["no_body"] in letter.text


@pytest.mark.parametrize("language", sorted(languages()))
@pytest.mark.parametrize("before", ["body", "authority"])
def test_a_letter_says_before_whom_a_complaint_is_already(language: str, before: str) -> None:
    """Nobody is told that they may turn where their complaint lies; the other way stays open."""
    facts = _facts(ComplaintLetter.OUTCOME, outcome=Outcome.NOT_UPHELD, referred_to=before)
    text, said = composed_of_complaint(facts, language).text, sentences()[language]["sentence"]
    names = {"body": "Ombudsman, Kehl", "authority": "Authority of Berlin"}
    assert said["referred"].format(body=names[before]) in text
    for name in names.values():
        assert text.count(name) == 1


@pytest.mark.parametrize("language", sorted(languages()))
def test_an_acknowledgement_says_until_when_and_what_is_held(language: str) -> None:
    """The receipt is told with the day of the outcome; what is held, only where it is."""
    held = sentences()[language]["sentence"]["held"]
    plain = composed_of_complaint(_facts(ComplaintLetter.ACKNOWLEDGEMENT), language)
    disputed = composed_of_complaint(_facts(ComplaintLetter.ACKNOWLEDGEMENT, held=True), language)
    assert held in disputed.text
    assert held not in plain.text
    assert plain.to_complete == 0


def test_no_outcome_is_told_before_it_is_decided() -> None:
    """A letter about an open outcome is refused with the command that decides it."""
    with pytest.raises(LetterRefused, match="dsr complaint resolve"):
        composed_of_complaint(_facts(ComplaintLetter.OUTCOME), "en")
