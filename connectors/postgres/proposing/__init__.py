"""Proposes the data map of a database: what is a person's, by which path, and how it would go.

In: a server's catalogue and bounded, read-only samples. Out: a `Proposal` for people to review.
Two rooms read (`inventory`, `sampling`), all others only judge what they counted: `words`, `hints`
and `forms` know names and values, `classifying` and `neighbouring` columns, `referring`, `playing`
and `owning` tables, `drafting` writes the map and `comparing` holds a reviewed one against today's
catalogue.
"""

from connectors.postgres.proposing.proposal import propose

__all__ = ["propose"]
