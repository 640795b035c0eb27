"""Proposes the data map of a bucket: what is a person's, how it is found, how it would go.

In: a bounded walk over its folders and bounded ranges of a few objects. Out: a `Proposal` for
people to review. Two rooms read (`walking`, `sampling`), all others only judge what they counted:
`shapes` knows keys, `judging` the fields of records by what `connectors.naming` says, `drafting`
writes the map, and `comparing` holds a reviewed one against today's bucket.
"""

from connectors.s3.proposing.proposal import propose

__all__ = ["propose"]
