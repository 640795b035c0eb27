"""The command line, `dsr`: everything a person does, as thin commands over the rooms.

In: arguments, files, a person's key. Out: text for people or JSON for machines on stdout, notes
and errors on stderr, an exit code. Each command parses, signs, calls one room and prints; no rule
of the product lives here. Commands are loaded when they are called, so that a question about a
deadline is answered without loading ledger, queue or connectors.
"""

from dsr_worker.cli.root import dsr, main

__all__ = ["dsr", "main"]
