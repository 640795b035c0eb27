"""The states of a case: what can follow what."""

from __future__ import annotations

from collections import deque

import pytest

from dsr_worker.domain.request import (
    ANSWER_STATE,
    CARRIED_OUT,
    ENDED,
    TRANSITIONS,
    Event,
    Kind,
    KindRefusedError,
    Progress,
    State,
    TransitionRefusedError,
    Verdict,
    advance,
    after_appeal,
    diagram,
    kind_of,
    legal_events,
)

Trail = tuple[Progress, bool, bool]


def _walk(kind: Kind) -> dict[Trail, list[Event]]:
    """Every progress that can be reached, with whether verified and approved since, and a way."""
    first: Trail = (Progress(kind), False, False)
    found: dict[Trail, list[Event]] = {first: []}
    queue = deque([first])
    while queue:
        trail = queue.popleft()
        progress, verified, approved = trail
        for event in legal_events(progress.state):
            after = advance(progress, event)
            unverifies = event is Event.VERIFICATION_STARTED
            voids = event in {Event.APPROVAL_VOIDED, Event.RESOLVE_AGAIN}
            if progress.state is State.APPEALED and event is not _follows(event, verified):
                continue  # what is granted to a person who is not verified begins there
            reached: Trail = (
                after,
                (verified or event is Event.IDENTITY_VERIFIED) and not unverifies,
                (approved or event is Event.APPROVED) and not voids and not unverifies,
            )
            if reached not in found:
                found[reached] = [*found[trail], event]
                queue.append(reached)
    return found


def _follows(event: Event, verified: bool) -> Event:  # noqa: FBT001 - of one trail
    begins = {Event.RESOLVE_AGAIN, Event.VERIFICATION_STARTED}
    granted = after_appeal(Verdict.GRANTED, is_verified=verified, can_begin=True)
    return granted if event in begins else event


@pytest.mark.parametrize("kind", sorted(CARRIED_OUT))
def test_no_way_to_work_without_verification_and_approval(kind: Kind) -> None:
    """However a case is stopped and resumed, work begins verified and approved (T27)."""
    past = {State.WORKING, ANSWER_STATE[kind], State.READY}
    reached = _walk(kind)
    assert {progress.state for progress, _, _ in reached} >= past
    for (progress, verified, approved), way in reached.items():
        if progress.state in past or progress.stopped_in in past:
            assert verified, way
            assert approved, way


@pytest.mark.parametrize("kind", sorted(CARRIED_OUT))
def test_every_open_case_can_end(kind: Kind) -> None:
    """From every progress that can be reached there is a way to an end."""
    for progress, _, _ in _walk(kind):
        assert _can_end(progress), progress


def _can_end(start: Progress) -> bool:
    seen, queue = {start}, deque([start])
    while queue:
        progress = queue.popleft()
        if progress.state in ENDED:
            return True
        for event in legal_events(progress.state):
            after = advance(progress, event)
            if after not in seen:
                seen.add(after)
                queue.append(after)
    return False


def test_ended_cases_stay_ended() -> None:
    """Nothing moves a withdrawn case, and nothing but an appeal a closed one."""
    moved = {(source, event) for source, event in TRANSITIONS if source in ENDED}
    assert moved == {(State.CLOSED, Event.APPEALED)}


@pytest.mark.parametrize("verdict", Verdict)
@pytest.mark.parametrize("is_verified", [True, False])
def test_what_cannot_begin_anew_is_owed_a_letter(
    verdict: Verdict,
    is_verified: bool,  # noqa: FBT001 - pytest gives it by name
) -> None:
    """A verdict leads to a move that is legal, and a dismissal to its letter whatever is held."""
    for can_begin in (True, False):
        follows = after_appeal(verdict, is_verified=is_verified, can_begin=can_begin)
        assert follows in legal_events(State.APPEALED)
        owed = verdict is Verdict.DISMISSED or not can_begin
        assert (follows is Event.APPEAL_DECIDED) == owed


@pytest.mark.parametrize("kind", sorted(CARRIED_OUT))
def test_resuming_leads_back_to_where_it_stopped(kind: Kind) -> None:
    """A stop is no shortcut: the case goes on exactly where it stood."""
    for progress, _, _ in _walk(kind):
        if Event.STOPPED in legal_events(progress.state):
            stopped = advance(progress, Event.STOPPED)
            assert stopped.state is State.NEEDS_HUMAN
            assert advance(stopped, Event.RESUMED) == progress


def test_a_clock_is_not_met_by_making_the_answer() -> None:
    """Between the answer and the end lies its delivery, for refusals too."""
    ready = Progress(Kind.ACCESS, State.READY)
    with pytest.raises(TransitionRefusedError, match="possible: delivered"):
        advance(ready, Event.CLOSED)
    refused = advance(Progress(Kind.ACCESS), Event.REFUSED)
    assert legal_events(refused.state) == {Event.DELIVERED}


def test_an_answer_under_way_is_not_withdrawn_in_passing() -> None:
    """Approved work may still be ended; once its answer is being made only a stop leads out."""
    working = Progress(Kind.ERASURE, State.WORKING)
    assert advance(working, Event.WITHDRAWN).state is State.WITHDRAWN
    certifying = advance(working, Event.WORK_DONE)
    with pytest.raises(TransitionRefusedError):
        advance(certifying, Event.WITHDRAWN)
    stopped = advance(certifying, Event.STOPPED)
    assert advance(stopped, Event.WITHDRAWN).state is State.WITHDRAWN


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("access", Kind.ACCESS),
        (" Erasure ", Kind.ERASURE),
        ("deletion", Kind.ERASURE),
        ("rectification", Kind.RECTIFICATION),
        ("restriction", Kind.RESTRICTION),
        ("complaint", Kind.COMPLAINT),
    ],
)
def test_kinds_by_name(text: str, kind: Kind) -> None:
    """Kinds are taken by name, and `deletion` means erasure."""
    assert kind_of(text) is kind


@pytest.mark.parametrize("text", ["objection", "portability", "delete all", ""])
def test_kinds_not_carried_out_name_those_that_are(text: str) -> None:
    """A kind that is unknown or not carried out yet is refused with the list of those that are."""
    with pytest.raises(KindRefusedError, match="access, complaint, erasure"):
        kind_of(text)


@pytest.mark.parametrize(
    ("state", "stopped_in"),
    [
        (State.WORKING, State.WORKING),
        (State.NEEDS_HUMAN, None),
        (State.NEEDS_HUMAN, State.CLOSED),
        (State.NEEDS_HUMAN, State.NEEDS_HUMAN),
    ],
)
def test_the_memory_of_a_stop_fits_the_state(state: State, stopped_in: State | None) -> None:
    """A stop without its place, or a place without a stop, is refused."""
    with pytest.raises(ValueError, match="does not fit"):
        Progress(Kind.ACCESS, state, stopped_in)


def test_the_diagram_shows_every_state_and_move() -> None:
    """The published picture is made from the table and leaves nothing out."""
    text = diagram()
    assert text == diagram()
    for (source, event), targets in TRANSITIONS.items():
        for target in targets:
            (line,) = [x for x in text.splitlines() if x.startswith(f"    {source} --> {target}:")]
            assert event in line
