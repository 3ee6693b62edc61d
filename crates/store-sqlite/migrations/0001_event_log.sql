-- The event log. Instants are microseconds since 1970 in UTC; lists and structures are JSON in TEXT.
-- Each migration ends by setting user_version to its own number: a reader compares it without taking part in migrating.

CREATE TABLE events (
    -- Order of arrival. AUTOINCREMENT: a number is never given twice, even after everything was forgotten, so that
    -- who follows the log by row number misses nothing.
    row             INTEGER PRIMARY KEY AUTOINCREMENT,
    id              TEXT    NOT NULL UNIQUE,
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
    error           TEXT    NOT NULL,
    occurred_at     INTEGER NOT NULL,
    received_at     INTEGER NOT NULL,
    outcome         TEXT    NOT NULL,
    why             TEXT,
    rules           TEXT    NOT NULL DEFAULT '[]',
    rulebook        TEXT,
    decided_at      INTEGER,
    deliveries      INTEGER NOT NULL DEFAULT 1,
    -- Attempts begun since one last ended: a worker that dies over the event leaves one behind.
    begun           INTEGER NOT NULL DEFAULT 0,
    failures        INTEGER NOT NULL DEFAULT 0,
    stream_sequence INTEGER NOT NULL,
    subject         TEXT    NOT NULL,
    headers         TEXT    NOT NULL,
    -- Last, so that a listing never reads past it.
    body_redacted   INTEGER NOT NULL,
    body            BLOB    NOT NULL
) STRICT;

-- Every index ends in the row number by itself: listings by one of these need no sorting.
CREATE INDEX events_by_tenant      ON events (tenant);
CREATE INDEX events_by_received_at ON events (received_at);
CREATE INDEX events_by_outcome     ON events (outcome);
CREATE INDEX events_by_job_id      ON events (job_id);
CREATE INDEX events_by_status      ON events (status);

CREATE TABLE decisions (
    event      TEXT    NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    run        TEXT    NOT NULL,
    rulebook   TEXT    NOT NULL,
    decided_at INTEGER NOT NULL,
    facts      TEXT    NOT NULL,
    verdicts   TEXT    NOT NULL,
    steps      TEXT    NOT NULL,
    new_values TEXT    NOT NULL,
    PRIMARY KEY (event, run)
) STRICT;

-- The ledger.
CREATE TABLE steps (
    -- Order in the decision.
    row           INTEGER PRIMARY KEY,
    key           TEXT    NOT NULL UNIQUE,
    event         TEXT    NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    run           TEXT    NOT NULL,
    rule          TEXT    NOT NULL,
    place         INTEGER NOT NULL,
    action        TEXT    NOT NULL,
    state         TEXT    NOT NULL DEFAULT 'pending',
    -- How often it was begun in all.
    attempts      INTEGER NOT NULL DEFAULT 0,
    -- How many of these may have had their effect: begun and never settled, or settled as uncertain.
    begun         INTEGER NOT NULL DEFAULT 0,
    worker        TEXT,
    lease_until   INTEGER,
    perhaps_twice INTEGER NOT NULL DEFAULT 0,
    request       TEXT,
    answer        TEXT,
    error         TEXT,
    changed_at    INTEGER NOT NULL
) STRICT;

CREATE INDEX steps_by_event ON steps (event, run);

CREATE TABLE attempts (
    event   TEXT    NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    run     TEXT    NOT NULL,
    number  INTEGER NOT NULL,
    worker  TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    outcome TEXT    NOT NULL,
    why     TEXT,
    -- A failure counts until a person reopens the event; the history stays.
    counts  INTEGER NOT NULL,
    PRIMARY KEY (event, run, number)
) STRICT;

-- The last value of a rule's `changed` expression, as a JSON string so that it comes back letter by letter.
CREATE TABLE last_values (
    rule        TEXT    NOT NULL,
    scope       TEXT    NOT NULL,
    value       TEXT    NOT NULL,
    -- Of the event it came from: an older event never replaces the value of a newer one.
    occurred_at INTEGER NOT NULL,
    -- When a decision last set or met it.
    used_at     INTEGER NOT NULL,
    PRIMARY KEY (rule, scope)
) STRICT;

CREATE INDEX last_values_by_used_at ON last_values (used_at);

-- The newest event whose change of a schedule was applied.
CREATE TABLE applied (
    scope     TEXT    NOT NULL PRIMARY KEY,
    -- Of the event.
    at        INTEGER NOT NULL,
    event     TEXT    NOT NULL,
    -- When it was applied: retention goes by this, because an event may be older than what is kept.
    marked_at INTEGER NOT NULL
) STRICT;

CREATE INDEX applied_by_marked_at ON applied (marked_at);

CREATE TABLE rulebooks (
    version TEXT    NOT NULL PRIMARY KEY,
    text    TEXT    NOT NULL,
    -- When it was last loaded, or last decided about an event.
    used_at INTEGER NOT NULL
) STRICT;

-- "Ghk1": the file says whose it is.
PRAGMA application_id = 1198025521;
PRAGMA user_version = 1;
