-- The ledger: the only record of work. No personal data stands here in the clear: identities, contact
-- points and notes are sealed under a data key per case, and digests are keyed.

-- one row: which key ring this ledger belongs to, and how far the business clock is moved (trials only)
CREATE TABLE instance (
    only_one         boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    key_fingerprint  text NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now(),
    trial            boolean NOT NULL DEFAULT false,
    clock_offset     interval NOT NULL DEFAULT '0',
    CHECK (trial OR clock_offset = '0')
);

-- the instant by which law, schedules and expiry go; leases go by now() itself
CREATE FUNCTION business_now() RETURNS timestamptz LANGUAGE sql STABLE AS
    $$ SELECT now() + coalesce((SELECT clock_offset FROM instance), '0') $$;

CREATE TABLE actors (
    name        text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9._-]{0,63}$'),
    public_key  bytea NOT NULL UNIQUE,
    added_at    timestamptz NOT NULL DEFAULT now(),
    retired_at  timestamptz
);
CREATE TABLE used_nonces (nonce text PRIMARY KEY, used_at timestamptz NOT NULL DEFAULT now());
CREATE INDEX used_nonces_at ON used_nonces (used_at);

-- texts kept by hash, so that a job is judged by what it was begun with
CREATE TABLE texts (
    hash     text PRIMARY KEY,
    kind     text NOT NULL,
    body     text NOT NULL,
    kept_at  timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE frozen (
    id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    map_hash     text NOT NULL REFERENCES texts,
    policy_hash  text NOT NULL REFERENCES texts,
    law_hash     text NOT NULL REFERENCES texts,
    decided_at   timestamptz NOT NULL,
    UNIQUE (map_hash, policy_hash, law_hash, decided_at)
);

CREATE TABLE jobs (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ref              text NOT NULL UNIQUE,
    kind             text NOT NULL,
    state            text NOT NULL,
    phase            text NOT NULL,
    round            smallint NOT NULL DEFAULT 0,
    pending          integer NOT NULL DEFAULT 0,
    frozen           integer NOT NULL REFERENCES frozen,
    urgency_at       timestamptz NOT NULL,
    urgent           boolean NOT NULL DEFAULT false,
    data_key         bytea,                     -- wrapped; NULL once shredded
    submitted_by     text REFERENCES actors,
    approved_by      text REFERENCES actors,
    idempotency_key  text UNIQUE,
    request_digest   bytea,                     -- of the submitted content: a reused key must say the same
    law              text,
    country          text,
    channel          text,
    received_at      timestamptz,
    zone             text,
    verified_at      timestamptz,
    verified_how     text,
    plan             jsonb,
    plan_hash        text,
    facts            jsonb NOT NULL DEFAULT '{}',
    head_seq         integer NOT NULL DEFAULT 0,
    head_hash        bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),
    created_at       timestamptz NOT NULL DEFAULT business_now(),
    closed_at        timestamptz,
    shredded_at      timestamptz,
    just_answered    boolean NOT NULL DEFAULT false,  -- its spools have not been looked at since
    unsealed         boolean NOT NULL DEFAULT false,  -- has events that no checkpoint covers
    CHECK (approved_by IS NULL OR approved_by IS DISTINCT FROM submitted_by)
) WITH (fillfactor = 70);
CREATE INDEX jobs_open ON jobs (kind, state) WHERE closed_at IS NULL;
CREATE INDEX jobs_not_urgent ON jobs (urgency_at) WHERE closed_at IS NULL AND NOT urgent;
CREATE INDEX jobs_after_access ON jobs (id) WHERE phase = 'after_access' AND closed_at IS NULL;
CREATE INDEX jobs_just_answered ON jobs (id) WHERE just_answered;
CREATE INDEX jobs_unsealed ON jobs (id) WHERE unsealed;
CREATE INDEX jobs_to_shred ON jobs (closed_at) WHERE shredded_at IS NULL;

CREATE TABLE identities (
    job_id    bigint NOT NULL REFERENCES jobs,
    kind      text NOT NULL,
    digest    bytea NOT NULL,
    sealed    bytea,                            -- NULL once shredded; the keyed digest stays
    standing  text NOT NULL CHECK (standing IN ('claimed', 'verified', 'resolved', 'contested')),
    ground    text NOT NULL DEFAULT '',         -- "system.collection via kind"
    round     smallint NOT NULL DEFAULT 0,
    PRIMARY KEY (job_id, kind, digest)
);
CREATE INDEX identities_digest ON identities (digest);

