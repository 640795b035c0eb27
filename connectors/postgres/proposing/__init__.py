"""Proposes the data map of a database: what is a person's, by which path, and how it would go.

In: a server's catalogue and bounded, read-only samples. Out: a `Proposal` for people to review.
Two rooms read (`inventory`, `sampling`), all others only judge what they counted: `neighbouring`
knows columns, by what `connectors.naming` says of names and values; `referring`, `playing` and
`owning` know tables, `drafting` writes the map and `comparing` holds a reviewed one against today's
catalogue.
"""

from connectors.postgres.proposing.proposal import propose

__all__ = ["propose"]
