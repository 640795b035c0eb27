"""Legal holds as rows, and the lock that lets them win every race.

In: a cursor inside a transaction. Out: active holds, still sealed. An effect takes its system's
lock shared for as long as it commits; placing or releasing a hold takes it exclusively, so a hold
is either seen by an effect or placed after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from dsr_worker.ledger.connection import Cursor

GRACE_DAYS = 14
"""For how long after a release what the hold kept still stays: our own choice, no statute's, so
that a release by mistake can be mended by a new hold."""


def _concerns(hold: str) -> str:
    """SQL by which a hold concerns the promise `p`: its person, or anything in its system."""
    return f"""({hold}.system IS NULL OR {hold}.system = p.system) AND ({hold}.scope <> 'subject'
    OR EXISTS (SELECT FROM identities i
        WHERE i.job_id = {hold}.job_id AND i.digest = ANY(p.digests)))"""


_KEPT = _concerns("h")
_CONCERNED = f"EXISTS (SELECT FROM holds o WHERE o.released_at IS NULL AND {_concerns('o')})"
_UNKNOWN = f"h.reason_code = ANY(p.grounds) AND NOT {_CONCERNED}"
"""Whether rows stay on this hold's reason and no hold that stands knows their person by name: one
may have kept them by a name that the erasure did not know, so they are tried after any release."""

_KEPT_STILL = """EXISTS (SELECT FROM holds o WHERE o.released_at IS NULL
    AND (o.system IS NULL OR o.system = p.system) AND CASE o.scope
    WHEN 'subject' THEN EXISTS (
        SELECT FROM identities i WHERE i.job_id = o.job_id AND i.digest = ANY(p.digests))
    WHEN 'dataset' THEN o.collection IS NULL OR EXISTS (
        SELECT FROM receipts r WHERE r.job_id = p.job_id AND r.system = p.system
        AND r.collection = o.collection AND r.ground = ANY(p.grounds))
    ELSE false END)"""
"""Whether a hold that stands surely covers what is promised. Of single rows nobody can tell here:
a promise that meets them on its day keeps them, and waits once more."""

_FREE = f"""
WITH freed AS (
    UPDATE promises p SET due_on = h.released_at::date + %s,
        last_due_on = h.released_at::date + %s FROM holds h
    WHERE h.ref = %s AND p.due_on IS NULL AND p.carried_out_by IS NULL
    AND ({_KEPT} OR {_UNKNOWN}) AND NOT {_KEPT_STILL}
    RETURNING p.job_id, p.due_on, p.row_count)
SELECT f.due_on, array_agg(DISTINCT j.ref ORDER BY j.ref) AS refs, sum(f.row_count)::bigint AS rows
FROM freed f JOIN jobs j ON j.id = f.job_id GROUP BY f.due_on
"""  # noqa: S608 - fixed text

_DATE_UNHELD = f"""
UPDATE promises p SET due_on = business_now()::date + %s, last_due_on = business_now()::date + %s
WHERE p.id = %s AND p.due_on IS NULL AND NOT {_CONCERNED} AND (
    EXISTS (SELECT FROM holds h WHERE h.released_at IS NOT NULL
        AND h.reason_code = ANY(p.grounds) AND {_KEPT})
    OR NOT EXISTS (SELECT FROM holds o WHERE o.released_at IS NULL
        AND o.reason_code = ANY(p.grounds) AND (o.system IS NULL OR o.system = p.system)))
"""  # noqa: S608 - fixed text

_KNOWN_BY = """
SELECT p.digests, p.data_key, p.sealed, NULL AS kind FROM promises p
WHERE p.system = %(system)s AND p.digests && %(digests)s::bytea[] AND p.sealed IS NOT NULL
UNION ALL
SELECT p.digests, d.data_key, i.sealed, i.kind FROM promises p
JOIN jobs d ON d.id = p.carried_out_by AND d.closed_at IS NULL
JOIN identities i ON i.job_id = d.id AND i.sealed IS NOT NULL
WHERE p.system = %(system)s AND p.digests && %(digests)s::bytea[] AND p.sealed IS NULL
"""

_GOING_ON = f"""
SELECT h.ref, p.due_on, array_agg(DISTINCT j.ref ORDER BY j.ref) AS refs,
       sum(p.row_count)::bigint AS rows
FROM holds h
JOIN promises p ON p.due_on = h.released_at::date + %s AND p.made_at <= h.released_at
     AND p.carried_out_by IS NULL AND {_KEPT}