CREATE TABLE clocks (
    id                   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id               bigint NOT NULL REFERENCES jobs,
    name                 text NOT NULL,         -- respond, acknowledge, authority:DE …
    recipient            text NOT NULL DEFAULT '',
    citation             text NOT NULL,
    verified             boolean NOT NULL,
    zone                 text NOT NULL,
    started_at           timestamptz NOT NULL,
    due_at               timestamptz,
    due_on               date,
    conservative_due_at  timestamptz,
    conservative_due_on  date,
    calendar_version     text NOT NULL DEFAULT '',
    state                text NOT NULL DEFAULT 'running'
                         CHECK (state IN ('running', 'paused', 'met', 'missed', 'void')),
    condition            text NOT NULL DEFAULT '',
    settled_at           timestamptz,
    facts                jsonb NOT NULL DEFAULT '{}',
    UNIQUE (job_id, name)
);
CREATE INDEX clocks_due ON clocks (conservative_due_at)
    WHERE state IN ('running', 'paused') OR (state = 'missed' AND settled_at IS NULL);
CREATE INDEX clocks_statutory ON clocks (due_at) WHERE state = 'running';

-- one row per clock and threshold; sent along the chain until somebody acknowledges
CREATE TABLE warnings (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    clock_id         bigint NOT NULL REFERENCES clocks,
    threshold        text NOT NULL,
    raised_at        timestamptz NOT NULL DEFAULT business_now(),
    link             smallint NOT NULL DEFAULT 0,
    sent             integer NOT NULL DEFAULT 0,
    next_send_at     timestamptz NOT NULL DEFAULT business_now(),
    acknowledged_at  timestamptz,
    acknowledged_by  text REFERENCES actors,
    UNIQUE (clock_id, threshold)
);

CREATE TABLE steps (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id        bigint NOT NULL REFERENCES jobs,
    action        text NOT NULL,
    system        text NOT NULL,                -- 'desk' for the engine's own work
    round         smallint NOT NULL DEFAULT 0,
    frozen        integer NOT NULL REFERENCES frozen,
    effect        text NOT NULL CHECK (effect IN ('read', 'idempotent', 'probe', 'manual')),
    state         text NOT NULL DEFAULT 'ready'
                  CHECK (state IN ('blocked', 'ready', 'leased', 'done', 'waiting', 'needs_human',
                                   'failed', 'cancelled')),
    sweep         boolean NOT NULL DEFAULT false,
    urgency_at    timestamptz NOT NULL,
    urgent        boolean NOT NULL DEFAULT false,
    run_at        timestamptz NOT NULL DEFAULT now(),
    attempt       integer NOT NULL DEFAULT 0,   -- claims so far: the fencing token
    charged       integer NOT NULL DEFAULT 0,   -- claims in which it was alone: what quarantine counts
    batch_cap     integer NOT NULL DEFAULT 200,
    batch_size    integer NOT NULL DEFAULT 0,
    worker        bigint,
    lease_until   timestamptz,
    rung_at       timestamptz,
    started_at    timestamptz,
    finished_at   timestamptz,
    code          text NOT NULL DEFAULT '',     -- why waiting, what for a human, how failed
    error         text NOT NULL DEFAULT '',     -- what the last attempt met; no personal data
    details       jsonb,
    intent        jsonb,                        -- receipts as counted before a commit, by commit
    result        jsonb,
    UNIQUE (job_id, action, system, round)
) WITH (fillfactor = 60);
CREATE INDEX steps_ready ON steps (system, urgency_at, id) WHERE state = 'ready';
CREATE INDEX steps_waiting ON steps (run_at) WHERE state = 'waiting';
CREATE INDEX steps_leased ON steps (worker) WHERE state = 'leased';
CREATE INDEX steps_stuck ON steps (job_id) WHERE state IN ('needs_human', 'failed');

