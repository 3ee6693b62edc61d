-- Rules that pause when they would touch too many tenants, what is held then, and what it takes to undo a wave.

-- When a rule with a limit last touched a tenant (`<env>/<tenant>`).
CREATE TABLE touched (
    rule   TEXT    NOT NULL,
    tenant TEXT    NOT NULL,
    at     INTEGER NOT NULL,
    PRIMARY KEY (rule, tenant)
) STRICT;

CREATE INDEX touched_by_at ON touched (at);

-- Rules that wait for a person.
CREATE TABLE pauses (
    rule      TEXT    NOT NULL PRIMARY KEY,
    paused_at INTEGER NOT NULL,
    -- The limit that was reached; `per` in microseconds.
    tenants   INTEGER NOT NULL,
    per       INTEGER NOT NULL,
    -- Key of the step that tells people.
    alert     TEXT    NOT NULL
) STRICT;

-- When a person had a held step released; no worker needs to have taken it up.
ALTER TABLE steps ADD COLUMN released_at INTEGER;
-- The schedule as it was before the step changed it, as JSON.
ALTER TABLE steps ADD COLUMN schedule_before TEXT;

CREATE INDEX steps_held ON steps (rule) WHERE state = 'held';
CREATE INDEX steps_by_rule ON steps (rule, changed_at);

PRAGMA user_version = 3;
