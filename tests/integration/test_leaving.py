"""A case that changed rows and cannot go on ends in a certificate that claims what was seen."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from dsr_worker.cli import dsr
from dsr_worker.cli.desk import Opening
from dsr_worker.contract import Context, Correction, Key, Permanent, Subject
from dsr_worker.engine.batch import Batch, Performer
from dsr_worker.evidence import render_certificate, verify_certificate
from dsr_worker.fulfil.correcting import Stated
from dsr_worker.fulfil.decisions import Decided, DecisionRefused
from dsr_worker.fulfil.leaving import LEAVE
from dsr_worker.ledger import answers, holds
from dsr_worker.ledger.rows import StepResult
from dsr_worker.registry import Registry
from dsr_worker.testing.memory import Memory
from tests.integration.engine_room import CRM, FILES, EngineRoom

_MAIL = "p.zq0003zq@mail.example"
_REFUSES = "kind: permanent, after_calls: 2"  # a plan and a location ask by dry runs before


class Blind(Memory):
    """Shows nothing of `files` a second time."""

    def recheck(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Key]:
        """As memory, but for one system."""
        if "documents" in self._system.collections:
            message = "the archive is sealed"
            raise Permanent(message)
        return super().recheck(subjects, keys, ctx)


class Haunted(Memory):
    """Shows a cart of everybody to the second path, whatever is erased."""

    def recheck(
        self, subjects: Sequence[Subject], keys: Iterable[Key], ctx: Context
    ) -> Iterator[Key]:
        """What is there, and one cart each."""
        yield from super().recheck(subjects, keys, ctx)
        if "carts" in self._system.collections:
            yield from (Key(subject.ref, "carts", ("left",)) for subject in subjects)


def _room(
    folder: Path,
    database: Callable[[], str],
    fault: str = "",
    *,
    connector: type[Memory] = Memory,
) -> EngineRoom:
    """Six people in `crm`, which does as it is asked, and `files`, which has a fault."""
    files = FILES.replace("class: attachment\n", "class: attachment\n    restrict: {flag: kept}\n")
    files = files.replace("      text:", "      kept: system.operations\n      text:")
    if fault:
        name = "config: {name: NAME-files"
        assert name in files
        files = files.replace(name, f"{name}, fault: {{{fault}}}")
    crm = CRM.replace("class: cart\n", "class: cart\n    restrict: {flag: kept}\n")
    crm = crm.replace("      content:", "      kept: system.operations\n      content:")
    systems = {"crm": crm, "files": files}
    made = EngineRoom(folder, database(), systems=systems, connectors={"memory": connector})
    made.load_people(6)
    return made


def _approved(room: EngineRoom, kind: str = "erasure", *corrections: Stated) -> str:
    """A case that was approved and has gone as far as it can."""
    ref = room.submit(kind, corrections, email=_MAIL)
    room.settle()
    room.approve(ref)
    room.settle()
    return ref


def _left(room: EngineRoom, ref: str, *, settles: bool = True) -> Decided:
    decided = room.office.leavings.leave(ref, room.sign("anna", LEAVE, ref))
    if settles:
        room.settle()
    return decided


def _certificate(room: EngineRoom, ref: str) -> dict[str, Any]:
    """What the certificate of an answered case states; signed, and shown on its page."""
    assert room.job(ref)["state"] == "ready", (room.steps(ref), room.events(ref))
    with room.office.ledger.transaction() as cursor:
        made = answers.of(cursor, room.job(ref)["id"])
    assert made is not None
    content = room.office.delivery.read_certificate(made)
    assert verify_certificate(content, room.office.keys.public_key) == []
    page = render_certificate(content)
    stated: dict[str, Any] = json.loads(content)["certificate"]
    assert ("What was not carried out" in page) is bool(stated["left_undone"])
    assert "left_undone" in room.events(ref)
    return stated


def _counts(stated: dict[str, Any]) -> dict[str, int]:
    """Rows found, by `system.collection`."""
    return {
        f"{s['system']}.{r['collection']}": r["found"]
        for s in stated["systems"]
        for r in s["collections"]
    }


def test_what_one_system_did_is_certified_and_what_the_other_refused_is_named(
    tmp_path: Path, database: Callable[[], str]
) -> None:
    """The counts of the one stay; of the other it is said what was found and is there still."""
    room = _room(tmp_path, database, f"{_REFUSES}, method: erase")
    ref = _approved(room)
    decided = _left(room, ref, settles=False)
    assert (decided.state, decided.details) == (
        "certifying",
        ("files: left at apply (permanent)",),
    )
    room.settle()
    stated = _certificate(room, ref)
    assert stated["response"]["nature"] == "partly_granted"
    assert set(_counts(stated)) == {"crm.customers", "crm.invoices", "crm.carts"}
    assert stated["systems"][0]["requery"]["returned"] == 0
    (left,) = stated["left_undone"]
    assert (left["system"], left["action"], left["code"]) == ("files", "apply", "permanent")
    assert (left["located"], left["begun"], left["requery"]["returned"]) == (1, {}, 1)
    assert "the system refused it. 1 entries had been found there. 1 of them" in left["finding"]
    assert ("documents", ("doc-3",)) in {
        (name, key) for name, rows in room.system("files").dump().items() for key in rows
    }
    to = tmp_path / "certificate.json"
    room.office.delivery.certificate(ref, to, room.sign("anna", "hand-over", ref))
    assert room.job(ref)["state"] == "closed"


def test_changes_whose_end_nobody_saw_are_told_as_begun(
    tmp_path: Path, database: Callable[[], str]
) -> None:
    """An effect that took place before the refusal is neither claimed nor kept quiet."""
    room = _room(tmp_path, database, f"{_REFUSES}, method: erase, when: after")
    ref = _approved(room)
    _left(room, ref)
    (left,) = _certificate(room, ref)["left_undone"]
    assert (left["begun"], left["requery"]["returned"]) == ({"erased": 1}, 0)
    assert "Changes of up to 1 entries were begun there" in left["finding"]


def test_a_system_that_cannot_be_looked_at_again_is_not_said_to_have_been(
    tmp_path: Path, database: Callable[[], str]
) -> None:
    """Its receipts are certified as counted at the commit, and no second look is claimed."""
    room = _room(tmp_path, database, connector=Blind)
    ref = _approved(room)
    assert ("recheck", "files", "failed") in {(s[0], s[1], s[3]) for s in room.steps(ref)}
    _left(room, ref)
    stated = _certificate(room, ref)
    of = {system["system"]: system for system in stated["systems"]}
    assert of["crm"]["requery"]["returned"] == 0
    assert of["files"]["requery"] is None
    assert of["files"]["finding"] == "Counted by files when the change was committed."
    assert _counts(stated)["files.documents"] == 1
    assert [(part["system"], part["action"]) for part in stated["left_undone"]] == [
        ("files", "recheck")
    ]


def test_a_last_look_that_is_refused_as_well_is_left_too(
    tmp_path: Path, database: Callable[[], str]
) -> None:
    """Whoever leaves a second time keeps the reason that was told first."""
    room = _room(tmp_path, database, f"{_REFUSES}, method: erase", connector=Blind)
    ref = _approved(room)
    _left(room, ref)
    assert room.job(ref)["phase"] == "recheck"
    _left(room, ref)
    (left,) = _certificate(room, ref)["left_undone"]
    assert (left["action"], left["code"], left["requery"]) == ("apply", "permanent", None)


def test_rows_that_are_found_again_and_again_are_certified_as_still_there(
    tmp_path: Path, database: Callable[[], str]
) -> None:
    """Where looking again never comes to nothing a person ends it, and the count is told."""
    room = _room(tmp_path, database, connector=Haunted)
    ref = _approved(room)
    assert room.job(ref)["phase"] == "found_again"
    _left(room, ref)
    stated = _certificate(room, ref)
    assert stated["response"]["nature"] == "partly_granted"
    (crm,) = [system for system in stated["systems"] if system["system"] == "crm"]
    assert crm["requery"]["returned"] == 1
    assert "not certified as erased" in crm["finding"]
    assert stated["left_undone"] == []


def test_work_that_nobody_approves_to_go_further_can_be_left(
    tmp_path: Path, database: Callable[[], str]
) -> None:
    """Where an approval was voided after one system had been changed, that one is accounted for."""
    room = _room(tmp_path, database)
    performers: Any = room.workshop.drainer._performers
    apply: Performer = performers["apply"]

    def voided(batch: Batch) -> Sequence[StepResult]:
        if batch.ctx.system.name == "crm":
            return apply(batch)
        return [m.done(result={"voided": ["over_bound"], "kept": []}) for m in batch.members]

    performers["apply"] = voided
    ref = _approved(room)
    assert room.job(ref)["state"] == "awaiting_approval", room.steps(ref)
    _left(room, ref)
    stated = _certificate(room, ref)
    assert _counts(stated) == {"crm.customers": 1, "crm.invoices": 2, "crm.carts": 1}
    (left,) = stated["left_undone"]
    assert (left["code"], left["located"], left["requery"]["returned"]) == ("not_approved", 1, 1)


def test_what_an_earlier_round_kept_and_masked_stays_accounted_for(
    tmp_path: Path, database: Callable[[], str]
) -> None:
    """A later round that was stopped by its approval takes nothing of the account away."""
    room = _room(tmp_path, database, connector=Haunted)
    performers: Any = room.workshop.drainer._performers
    apply: Performer = performers["apply"]

    def voided_later(batch: Batch) -> Sequence[StepResult]:
        (member,) = batch.members
        if batch.ctx.system.name == "files" or not batch.results.get(
            (member.job.id, "apply", "crm")
        ):
            return apply(batch)
        return [member.done(result={"voided": ["over_bound"], "kept": []})]

    performers["apply"] = voided_later
    ref = _approved(room)
    assert room.job(ref)["state"] == "awaiting_approval", room.steps(ref)
    _left(room, ref)
    stated = _certificate(room, ref)
    assert _counts(stated) == {
        "crm.customers": 1,
        "crm.invoices": 2,
        "crm.carts": 1,
        "files.documents": 1,
    }
    assert stated["deferred"]
    assert [part["code"] for part in stated["left_undone"]] == ["not_approved"]


def test_a_rectification_says_what_is_still_to_be_changed(
    tmp_path: Path, database: Callable[[], str]
) -> None:
    """The second look at what was not put right asks what is left to change."""
    room = _room(tmp_path, database, f"{_REFUSES}, method: rectify, times: 1")
    ref = _approved(
        room,
        "rectification",
        Stated("crm", "customers", Correction("name", "Ida")),
        Stated("files", "documents", Correction("text", "Ida")),
    )
    _left(room, ref)
    stated = _certificate(room, ref)
    assert stated["systems"][0]["collections"][0]["rectified"] == 1
    (left,) = stated["left_undone"]
    assert "1 of them were still to be changed" in left["finding"]


def test_a_restriction_that_was_left_is_lifted_where_it_was_carried_out(
    tmp_path: Path, database: Callable[[], str]
) -> None:
    """Its hold stands until then, and the system that refused is asked for nothing any more."""
    room = _room(tmp_path, database, f"{_REFUSES}, method: restrict, times: 1")
    before = room.system("crm").dump()
    ref = _approved(room, "restriction")
    _left(room, ref)
    (left,) = _certificate(room, ref)["left_undone"]
    assert left["system"] == "files"
    with room.office.ledger.transaction() as cursor:
        assert len(holds.listed(cursor)) == 1
    job = room.lift(ref)
    room.settle()
    assert room.job(job)["state"] == "closed", room.steps(job)
    assert {step[1] for step in room.steps(job)} == {"crm", "desk"}
    freed = {
        key: {k: v for k, v in json.loads(body).items() if k != "kept"}
        for key, body in room.system("crm").dump()["carts"].items()
    }
    assert freed == {key: json.loads(body) for key, body in before["carts"].items()}
    with room.office.ledger.transaction() as cursor:
        assert not holds.listed(cursor)


def test_what_changed_nothing_or_is_under_work_is_not_left(
    tmp_path: Path, database: Callable[[], str]
) -> None:
    """There the ways are to withdraw or refuse, or to wait; an access accounts for nothing."""
    room = _room(tmp_path, database, f"{_REFUSES}, method: erase")
    ref = room.submit("erasure", email=_MAIL)
    room.settle()
    with pytest.raises(DecisionRefused, match=r"has changed nothing.*`dsr withdraw"):
        _left(room, ref)
    room.approve(ref)
    room.settle()
    room.office.decisions.retry(ref, room.sign("anna", "retry", ref))
    with pytest.raises(DecisionRefused, match="is under work"):
        _left(room, ref)
    room.settle()
    _left(room, ref)
    with pytest.raises(DecisionRefused, match="is ready"):
        _left(room, ref)
    access = room.submit("access", email="p.zq0004zq@mail.example")
    with pytest.raises(DecisionRefused, match="no case that changes rows"):
        _left(room, access)


def test_the_command_ends_a_case_and_tells_what_it_left(
    tmp_path: Path, database: Callable[[], str]
) -> None:
    """`dsr leave` is signed, tells each system it left, and the story tells that it was done."""
    dsn = database()
    room = _room(tmp_path, lambda: dsn, f"{_REFUSES}, method: erase")
    ref = _approved(room)
    settings = room.settings.model_copy(update={"ledger_dsn": SecretStr(dsn)})
    opening = Opening(settings, Registry({"memory": Memory}))
    signing = ("--as", "anna", "--key", str(tmp_path / "anna.key"))

    def said(*args: str) -> Any:
        found = CliRunner().invoke(dsr, [*args, "--json"], obj=opening)
        assert found.exit_code == 0, found.output
        return json.loads(found.stdout)

    assert said("leave", ref, *signing) == {
        "case": ref,
        "state": "certifying",
        "left": ["files: left at apply (permanent)"],
        "by": "anna",
    }
    room.settle()
    assert said("status", ref)["next"] == f"dsr certificate {ref} --to FILE"
    told = [e["text"] for e in said("explain", ref)["events"] if e["kind"] == "left_undone"]
    assert told == ["what could not be carried out was left undone: systems files; signed"]