CREATE TABLE receipts (
    step_id     bigint NOT NULL REFERENCES steps,
    job_id      bigint NOT NULL REFERENCES jobs,
    system      text NOT NULL,
    collection  text NOT NULL,
    outcome     text NOT NULL,
    row_count   bigint NOT NULL,
    fields      bigint NOT NULL DEFAULT 0,
    ground      text NOT NULL DEFAULT '',
    until_on    date,                           -- the last of them has to be kept until then
    first_until_on date,                        -- the first of them
    before_commit boolean NOT NULL DEFAULT false   -- counted before a commit whose end was not seen
);
CREATE INDEX receipts_job ON receipts (job_id);

-- appeals of people against the answer of a case, in their order
CREATE TABLE appeals (
    job_id       bigint NOT NULL REFERENCES jobs,
    number       smallint NOT NULL,
    received_at  timestamptz NOT NULL,
    late         boolean NOT NULL DEFAULT false,  -- taken although its time was over
    was          text NOT NULL,                   -- the state of the case before it
    answered_by  text REFERENCES actors,          -- who refused, or approved the answer
    verdict      text CHECK (verdict IN ('dismissed', 'granted', 'partly', 'withdrawn')),
    decided_by   text REFERENCES actors,
    PRIMARY KEY (job_id, number),
    CHECK ((verdict IS NULL) = (decided_by IS NULL)),
    CHECK (verdict = 'withdrawn' OR decided_by IS NULL OR decided_by IS DISTINCT FROM answered_by)
);

-- where a step's sealed records, keys and kept digests lie; only rows of the finishing update exist
CREATE TABLE spools (
    step_id  bigint NOT NULL REFERENCES steps,
    job_id   bigint NOT NULL REFERENCES jobs,
    name     text NOT NULL,                     -- records | keys | kept | mentions | people
    frame    jsonb NOT NULL,
    PRIMARY KEY (step_id, name)
);
CREATE INDEX spools_job ON spools (job_id);
CREATE INDEX spools_segment ON spools ((frame->>'segment'));

-- a connector's call that is made in units, for the steps that asked for it together
CREATE TABLE scans (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    system       text NOT NULL,
    call         text NOT NULL,
    second_path  boolean NOT NULL,
    changes      boolean NOT NULL DEFAULT false,  -- not only reads: its answer does not grow old
    urgency_at   timestamptz NOT NULL,
    segment      text NOT NULL DEFAULT '',      -- the keys the call was given
    map          text NOT NULL DEFAULT '',      -- by which its units may be others' too; '': they are its own
    division     bigint,                        -- the scan that named its units: their numbers mean the same
    divided_at   timestamptz NOT NULL DEFAULT now(),  -- when that began
    pending      integer NOT NULL DEFAULT 1,    -- units that have not ended
    ended_at     timestamptz
);
CREATE INDEX scans_open ON scans (system, urgency_at, id) WHERE ended_at IS NULL;
CREATE INDEX scans_division ON scans (division) WHERE ended_at IS NULL;
CREATE TABLE scan_steps (
    scan_id  bigint NOT NULL REFERENCES scans ON DELETE CASCADE,
    step_id  bigint NOT NULL REFERENCES steps,
    frame    jsonb,                             -- where this step's keys lie in the segment
    stated   jsonb NOT NULL DEFAULT '[]',       -- where it changes: what its units stated so far, added up
    stop     jsonb,                             -- … and why none of them is to be begun any more
    PRIMARY KEY (step_id, scan_id)
);
CREATE INDEX scan_steps_scan ON scan_steps (scan_id);
CREATE TABLE units (
    scan_id      bigint NOT NULL REFERENCES scans ON DELETE CASCADE,
    number       integer NOT NULL,              -- 0 divides: it makes the others, page by page
    name         bytea NOT NULL,                -- sealed; of number 0, the last one that was made
    size_bytes   bigint NOT NULL DEFAULT 0,
    leads        boolean NOT NULL DEFAULT false,  -- the others wait for its end
    given        jsonb NOT NULL DEFAULT '{}',   -- by step: where its keys of this unit lie
    state        text NOT NULL DEFAULT 'ready' CHECK (state IN ('ready', 'leased', 'done', 'stopped')),
    run_at       timestamptz NOT NULL DEFAULT now(),
    attempt      integer NOT NULL DEFAULT 0,    -- claims so far: the fencing token
    charged      integer NOT NULL DEFAULT 0,    -- those that count for quarantine
    worker       bigint,
    lease_until  timestamptz,
    segments     text[] NOT NULL DEFAULT '{}',  -- what it was given and what it found,
    frames       jsonb NOT NULL DEFAULT '{}',   -- and where in it each step's part lies
    stops        jsonb NOT NULL DEFAULT '{}',   -- why it stopped, by step ('' for all)
    intents      jsonb NOT NULL DEFAULT '[]',   -- what its attempts were about to change
    PRIMARY KEY (scan_id, number)
) WITH (fillfactor = 70);
CREATE INDEX units_ready ON units (scan_id, number) WHERE state = 'ready';
CREATE INDEX units_leased ON units (worker) WHERE state = 'leased';
CREATE INDEX units_leading ON units (scan_id) WHERE leads AND state IN ('ready', 'leased');
CREATE INDEX units_segments ON units USING gin (segments);
-- what a step was about to change, by commit: in a call made whole, and in its units
CREATE VIEW step_intents AS
SELECT s.id AS step_id, i.intent->'receipts' AS receipts
FROM steps s CROSS JOIN LATERAL jsonb_array_elements(s.intent) AS i(intent)
UNION ALL
SELECT t.step_id, i.intent->'receipts'->(t.step_id::text)
FROM scan_steps t JOIN scans c ON c.id = t.scan_id AND c.changes
JOIN units u ON u.scan_id = t.scan_id
CROSS JOIN LATERAL jsonb_array_elements(u.intents) AS i(intent)
WHERE i.intent->'receipts' ? (t.step_id::text);

