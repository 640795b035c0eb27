"""No step stops without saying what helps."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import dsr_worker
from dsr_worker.cli import questions, remedies
from dsr_worker.engine.context import MAP_UNREVIEWED
from dsr_worker.fulfil.planning import SYSTEM_UNMAPPED
from dsr_worker.fulfil.promises import UNOPENABLE
from dsr_worker.fulfil.verbs import DONE_BY
from dsr_worker.ledger.reports import Stop
from dsr_worker.notify.mail import Sent

_ROOT = Path(dsr_worker.__file__).parent.parent
_ROOMS = ("dsr_worker", "connectors")
_STATES = frozenset({"ready", "leased", "done", "waiting", "needs_human", "failed", "cancelled"})
_TOLD = frozenset(doing.cannot for doing in DONE_BY.values() if doing.cannot)
_WORKED_OUT = {  # expressions that are no constant: which codes they can be
    ("dsr_worker.fulfil.verbs", "self.cannot"): _TOLD,
    ("dsr_worker.fulfil.locating", "min(filter(None, stops))"): _TOLD,
    ("dsr_worker.fulfil.changing", "code"): _TOLD,
    ("dsr_worker.fulfil.resolving", "code"): {"several_people", "too_many_identities"},
    ("dsr_worker.engine.drain", "code"): {"configuration", "not_openable"},
    ("dsr_worker.engine.batch", "code"): set(),  # handed on by `_stop` and `_wait`
    ("dsr_worker.engine.batch", "stop.code"): set(),  # a connector's own
    ("connectors.s3.connector", "stop.code"): set(),  # its rooms'
    ("dsr_worker.engine.batch", "error.code"): set(),
    ("dsr_worker.fulfil.verifying", "f'mail_{sent.value}'"): {
        f"mail_{sent.value}" for sent in Sent if sent is not Sent.SENT
    },
}


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for room in _ROOMS:
        for file in sorted((_ROOT / room).rglob("*.py")):
            name = ".".join(file.relative_to(_ROOT).with_suffix("").parts)
            if not name.startswith("dsr_worker.testing"):
                yield name, ast.parse(file.read_text("utf-8"))


def _stated(call: ast.Call) -> list[ast.expr]:
    """Where a call that stops a step may say its code."""
    name = call.func.id if isinstance(call.func, ast.Name) else ""
    match name:
        case "NeedsHuman":
            return call.args[:1]
        case "StepResult":
            return [k.value for k in call.keywords if k.arg == "code"]
        case "_stop":
            return call.args[2:3]
        case "_wait":
            return call.args[1:2]
        case _:
            return []


def _codes(module: str, stated: ast.expr) -> set[str]:
    if isinstance(stated, ast.Constant):
        return {str(stated.value)}
    text = ast.unparse(stated)
    if (module, text) in _WORKED_OUT:
        return set(_WORKED_OUT[module, text])
    value = getattr(importlib.import_module(module), text, None)
    assert isinstance(value, str), f"{module}: which codes can {text} be?"
    return {value}


def _every_code() -> set[str]:
    return {
        code
        for module, tree in _modules()
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        for stated in _stated(call)
        for code in _codes(module, stated)
    }


_CODES = sorted(_every_code())


def test_the_codes_are_found() -> None:
    """What this reads is the whole of it: codes of the engine, of cases and of each connector."""
    assert {
        "quarantined", "cannot_rectify", "correction_refused", "s3-refused", "helpdesk_agent",
        "map_unreviewed", "unmapped_rows_left", "mail_refused", "sweep_brake",
    } <= set(_CODES)  # fmt: skip
    assert not set(_CODES) & _STATES


@pytest.mark.parametrize("code", _CODES)
def test_every_code_has_a_remedy_or_is_a_question(code: str) -> None:
    """One or the other, with commands that name the case, and nothing left unfilled."""
    assert remedies.known(code) != questions.known(code)
    stop = Stop("crm", "plan", "needs_human", code, "", {"collection": "carts"})
    told = [s["remedy"] for s in remedies.put("C-1", [stop])]
    told += [q["text"] for q in questions.put("C-1", [stop])]
    (text,) = filter(None, told)
    assert not {"{", "}"} & set(text)
    assert "C-1" in text or code in {"transient", "fault", "pending_remote", "in_units"}


_OF_JOBS = {"code": {MAP_UNREVIEWED, SYSTEM_UNMAPPED, UNOPENABLE}}  # where it is an argument


def _phases() -> set[str]:
    """Where a job as a whole may wait for a person: the phase of each such move."""
    found = set()
    for module, tree in _modules():
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Move":
                said = {k.arg: ast.unparse(k.value) for k in call.keywords}
                if said.get("state") == "State.NEEDS_HUMAN":
                    (phase,) = (k.value for k in call.keywords if k.arg == "phase")
                    found |= _OF_JOBS.get(ast.unparse(phase)) or _codes(module, phase)
    return found


def test_a_job_that_stops_as_a_whole_says_what_helps() -> None:
    """Each phase in which a job waits for a person has a remedy that names the case."""
    phases = _phases()
    assert {"found_again", "access_unfinished", "promise_exceeded", SYSTEM_UNMAPPED} <= phases
    for phase in sorted(phases):
        (told,) = remedies.of_job("C-1", phase)
        assert "dsr retry C-1" in told["remedy"], phase
        assert not {"{", "}"} & set(told["remedy"])
    assert remedies.of_job("C-1", "apply") == []


def test_what_no_repeat_helps_offers_another_way() -> None:
    """A connector that cannot is no cause to mend: its remedy names the ways to end the case."""
    for code in sorted(remedies.NEVER_BY_RETRY - {"cannot_sweep"}):
        (told,) = remedies.put("C-1", [Stop("crm", "plan", "needs_human", code, "", {})])
        assert "dsr retry" not in told["remedy"]
        assert "`dsr withdraw C-1`" in told["remedy"]
        assert "`dsr refuse C-1 --ground CODE`" in told["remedy"]
