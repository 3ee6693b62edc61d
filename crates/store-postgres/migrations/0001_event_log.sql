-- The event log. Instants are microseconds since 1970 in UTC; structures are JSON in TEXT, never looked into.
-- What is compared by order, or by how it begins, is COLLATE "C": by its bytes, in every database alike.
-- Each migration ends by setting the version to its own number: a reader compares it without taking part in migrating.

CREATE TABLE gluehook_event_log (
    -- The one row there is.
    single  BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (single),
    version BIGINT  NOT NULL
);

CREATE TABLE events (
    -- The transaction that entered it. First, so that the transaction has its number before the row gets its own: who
    -- follows the log by row number reads up to the oldest transaction still under way, and misses nothing.
    xact            BIGINT  NOT NULL DEFAULT (pg_current_xact_id()::text::bigint),
    -- Order of arrival. A number is never given twice.
    row             BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id              TEXT    COLLATE "C" NOT NULL UNIQUE,
    -- The run in which it was first seen; stream_sequence belongs to that run's stream.
    run             TEXT    NOT NULL,
    kind            TEXT    NOT NULL,
    source          TEXT    NOT NULL,
    endpoint        TEXT    NOT NULL,
    env_id          TEXT    NOT NULL,
    flow_id         TEXT    NOT NULL,
    tenant          TEXT    NOT NULL,
    job_id          TEXT    NOT NULL,
    job_name        TEXT    NOT NULL,
    tap             TEXT    NOT NULL,
    target          TEXT    NOT NULL,
    connector       TEXT    NOT NULL,
    status          TEXT    NOT NULL,
    sync_type       TEXT    NOT NULL,
    -- In "C", case is that of ASCII alone.
    error           TEXT    COLLATE "C" NOT NULL,
    occurred_at     BIGINT  NOT NULL,
    received_at     BIGINT  NOT NULL,
    outcome         TEXT    NOT NULL,
    why             TEXT,
    rules           TEXT[]  NOT NULL DEFAULT '{}',
    rulebook        TEXT,
    decided_at      BIGINT,
    deliveries      BIGINT  NOT NULL DEFAULT 1,
    -- Attempts begun since one last ended: a worker that dies over the event leaves one behind.
    begun           BIGINT  NOT NULL DEFAULT 0,
    failures        BIGINT  NOT NULL DEFAULT 0,
    stream_sequence BIGINT  NOT NULL,
    subject         TEXT    NOT NULL,
    headers         TEXT    NOT NULL,
    body_redacted   BOOLEAN NOT NULL,
    body            BYTEA   NOT NULL
);

-- Every index ends in the row number: listings by one of these need no sorting. Names are cut where an index would not
-- take them.
CREATE INDEX events_by_tenant      ON events (left(tenant, 200), row);
CREATE INDEX events_by_received_at ON events (received_at, row);
CREATE INDEX events_by_outcome     ON events (outcome, row) WHERE outcome IN ('open', 'retrying', 'dead');
CREATE INDEX events_by_job_id      ON events (left(job_id, 200), row);
CREATE INDEX events_by_status      ON events (left(status, 200), row);

CREATE TABLE decisions (
    event      TEXT   COLLATE "C" NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    run        TEXT   COLLATE "C" NOT NULL,
    rulebook   TEXT   NOT NULL,
    decided_at BIGINT NOT NULL,
    facts      TEXT   NOT NULL,
    verdicts   TEXT   NOT NULL,
    steps      TEXT   NOT NULL,
    new_values TEXT   NOT NULL,
    PRIMARY KEY (event, run)
);

-- The ledger.
CREATE TABLE steps (
    -- Order in the decision.
    row           BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key           TEXT    COLLATE "C" NOT NULL UNIQUE,
    event         TEXT    COLLATE "C" NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    run           TEXT    COLLATE "C" NOT NULL,
    rule          TEXT    NOT NULL,
    place         BIGINT  NOT NULL,
    action        TEXT    NOT NULL,
    state         TEXT    NOT NULL DEFAULT 'pending',
    -- How often it was begun in all.
    attempts      BIGINT  NOT NULL DEFAULT 0,
    -- How many of these may have had their effect: begun and never settled, or settled as uncertain.
    begun         BIGINT  NOT NULL DEFAULT 0,
    worker        TEXT,
    lease_until   BIGINT,
    perhaps_twice BOOLEAN NOT NULL DEFAULT FALSE,
    request       TEXT,
    answer        TEXT,
    error         TEXT,
    changed_at    BIGINT  NOT NULL
);

CREATE INDEX steps_by_event ON steps (event, run);

CREATE TABLE attempts (
    event   TEXT    COLLATE "C" NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    run     TEXT    COLLATE "C" NOT NULL,
    number  BIGINT  NOT NULL,
    worker  TEXT    NOT NULL,
    at      BIGINT  NOT NULL,
    outcome TEXT    NOT NULL,
    why     TEXT,
    -- A failure counts until a person reopens the event; the history stays.
    counts  BOOLEAN NOT NULL,
    PRIMARY KEY (event, run, number)
);

-- The last value of a rule's `changed` expression, as a JSON string so that it comes back letter by letter.
CREATE TABLE last_values (
    rule        TEXT   COLLATE "C" NOT NULL,
    scope       TEXT   COLLATE "C" NOT NULL,
    value       TEXT   NOT NULL,
    -- Of the event it came from: an older event never replaces the value of a newer one.
    occurred_at BIGINT NOT NULL,
    -- When a decision last set or met it.
    used_at     BIGINT NOT NULL,
    PRIMARY KEY (rule, scope)
);

CREATE INDEX last_values_by_used_at ON last_values (used_at);

-- The newest event whose change of a schedule was applied.
CREATE TABLE applied (
    scope     TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    -- Of the event.
    at        BIGINT NOT NULL,
    event     TEXT   COLLATE "C" NOT NULL,
    -- When it was applied: retention goes by this, because an event may be older than what is kept.
    marked_at BIGINT NOT NULL
);

CREATE INDEX applied_by_marked_at ON applied (marked_at);

CREATE TABLE rulebooks (
    version TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    text    TEXT   NOT NULL,
    -- When it was last loaded, or last decided about an event.
    used_at BIGINT NOT NULL
);

INSERT INTO gluehook_event_log (version) VALUES (1);
