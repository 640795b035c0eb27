"""What `dsr` says of answers: free texts and missing ones before, earlier hand-overs after."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from click.testing import CliRunner, Result
from pydantic import SecretStr

from dsr_worker.cli import dsr
from dsr_worker.cli.desk import Opening
from dsr_worker.registry import Registry
from dsr_worker.testing.memory import Memory
from tests.integration.engine_room import ORGANISATION, EngineRoom

_MAIL = "p.zq0001zq@mail.example"
_SECOND_LOOK = ORGANISATION.replace("access: automatic", "access: second_actor")
_BARE = _SECOND_LOOK.replace('rights: "yours"', 'rights: ""')
_NOT_WRITTEN = "organisation: the person's rights (Art. 15(1)(e) GDPR) is not written"


class Desk:
    """An installation and the command line on it."""

    def __init__(self, folder: Path, dsn: str, organisation: str) -> None:
        self.folder = folder
        self.room = EngineRoom(folder, dsn, organisation=organisation)
        self.room.load_people(3)
        settings = self.room.settings.model_copy(update={"ledger_dsn": SecretStr(dsn)})
        self._opening = Opening(settings, Registry({"memory": Memory}))

    def run(self, *args: str, actor: str | None = None, code: int = 0) -> Result:
        """Call it, as somebody; it must end with this exit code."""
        signing = ("--as", actor, "--key", str(self.folder / f"{actor}.key")) if actor else ()
        result = CliRunner().invoke(dsr, [*args, *signing], obj=self._opening)
        assert result.exit_code == code, result.output
        return result

    def submit(self, kind: str) -> tuple[str, str]:
        """Submit a request; its reference and all that was said."""
        who = ("--email", _MAIL, "--country", "DE", "--attest", "trial")
        result = self.run("submit", "--kind", kind, *who, "--json", actor="anna")
        ref = str(json.loads(result.stdout)["case"])
        self.room.settle()
        return ref, result.output


@contextmanager
def opened(folder: Path, dsn: str, organisation: str) -> Iterator[Desk]:
    """A desk, closed in the end."""
    desk = Desk(folder, dsn, organisation)
    try:
        yield desk
    finally:
        desk.room.office.ledger.dispose()


def test_a_plan_names_free_texts_and_what_to_do(tmp_path: Path, ledger: Callable[[], str]) -> None:
    """The approver of an access reads in one line where others may be named; of an erasure, not."""
    with opened(tmp_path, ledger(), _SECOND_LOOK) as desk:
        ref, _ = desk.submit("access")
        (line,) = [
            line for line in desk.run("plan", ref).stdout.splitlines() if "free text" in line
        ]
        assert "crm.carts 1, files.documents 1" in line
        assert "read these records before the package leaves" in line
        plan = json.loads(desk.run("plan", ref, "--json").stdout)
        assert plan["free_texts"] == {"crm.carts": 1, "files.documents": 1}
        erasure, _ = desk.submit("erasure")
        assert "free text" not in desk.run("plan", erasure).stdout


def test_whoever_hands_over_unseen_is_told_of_free_texts(
    tmp_path: Path, ledger: Callable[[], str]
) -> None:
    """Under a standing approval nobody read a plan, so the hand-over names the places."""
    with opened(tmp_path, ledger(), ORGANISATION) as desk:
        ref, _ = desk.submit("access")
        shown = desk.run("plan", ref).stdout
        assert "approved by standing rule: nothing was counted beforehand" in shown
        assert "nothing was found" not in shown
        handed = desk.run("package", ref, "--to", str(tmp_path / "p.zip"), actor="anna")
        assert "free text in crm.carts, files.documents" in handed.output


def test_a_second_hand_over_says_so_and_goes_ahead(
    tmp_path: Path, ledger: Callable[[], str]
) -> None:
    """`dsr package` once more: when, by whom and how it left before, and another file."""
    with opened(tmp_path, ledger(), ORGANISATION) as desk:
        ref, _ = desk.submit("access")
        first = desk.run("package", ref, "--to", str(tmp_path / "1.zip"), actor="anna")
        assert "handed over before" not in first.output
        again = desk.run("package", ref, "--to", str(tmp_path / "2.zip"), actor="berta")
        assert "by anna, as aes-zip" in again.stdout
        third = desk.run("package", ref, "--to", str(tmp_path / "3.zip"), "--json", actor="anna")
        before = json.loads(third.stdout)["before"]
        assert [(b["actor"], b["method"]) for b in before] == [
            ("anna", "aes-zip"),
            ("berta", "aes-zip"),
        ]
        assert len(list(tmp_path.glob("?.zip"))) == 3


def test_missing_texts_are_said_at_submit_and_at_approve(
    tmp_path: Path, ledger: Callable[[], str]
) -> None:
    """A package that could not be made is known weeks before; an erasure needs no such text."""
    with opened(tmp_path, ledger(), _BARE) as desk:
        ref, said = desk.submit("access")
        assert _NOT_WRITTEN in said
        approved = desk.run("approve", ref, "--yes", actor="berta")
        assert _NOT_WRITTEN in approved.output
        _, said = desk.submit("erasure")
        assert _NOT_WRITTEN not in said
        rows = tmp_path / "rows.csv"
        rows.write_text(f"kind,email,attest,country\naccess,{_MAIL},trial,DE\n")
        assert _NOT_WRITTEN in desk.run("submit", "--csv", str(rows), actor="anna").output


def test_a_name_that_no_file_can_have_is_wrong_input(
    tmp_path: Path, ledger: Callable[[], str]
) -> None:
    """Whatever a file system or a terminal cannot take is refused before anything is opened."""
    out = tmp_path / "out"
    out.mkdir()
    with opened(tmp_path, ledger(), ORGANISATION) as desk:
        ref, _ = desk.submit("access")
        for name, says in (
            ("n" * 256, "file name too long"),
            ("a\nb.zip", "control characters"),
            ("a\x1b[2J.zip", "control characters"),
            ("a\udcff.zip", "not UTF-8"),
            ("file/p.zip", "there is no folder"),
        ):
            (tmp_path / "out" / "file").write_text("")
            to = ("package", ref, "--to", f"{out}/{name}")
            assert says in desk.run(*to, actor="anna", code=2).stderr
            assert says in desk.run("certificate", *to[1:], actor="anna", code=2).stderr
        nobody = ("package", ref, "--to", "~nobody-of-this-name/p.zip")
        assert "no home" in desk.run(*nobody, actor="anna", code=2).stderr
        (out / "file").unlink()
        assert list(out.iterdir()) == []
        longest = out / ("n" * 251 + ".zip")
        desk.run("package", ref, "--to", str(longest), actor="anna")
        assert list(out.iterdir()) == [longest]


def test_a_certificate_finds_its_place_taken(tmp_path: Path, ledger: Callable[[], str]) -> None:
    """A file in the place of the certificate or its page is exit code 1 and stays."""
    with opened(tmp_path, ledger(), _SECOND_LOOK) as desk:
        ref, _ = desk.submit("erasure")
        desk.run("approve", ref, "--yes", actor="berta")
        desk.room.settle()
        page = tmp_path / "c.html"
        page.write_text("mine")
        handing = ("certificate", ref, "--to", str(tmp_path / "c.json"))
        assert "never overwritten" in desk.run(*handing, actor="anna", code=1).stderr
        too_long = ("certificate", ref, "--to", str(tmp_path / ("c" * 255)))
        assert "file name too long" in desk.run(*too_long, actor="anna", code=2).stderr
        assert page.read_text() == "mine"
        page.unlink()
        desk.run(*handing, actor="anna")
