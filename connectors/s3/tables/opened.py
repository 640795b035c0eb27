"""What a table's own library has to do for us, and what its errors mean.

Enters: exceptions of a library. Leaves: the words between the room that decides about rows and the
libraries that change them. No text of a library's error goes further: it may name values or paths.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from dsr_worker.contract import ConnectorError, NeedsHuman, Transient

# deltalake tells the status and the body of the answer, pyarrow the error's name; either tells the
# object's key as well, which may hold any of these words by itself
_DENIED = re.compile(r"\b403 Forbidden\b|<Code>AccessDenied</Code>|AWS Error ACCESS_DENIED\b")
_FORBIDDEN = frozenset({"ForbiddenError", "PermissionError"})  # pyiceberg's catalogues; of files


@dataclass(frozen=True, slots=True)
class Altered:
    """Rows that go (`masks` None), or get these values; told by the fields that decided on them."""

    match: Mapping[str, Any] = field(repr=False)
    masks: Mapping[str, str | None] | None = field(default=None, repr=False)


class Opened(Protocol):
    """One table at its newest state."""

    def current(self) -> frozenset[str]:
        """The object keys of the data files that hold the table as it is now."""
        ...

    def past(self) -> frozenset[str]:
        """The object keys of the data files that only its history needs."""
        ...

    def change(self, rows: Sequence[Altered]) -> None:
        """Change all rows that match, in one commit of the table. A repeat finds none.

        Raises Transient where somebody else committed first, and NeedsHuman where the table has no
        such change; either way nothing is changed.
        """
        ...

    def retire(self) -> Iterator[list[str]]:
        """End the table's history here: object keys that only its past needs, data files first.

        Whoever asks for the next ones has erased those before. What was left by a crash comes
        again.
        """
        ...


@contextmanager
def asked(library: str, conflict: type[Exception]) -> Iterator[None]:
    """Turn a library's errors into ones that state their consequence.

    `conflict` is its own word for somebody else's commit that came first.
    """
    try:
        yield
    except ConnectorError:
        raise
    except conflict:
        raise Transient(f"{library}: somebody else committed first") from None
    except Exception as error:  # noqa: BLE001 - they share no root, and no text of theirs may go on
        if type(error).__name__ in _FORBIDDEN or _DENIED.search(str(error)):
            raise NeedsHuman("s3-access-denied", {"operation": library}) from None
        if isinstance(error, OSError):
            raise Transient(f"{library}: {type(error).__name__}") from None
        fields = {"library": library, "error": type(error).__name__}
        raise NeedsHuman("s3-table-refused", fields) from None
