"""One subject that kills every process which touches it stops nobody else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.room import RESUMED_WITHIN_S, DrillRoom, email
from tests.integration.engine_room import CRM


@pytest.mark.faults
@pytest.mark.parametrize(
    ("cases", "deaths"),
    [(20, 5), pytest.param(500, 7, marks=pytest.mark.nightly)],
)
def test_one_poison_subject_leaves_all_others_finished(
    tmp_path: Path, database: Callable[[], str], redis_url: str, cases: int, deaths: int
) -> None:
    """All other cases end, none charged more than two attempts; the poison stops before a human.

    In batches of up to 200, of a quarter after each death; alone at last, and three charges.
    """
    poison = cases // 2
    fault = f"fault: {{kind: kill, for_value: {email(poison)}}}"
    deadly = CRM.replace("config: {", f"config: {{{fault}, ")
    room = DrillRoom(tmp_path, database, {"crm": deadly}, redis_url=redis_url)
    room.load_people(cases)
    refs = [room.submit("access", email=email(n)) for n in range(cases)]
    with room.workers(), room.watch() as watched:
        room.wait(lambda: room.in_state("ready") >= cases - 1)
        room.wait(lambda: bool(_quarantined(room)))
    assert len(watched.resumed_s) >= deaths
    assert max(watched.resumed_s) < RESUMED_WITHIN_S
    assert _quarantined(room) == [refs[poison]]
    charged = room.rows(
        "SELECT max(s.charged) AS most, count(*) FILTER (WHERE s.state <> 'done') AS undone"
        " FROM steps s JOIN jobs j ON j.id = s.job_id WHERE j.ref <> %s",
        refs[poison],
    )
    assert charged[0].most <= 2
    assert charged[0].undone == 0
    assert "needs_human" in room.events(refs[poison])


def _quarantined(room: DrillRoom) -> list[str]:
    rows = room.rows(
        "SELECT j.ref FROM steps s JOIN jobs j ON j.id = s.job_id"
        " WHERE s.state = 'needs_human' AND s.code = 'quarantined'"
    )
    return [row.ref for row in rows]
