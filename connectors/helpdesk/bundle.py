"""A ticket with everything that hangs on it: read once, decided as one, children first.

In: ticket ids. Out: bundles with a verdict per row. A ticket whose comment or file has to stay is
not erased, whatever its own table says.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from connectors.helpdesk.api import Api
from connectors.helpdesk.decide import Case, Tables, decide, needed, reads_rows
from connectors.helpdesk.layout import Layout, Row, files_of, with_ticket
from dsr_worker.contract import Action, Collection, Identity, Rule


@dataclass
class Verdict:
    """The deciding rule of the ticket and of each comment and file, by id."""

    ticket: Rule
    comments: dict[int, Rule] = field(default_factory=dict)
    files: dict[int, Rule] = field(default_factory=dict)

    @property
    def erases(self) -> bool:
        """Whether the whole ticket goes."""
        return self.ticket.action is Action.ERASE


@dataclass
class Bundle:
    """One ticket with its comments, which hold their attachments."""

    ticket_id: int
    row: Row
    refs: frozenset[str]
    comments: list[Row] = field(default_factory=list)
    owners: frozenset[Identity] = frozenset()

    def decide(self, layout: Layout, tables: Tables) -> Verdict:
        """The verdict by these tables."""
        if layout.tickets is None:
            raise AssertionError("a bundle without mapped tickets")
        verdict = Verdict(decide(tables(layout.tickets.name), self._case(self.row, None)))
        staying: set[str] = set()
        for comment in self.comments:
            self._decide_comment(layout, tables, comment, verdict, staying)
        if staying:
            case = self._case(self.row, staying)
            rule = decide(tables(layout.tickets.name), case)
            verdict.ticket = needed(rule, layout.tickets, case)
        return verdict

    def _decide_comment(
        self, layout: Layout, tables: Tables, comment: Row, verdict: Verdict, staying: set[str]
    ) -> None:
        held: set[str] = set()
        for file in files_of(comment):
            if layout.attachments is not None:
                rule = decide(tables(layout.attachments.name), self._case(file, None))
                verdict.files[file["id"]] = rule
                _note(rule, layout.attachments, held)
        if layout.comments is not None:
            case = self._case(comment, held)
            rule = needed(decide(tables(layout.comments.name), case), layout.comments, case)
            verdict.comments[comment["id"]] = rule
            _note(rule, layout.comments, staying)

    def _case(self, row: Row, staying: set[str] | None) -> Case:
        return Case(row, self.refs, self.owners, frozenset(staying or ()))


def _note(rule: Rule, collection: Collection, staying: set[str]) -> None:
    if rule.action is not Action.ERASE:
        staying.add(collection.name)


def decidable_unread(layout: Layout, tables: Tables) -> bool:
    """Whether no table asks for fields, so that a ticket in the bin can be decided as it lies."""
    children = (layout.tickets, layout.comments, layout.attachments)
    return not any(reads_rows(tables(c.name)) for c in children if c is not None)


def unread_bundle(ticket: Row, refs: frozenset[str]) -> Bundle:
    """A ticket in the bin: its comments cannot be read, so it counts as having one with a file."""
    comment = {"id": 0, "ticket_id": ticket["id"], "author_id": 0, "attachments": [{"id": 0}]}
    return Bundle(ticket["id"], ticket, refs, [comment])


def read_comments(api: Api, ticket_id: int) -> list[Row]:
    """A live ticket's comments, oldest first; none when the ticket went meanwhile."""
    rows = api.pages_or_none(f"tickets/{ticket_id}/comments", "comments", {})
    return [with_ticket(comment, ticket_id) for comment in rows or ()]