JOIN jobs j ON j.id = p.job_id
GROUP BY h.ref, p.due_on ORDER BY p.due_on, h.ref
"""  # noqa: S608 - fixed text

_SYSTEM_LOCKS = 0x686F6C64  # first key of the two-key advisory locks on systems
_RELEASES = 0x72656C65617365  # the advisory lock on releasing


class HoldRow(NamedTuple):
    """An active hold. `identities` are (kind, sealed) pairs; `data_key` is wrapped."""

    ref: str
    scope: str
    system: str | None
    collection: str | None
    field: str | None
    sealed: bytes | None
    reason_code: str
    matter: str
    review_on: date | None
    data_key: bytes
    identities: list[tuple[str, bytes]]


def share_lock(cursor: Cursor, system: str) -> None:
    """Keep holds from being placed in a system until this transaction ends.

    It may idle for as long as the target's statements take; others are cut off sooner, since a
    process that stands still inside one keeps rows locked.
    """
    cursor.execute("SET LOCAL idle_in_transaction_session_timeout = '900s'")
    cursor.execute("SELECT pg_advisory_xact_lock_shared(%s, hashtext(%s))", (_SYSTEM_LOCKS, system))


def exclude_effects(cursor: Cursor, systems: Sequence[str]) -> None:
    """Wait until no effect is under way in these systems, and hold off new ones until commit.

    Waits for as long as an effect may take, not for the usual timeouts: a hold is not turned away.
    """
    cursor.execute("SET LOCAL lock_timeout = '900s'; SET LOCAL statement_timeout = '900s'")
    for system in sorted(systems):
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (_SYSTEM_LOCKS, system))


def active(cursor: Cursor, system: str) -> list[HoldRow]:
    """The holds not released that may concern a system."""
    cursor.execute(
        "SELECT h.ref, h.scope, h.system, h.collection, h.field, h.sealed, h.reason_code, h.matter,"
        " h.review_on, j.data_key, h.job_id FROM holds h JOIN jobs j ON j.id = h.job_id"
        " WHERE h.released_at IS NULL AND (h.system IS NULL OR h.system = %s) ORDER BY h.ref",
        (system,),
    )
    rows = cursor.fetchall()
    if not rows:
        return []
    cursor.execute(
        "SELECT job_id, kind, sealed FROM identities WHERE job_id = ANY(%s)"
        " ORDER BY job_id, kind, digest",
        ([row.job_id for row in rows],),
    )
    people: dict[int, list[tuple[str, bytes]]] = {}
    for found in cursor.fetchall():
        people.setdefault(found.job_id, []).append((found.kind, bytes(found.sealed)))
    return [
        HoldRow(
            ref=row.ref,
            scope=row.scope,
            system=row.system,
            collection=row.collection,
            field=row.field,
            sealed=None if row.sealed is None else bytes(row.sealed),
            reason_code=row.reason_code,
            matter=row.matter,
            review_on=row.review_on,
            data_key=bytes(row.data_key),
            identities=people.get(row.job_id, []),
        )
        for row in rows
    ]


class ScopeColumns(NamedTuple):
    """Where a hold holds, as its columns say it."""

    scope: str
    system: str | None
    collection: str | None
    field: str | None


def insert(  # noqa: PLR0917 - the columns of one row
    cursor: Cursor,
    ref: str,
    job_id: int,
    where: ScopeColumns,
    sealed: bytes | None,
    reason: str,
    matter: str,
    review_on: date,
    actor: str,
) -> None:
    """Insert a hold; its job and identities stand already."""
    cursor.execute(
        "INSERT INTO holds (ref, job_id, scope, system, collection, field, sealed, reason_code,"
        " matter, review_on, placed_by) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (ref, job_id, *where, sealed, reason, matter, review_on, actor),
    )


class GoesOn(NamedTuple):
    """Erasures that a released hold kept: the day on which they go on, their cases, their rows."""

    hold: str
    due_on: date
    cases: list[str]
    rows: int


def release(cursor: Cursor, ref: str, actor: str) -> GoesOn | None:
    """End a hold. Promises that wait for it come due after a time of grace; None without any.

    What another hold still covers waits for that one, without a day. Releases run one after the
    other: two at once would each leave it to the other.
    """
    exclude_releases(cursor)
    cursor.execute(
        "UPDATE holds SET released_at = business_now(), released_by = %s WHERE ref = %s",
        (actor, ref),
    )
    cursor.execute(_FREE, (GRACE_DAYS, GRACE_DAYS, ref))
    row = cursor.fetchone()
    return None if row is None else GoesOn(ref, row.due_on, row.refs, row.rows)


def exclude_releases(cursor: Cursor) -> None:
    """Wait until no hold is being released, and hold off the next release until commit."""
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_RELEASES,))


def date_unheld(cursor: Cursor, promise_id: int) -> None:
    """Give a promise a day whose hold was released before it was made; see `exclude_releases`."""
    cursor.execute(_DATE_UNHELD, (GRACE_DAYS, GRACE_DAYS, promise_id))


class KnownBy(NamedTuple):
    """What a promise knows of a person; `data_key` is wrapped.

    `kind` is None where `sealed` is what the promise carries, else it is one identity of the job
    that carries the promise out.
    """

    digests: list[bytes]
    data_key: bytes
    sealed: bytes
    kind: str | None


def known_by(cursor: Cursor, system: str, digests: Sequence[bytes]) -> list[KnownBy]:
    """What promises in a system, open or being carried out, know of people of these digests."""
    cursor.execute(_KNOWN_BY, {"system": system, "digests": list(digests)})
    return [
        KnownBy([bytes(d) for d in row.digests], bytes(row.data_key), bytes(row.sealed), row.kind)
        for row in cursor.fetchall()
    ]


def going_on(cursor: Cursor) -> list[GoesOn]:
    """What released holds kept and what still waits for its day, soonest first."""
    cursor.execute(_GOING_ON, (GRACE_DAYS,))
    return [GoesOn(*row) for row in cursor.fetchall()]


class OfMatter(NamedTuple):
    """A hold that stands, and the job of its chain."""

    ref: str
    job_id: int


def of_matter(cursor: Cursor, matter: str, reason: str) -> list[OfMatter]:
    """The holds of a matter that stand for one reason."""
    cursor.execute(
        "SELECT ref, job_id FROM holds WHERE matter = %s AND reason_code = %s"
        " AND released_at IS NULL ORDER BY ref",
        (matter, reason),
    )
    return [OfMatter(*row) for row in cursor.fetchall()]


def people_of(cursor: Cursor, matter: str, reason: str) -> frozenset[bytes]:
    """The digests of the people whom the standing holds of a matter cover for one reason."""
    cursor.execute(
        "SELECT i.digest FROM holds h JOIN identities i ON i.job_id = h.job_id"
        " WHERE h.matter = %s AND h.reason_code = %s AND h.released_at IS NULL",
        (matter, reason),
    )
    return frozenset(bytes(row.digest) for row in cursor.fetchall())


def stands(cursor: Cursor, ref: str) -> bool:
    """Whether a hold of this reference stands."""
    cursor.execute("SELECT 1 FROM holds WHERE ref = %s AND released_at IS NULL", (ref,))
    return cursor.fetchone() is not None


class OnPerson(NamedTuple):
    """A hold that stands on somebody; `complaint` where an open dispute placed it.

    `unproved`: whoever complained proved no identity.
    """

    hold: str
    reason: str
    matter: str
    review_on: date
    placed_by: str
    complaint: str | None
    unproved: bool


def on_person_of(cursor: Cursor, job_id: int) -> list[OnPerson]:
    """The holds that stand on the person of a case, as far as the case knows who that is."""
    cursor.execute(
        "SELECT h.ref, h.reason_code, h.matter, h.review_on, h.placed_by,"
        " k.ref AS complaint, k.id IS NOT NULL AND k.verified_at IS NULL AS unproved FROM holds h"
        " LEFT JOIN jobs k ON k.ref = h.matter AND k.kind = 'complaint'"
        " WHERE h.released_at IS NULL AND h.scope = 'subject' AND EXISTS ("
        "SELECT FROM identities i JOIN identities o ON o.digest = i.digest AND o.job_id = h.job_id"
        " WHERE i.job_id = %s AND i.standing IN ('verified', 'resolved')) ORDER BY h.ref",
        (job_id,),
    )
    return [OnPerson(*row) for row in cursor.fetchall()]


def reason_and_matter(cursor: Cursor, ref: str) -> tuple[str, str]:
    """Why a hold stands, and the matter that it belongs to."""
    cursor.execute("SELECT reason_code, matter FROM holds WHERE ref = %s", (ref,))
    row = cursor.fetchone()
    return row.reason_code, row.matter


class Review(NamedTuple):
    """A hold at which a person has to look again."""

    hold: str
    matter: str
    review_on: date


def to_review(cursor: Cursor) -> list[Review]:
    """The holds that stand and whose day of review has come, the oldest day first."""
    cursor.execute(
        "SELECT ref, matter, review_on FROM holds"
        " WHERE released_at IS NULL AND review_on <= business_now()::date ORDER BY review_on, ref"
    )
    return [Review(*row) for row in cursor.fetchall()]


def reviewed(cursor: Cursor, ref: str, review_on: date) -> None:
    """Set the day on which somebody looks at a hold again."""
    cursor.execute("UPDATE holds SET review_on = %s WHERE ref = %s", (review_on, ref))


def listed(cursor: Cursor) -> list[tuple[object, ...]]:
    """Every hold that stands, oldest first."""
    cursor.execute(
        "SELECT ref, scope, system, collection, reason_code, matter,"
        " review_on, placed_at, placed_by"
        " FROM holds WHERE released_at IS NULL ORDER BY placed_at"
    )
    return cursor.fetchall()
