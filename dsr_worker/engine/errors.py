"""What may be told of an error: to the ledger, for whoever looks at a stuck case, and to the log.

In: an exception. Out: one bounded line. The texts of our own errors hold no personal data, by the
contract; those of others may quote a value, so that of these only class and place are told.
"""

from __future__ import annotations

from dsr_worker.contract import ConnectorError
from dsr_worker.logs import LONGEST_TEXT, is_plain


def told(error: Exception) -> str:
    """The error's class and, where that may be told, its text; otherwise the place it arose at."""
    name = type(error).__name__
    if isinstance(error, ConnectorError) and (text := _one_line(str(error))):
        line = f"{name}: {text}"
        line = line if len(line) <= LONGEST_TEXT else f"{line[: LONGEST_TEXT - 1]}…"
        if is_plain(line):
            return line
    return f"{name} at {place(error)}"[:LONGEST_TEXT]


def place(error: Exception) -> str:
    """The function and line that raised it; empty where nothing did."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return ""
    code = trace.tb_frame.f_code
    return f"{code.co_qualname}:{trace.tb_lineno}"


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
