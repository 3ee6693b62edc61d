-- Rules that pause when they would touch too many tenants, what is held then, and what it takes to undo a wave.

-- When a rule with a limit last touched a tenant (`<env>/<tenant>`).
CREATE TABLE touched (
    rule   TEXT    COLLATE "C" NOT NULL,
    tenant TEXT    COLLATE "C" NOT NULL,
    at     BIGINT  NOT NULL,
    PRIMARY KEY (rule, tenant)
);

CREATE INDEX touched_by_at ON touched (at);

-- Rules that wait for a person.
CREATE TABLE pauses (
    rule      TEXT    COLLATE "C" NOT NULL PRIMARY KEY,
    paused_at BIGINT  NOT NULL,
    -- The limit that was reached; `per` in microseconds.
    tenants   BIGINT  NOT NULL,
    per       BIGINT  NOT NULL,
    -- Key of the step that tells people.
    alert     TEXT    COLLATE "C" NOT NULL
);

-- When a person had a held step released; no worker needs to have taken it up.
ALTER TABLE steps ADD COLUMN released_at BIGINT;
-- The schedule as it was before the step changed it, as JSON.
ALTER TABLE steps ADD COLUMN schedule_before TEXT;

CREATE INDEX steps_held ON steps (left(rule, 200)) WHERE state = 'held';
CREATE INDEX steps_by_rule ON steps (left(rule, 200), changed_at);

UPDATE gluehook_event_log SET version = 3;
