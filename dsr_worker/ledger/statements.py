"""The hot statements: claim, renew, take back, complete, ring. Fixed SQL, one round trip each.

Leases go by the database's own clock (`now()`), never by a worker's. `attempt` is the fencing
token: every statement that finishes or renews work names it, and touches nothing when it has moved
on.
"""

from __future__ import annotations

LEASE_S = 30
RENEW_S = 10
BATCH_STEPS = 200
ALONE_LIMIT = 3  # a step charged so often, alone, is quarantined
SUSPECT_WAIT_S = 2

# The most urgent ready step leads; what shares its action, frozen texts and batch cap joins it.
CLAIM = """
WITH head AS (
    SELECT action, frozen, batch_cap FROM steps
    WHERE system = %(system)s AND state = 'ready' AND run_at <= now()
      AND (urgent OR NOT %(urgent_only)s) AND (sweep OR NOT %(sweeps_first)s)
    ORDER BY urgency_at, id LIMIT 1
), picked AS (
    SELECT s.id FROM steps s JOIN head h USING (action, frozen, batch_cap)
    WHERE s.system = %(system)s AND s.state = 'ready' AND s.run_at <= now()
      AND (s.urgent OR NOT %(urgent_only)s)
    ORDER BY s.urgency_at, s.id
    LIMIT least(%(limit)s, (SELECT batch_cap FROM head))
    FOR UPDATE OF s SKIP LOCKED
), counted AS (
    SELECT count(*)::int AS size FROM picked
)
UPDATE steps s
SET state = 'leased', attempt = s.attempt + 1, worker = %(worker)s,
    charged = s.charged + CASE WHEN c.size = 1 THEN 1 ELSE 0 END, batch_size = c.size,
    lease_until = now() + make_interval(secs => %(lease_s)s),
    started_at = coalesce(s.started_at, now())
FROM picked p, counted c
WHERE s.id = p.id
RETURNING s.id, s.job_id, s.action, s.system, s.round, s.frozen, s.effect, s.attempt, s.charged,
          s.batch_size, s.intent, s.result, s.error
"""

# The steps of a batch that are still its own, locked in the order of their ids.
_OURS = """
SELECT id, lease_until FROM steps
WHERE state = 'leased' AND (id, attempt) IN (
    SELECT * FROM unnest(%(ids)s::bigint[], %(attempts)s::int[]))
ORDER BY id FOR NO KEY UPDATE
"""

RENEW = f"""
UPDATE steps SET lease_until = now() + make_interval(secs => %(lease_s)s)
WHERE worker = %(worker)s AND state = 'leased' AND id IN (SELECT id FROM ({_OURS}) AS ours)
"""  # noqa: S608 - fixed text

# Quarters find a poison step among 200 in seven deaths, halves in ten; each death costs a restart.
_QUARTER = "greatest(1, batch_size / 4)"
# Alone too often: a human.
_GO_BACK = """
UPDATE steps
SET state = CASE WHEN charged >= %(alone_limit)s THEN 'needs_human' ELSE 'ready' END,
    code = CASE WHEN charged >= %(alone_limit)s THEN 'quarantined' ELSE %(code)s END,
    error = %(error)s,
    worker = NULL, lease_until = NULL, rung_at = NULL,
"""
_GONE_BACK = "RETURNING id, job_id, system, state, action, attempt"

_LOST = "state = 'leased' AND (lease_until < now() OR worker = ANY(%(dead)s))"
# Jobs whose event chain is to say that a step of theirs was quarantined.
JOBS_OF_LOST = f"""
SELECT job_id FROM steps WHERE {_LOST} AND charged >= %(alone_limit)s
"""  # noqa: S608 - fixed text
# A step goes back when its lease has run out or its worker is known to be dead. One of those that a
# dead worker held together may have killed it: others go first.
TAKE_BACK = f"""
{_GO_BACK}
    batch_cap = {_QUARTER},
    run_at = CASE WHEN worker = ANY(%(dead)s) AND batch_size > 1
                  THEN now() + make_interval(secs => {SUSPECT_WAIT_S}) ELSE run_at END
WHERE id IN (
    SELECT id FROM steps
    WHERE {_LOST} AND (charged < %(alone_limit)s OR job_id = ANY(%(jobs)s))
    FOR UPDATE SKIP LOCKED)
{_GONE_BACK}
"""  # noqa: S608 - fixed text

WAKE = """
UPDATE steps SET state = 'ready', rung_at = NULL
WHERE id IN (SELECT id FROM steps WHERE state = 'waiting' AND run_at <= now()
             LIMIT 1000 FOR UPDATE SKIP LOCKED)
"""

# Systems with ready work: a look into the index for each, however much there is.
TO_RING = """
SELECT known.system FROM (SELECT DISTINCT system FROM slots) AS known
CROSS JOIN LATERAL (
    SELECT FROM steps s
    WHERE s.system = known.system AND s.state = 'ready' AND s.run_at <= now()
    ORDER BY s.urgency_at, s.id LIMIT 1) AS waiting
"""
ANY_READY = """
SELECT 1 FROM steps WHERE system = %(system)s AND state = 'ready' AND run_at <= now()
ORDER BY urgency_at, id LIMIT 1
"""