CREATE TABLE slots (
    system       text NOT NULL,
    number       smallint NOT NULL,
    reserved     boolean NOT NULL DEFAULT false,
    worker       bigint,
    token        bigint NOT NULL DEFAULT 0,
    lease_until  timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (system, number)
) WITH (fillfactor = 50);
CREATE TABLE rings (system text PRIMARY KEY, rung_at timestamptz NOT NULL) WITH (fillfactor = 50);

CREATE TABLE workers (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    host        text NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    seen_at     timestamptz NOT NULL DEFAULT now()
);

-- how fast each system works off its steps, as last measured: what forecasts go by
CREATE TABLE pace (
    system         text PRIMARY KEY,
    measured_at    timestamptz NOT NULL,
    ready          bigint NOT NULL,
    done_per_hour  double precision NOT NULL
);

-- what is done now and then, by one process for all
CREATE TABLE chores (name text PRIMARY KEY, done_at timestamptz NOT NULL);

CREATE TABLE events (
    job_id  bigint NOT NULL REFERENCES jobs,
    seq     integer NOT NULL,
    at      timestamptz NOT NULL,
    kind    text NOT NULL,
    actor   text NOT NULL DEFAULT '',
    body    text NOT NULL,                      -- canonical JSON as hashed, never re-serialised
    leaf    bytea NOT NULL,
    chain   bytea NOT NULL,
    PRIMARY KEY (job_id, seq)
);
CREATE INDEX events_newest ON events (at, job_id, seq);  -- `dsr decisions` reads from the end
CREATE FUNCTION events_only_grow() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'events are never changed'; END $$;
CREATE TRIGGER events_only_grow BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION events_only_grow();
-- signed statements over new events, and which stretch of which chain each one covers
CREATE TABLE checkpoints (
    number   integer PRIMARY KEY,
    body     text NOT NULL,
    made_at  timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE seals (
    checkpoint  integer NOT NULL REFERENCES checkpoints,
    job_id      bigint NOT NULL REFERENCES jobs,
    from_seq    integer NOT NULL,
    to_seq      integer NOT NULL,
    PRIMARY KEY (job_id, to_seq)
);
CREATE TABLE notes (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id      bigint NOT NULL REFERENCES jobs,
    sealed      bytea,
    commitment  bytea NOT NULL,
    made_at     timestamptz NOT NULL
);

CREATE TABLE codes (
    job_id      bigint PRIMARY KEY REFERENCES jobs,
    digest      bytea NOT NULL,
    expires_at  timestamptz NOT NULL,
    tries       smallint NOT NULL DEFAULT 0
);

CREATE TABLE packages (
    job_id         bigint PRIMARY KEY REFERENCES jobs,
    blob           text NOT NULL,
    kind           text NOT NULL,               -- package | certificate
    size_bytes     bigint NOT NULL,
    sha256         text NOT NULL,
    made_at        timestamptz NOT NULL DEFAULT business_now(),
    expires_at     timestamptz,
    handed_over_at timestamptz,
    destroyed_at   timestamptz
);
CREATE INDEX packages_expiry ON packages (expires_at) WHERE destroyed_at IS NULL;
CREATE INDEX packages_spent ON packages (job_id) WHERE destroyed_at IS NOT NULL AND blob <> '';

CREATE TABLE holds (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ref          text NOT NULL UNIQUE,
    job_id       bigint NOT NULL REFERENCES jobs,   -- its own event chain and data key
    scope        text NOT NULL CHECK (scope IN ('subject', 'rows', 'dataset')),
    system       text,                              -- NULL: every system
    collection   text,
    field        text,
    sealed       bytea,                             -- values of a row set
    reason_code  text NOT NULL,
    matter       text NOT NULL DEFAULT '',
    review_on    date,
    placed_at    timestamptz NOT NULL DEFAULT business_now(),
    placed_by    text NOT NULL REFERENCES actors,
    released_at  timestamptz,
    released_by  text REFERENCES actors
);

-- what the law keeps for now: erased when due, found by "what do you still hold of me?"
CREATE TABLE promises (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id      bigint NOT NULL REFERENCES jobs,
    system      text NOT NULL,
    due_on      date,                               -- NULL: waits for a hold to be released
    last_due_on date,                               -- the last of them goes then
    grounds     text[] NOT NULL,
    row_count   bigint NOT NULL,
    data_key    bytea,                              -- its own: outlives the case's
    sealed      bytea,
    digests     bytea[] NOT NULL,
    carried_out_by bigint REFERENCES jobs,
    awaited_by  bigint[] NOT NULL DEFAULT '{}',      -- cases that end once it is carried out to its end
    made_at     timestamptz NOT NULL DEFAULT business_now()
);
CREATE INDEX promises_due ON promises (due_on) WHERE carried_out_by IS NULL;
CREATE INDEX promises_digests ON promises USING gin (digests);
CREATE INDEX promises_awaited ON promises USING gin (awaited_by);
CREATE INDEX promises_carried_out ON promises (carried_out_by) WHERE carried_out_by IS NOT NULL;

CREATE TABLE suppressions (
    digest    bytea PRIMARY KEY,
    job_id    bigint NOT NULL REFERENCES jobs,
    added_at  timestamptz NOT NULL DEFAULT business_now()
);

CREATE TABLE schedules (
    name          text PRIMARY KEY,
    kind          text NOT NULL,
    cron          text NOT NULL,
    zone          text NOT NULL,
    next_fire_at  timestamptz NOT NULL,
    facts         jsonb NOT NULL DEFAULT '{}',
    enabled       boolean NOT NULL DEFAULT true
);
CREATE TABLE fires (
    schedule  text NOT NULL REFERENCES schedules,
    fire_at   timestamptz NOT NULL,
    job_id    bigint REFERENCES jobs,
    PRIMARY KEY (schedule, fire_at)
);
CREATE TABLE standing_approvals (
    policy       text NOT NULL,
    policy_hash  text NOT NULL,
    max_rows     bigint NOT NULL,
    max_share    double precision NOT NULL,
    approved_by  text NOT NULL REFERENCES actors,
    approved_at  timestamptz NOT NULL DEFAULT business_now(),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    PRIMARY KEY (policy, policy_hash)
);

-- a breach's frozen list: one row a person, and what became of the notice to them
CREATE TABLE notices (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id     bigint NOT NULL REFERENCES jobs,
    digest     bytea NOT NULL,
    sealed     bytea,
    language   text NOT NULL DEFAULT 'en',
    residence  text,
    state      text NOT NULL DEFAULT 'listed'
               CHECK (state IN ('listed', 'sending', 'sent', 'unknown', 'failed', 'no_contact')),
    step_id    bigint REFERENCES steps,
    sent_at    timestamptz,
    UNIQUE (job_id, digest)
);

-- connectors' small sealed values
CREATE TABLE connector_state (
    system      text NOT NULL,
    key         text NOT NULL,
    value       bytea NOT NULL,
    written_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (system, key)
);
CREATE TABLE rate_budgets (
    system       text PRIMARY KEY,
    tokens       double precision NOT NULL,
    refilled_at  timestamptz NOT NULL
) WITH (fillfactor = 50);
