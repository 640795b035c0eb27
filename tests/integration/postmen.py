"""Mail that is taken or not, and performers of an action that are got round."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dsr_worker.engine.batch import Performer
from dsr_worker.notify.mail import Sent
from tests.integration.engine_room import EngineRoom


class Postman:
    """Takes every mail, or none, and remembers what the codes were and where they went."""

    def __init__(self, says: Sent = Sent.SENT) -> None:
        self.says = says
        self.sent: list[tuple[str, str]] = []

    def send_template(self, _name: str, *, to: str, values: dict[str, Any], **_rest: Any) -> Sent:
        """One mail."""
        self.sent.append((to, values["code"]))
        return self.says


def with_postman(room: EngineRoom, postman: Postman) -> Postman:
    """Have codes go by this postman."""
    verifying = room.workshop.drainer._performers["send_code"].__self__  # type: ignore[attr-defined]
    verifying._mailer = postman
    return postman


def perform(room: EngineRoom, action: str, make: Callable[[Performer], Performer]) -> None:
    """Put something around the performer of an action."""
    performers: Any = room.workshop.drainer._performers
    performers[action] = make(performers[action])