# Slots and rings only pace the work, steps carry its truth: their commits need not reach the disk.
_UNHURRIED = "SET LOCAL synchronous_commit = off;"

RING = f"""{_UNHURRIED}
INSERT INTO rings (system, rung_at) SELECT unnest(%(systems)s::text[]), now()
ON CONFLICT (system) DO UPDATE SET rung_at = excluded.rung_at
WHERE rings.rung_at < now() - make_interval(secs => %(quiet_s)s)
RETURNING system
"""

UNRING_AND_TAKE_SLOT = f"""{_UNHURRIED}
DELETE FROM rings WHERE system = %(system)s;
UPDATE slots SET worker = %(worker)s, token = token + 1,
                 lease_until = now() + make_interval(secs => %(lease_s)s)
WHERE (system, number) = (
    SELECT system, number FROM slots
    WHERE system = %(system)s AND lease_until < now()
    ORDER BY reserved, number LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING number, reserved, token
"""  # noqa: S608 - fixed text, no value
RENEW_SLOTS = """
UPDATE slots SET lease_until = now() + make_interval(secs => %(lease_s)s)
WHERE worker = %(worker)s AND lease_until >= now()
"""
LEAVE_SLOT = f"""{_UNHURRIED}
UPDATE slots SET lease_until = '-infinity', worker = NULL
WHERE system = %(system)s AND number = %(number)s AND token = %(token)s
"""  # noqa: S608 - fixed text, no value
FREE_SLOTS_OF_DEAD = """
UPDATE slots SET lease_until = '-infinity', worker = NULL WHERE worker = ANY(%(dead)s)
"""

JOB_COLUMNS = """
    id, ref, kind, state, phase, round, pending, frozen, urgency_at, urgent, law, country,
    received_at, zone, plan, plan_hash, facts, head_seq, head_hash, verified_at, approved_by,
    submitted_by, data_key, closed_at, business_now() AS now,
    (SELECT jsonb_build_object('map', f.map_hash, 'policy', f.policy_hash, 'law', f.law_hash)
     FROM frozen f WHERE f.id = jobs.frozen) AS versions
"""

# Two systems may finish steps of the same jobs at once: rows are locked in one order.
LOCK_JOBS = f"""
SELECT {JOB_COLUMNS}
FROM jobs WHERE id = ANY(%(ids)s) ORDER BY id FOR UPDATE
"""  # noqa: S608 - fixed text

FINISH = """
WITH v(id, attempt, state, code, error, details, result, wait_s, charge) AS (
    VALUES %s
), ours AS (
    SELECT s.id FROM steps s JOIN v USING (id, attempt) WHERE s.state = 'leased'
    ORDER BY s.id FOR NO KEY UPDATE OF s
)
UPDATE steps s
SET state = v.state, code = v.code, error = v.error, details = coalesce(v.details, s.details),
    result = coalesce(v.result, s.result),
    run_at = CASE WHEN v.wait_s > 0 THEN now() + make_interval(secs => v.wait_s) ELSE s.run_at END,
    charged = greatest(0, s.charged + v.charge),
    finished_at = CASE WHEN v.state IN ('done', 'failed') THEN now() END,
    worker = NULL, lease_until = NULL, rung_at = NULL
FROM v JOIN ours USING (id)
WHERE s.id = v.id AND s.attempt = v.attempt AND s.state = 'leased'
RETURNING s.id
"""

# Given back unworked, by a worker that stops: no attempt is charged.
RELEASE = f"""
UPDATE steps SET state = 'ready', charged = greatest(0, charged - (batch_size = 1)::int),
                 worker = NULL, lease_until = NULL, rung_at = NULL
WHERE state = 'leased' AND id IN (SELECT id FROM ({_OURS}) AS ours)
"""  # noqa: S608 - fixed text

# Given back by a worker that lost its lease over the work. Where nobody took one of the batch away,
# the work is suspect: it comes later, in quarters, and what was alone stays charged.
GIVE_UP = f"""
WITH ours AS ({_OURS}), taken_away AS (
    SELECT count(*) < cardinality(%(ids)s::bigint[]) AS any_gone FROM ours
)
{_GO_BACK}
    batch_cap = CASE WHEN t.any_gone THEN batch_cap ELSE {_QUARTER} END,
    run_at = CASE WHEN t.any_gone THEN run_at
                  ELSE now() + make_interval(secs => {SUSPECT_WAIT_S}) END
FROM taken_away t
WHERE state = 'leased' AND id IN (SELECT id FROM ours)
{_GONE_BACK}
"""  # noqa: S608 - fixed text

# Whether a batch is still its worker's; until the transaction ends it cannot be taken away.
LOCK_OURS = f"""
SELECT count(*) AS ours, min(extract(epoch FROM lease_until - now())) AS left_s FROM ({_OURS}) AS l
"""  # noqa: S608 - fixed text
INTEND = """
UPDATE steps s SET intent = coalesce(s.intent, '[]') || v.intent::jsonb
FROM (VALUES %s) AS v(id, attempt, intent)
WHERE s.id = v.id AND s.attempt = v.attempt AND s.state = 'leased'
RETURNING s.id
"""
