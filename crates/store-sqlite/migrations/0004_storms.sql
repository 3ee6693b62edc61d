-- Storms: many Slack messages of one kind that are told in one. And how fast messages to one channel follow one another.

CREATE TABLE storms (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Digest of what its messages have in common.
    kind            TEXT    NOT NULL,
    rule            TEXT    NOT NULL,
    env_id          TEXT    NOT NULL,
    flow_id         TEXT    NOT NULL,
    run             TEXT    NOT NULL,
    -- As the rule names it; none = the configured one.
    channel         TEXT,
    shape           TEXT    NOT NULL,
    -- Id of the first event that folded.
    example         TEXT    NOT NULL,
    -- open: messages fold into it; over: it has to be summed up; closed.
    state           TEXT    NOT NULL DEFAULT 'open',
    -- It is over when none came for so long (microseconds).
    per             INTEGER NOT NULL,
    since           INTEGER NOT NULL,
    last_at         INTEGER NOT NULL,
    -- Posted on their own before.
    alone           INTEGER NOT NULL,
    -- Steps that folded into it, numbered from 1; and up to which of them Slack has taken a message that counts them.
    folded          INTEGER NOT NULL DEFAULT 0,
    told            INTEGER NOT NULL DEFAULT 0,
    told_at         INTEGER,
    -- The message that is updated.
    message_channel TEXT,
    message_ts      TEXT,
    -- Posts that may have arrived although no answer came, and what the last of them counted.
    begun           INTEGER NOT NULL DEFAULT 0,
    begun_upto      INTEGER NOT NULL DEFAULT 0,
    -- How often a worker took it, who has it, and until when; not to be taken before next_at.
    taken           INTEGER NOT NULL DEFAULT 0,
    worker          TEXT,
    lease_until     INTEGER NOT NULL DEFAULT 0,
    next_at         INTEGER NOT NULL,
    -- Calls in a row that Slack did not take, and the last cause.
    failures        INTEGER NOT NULL DEFAULT 0,
    why             TEXT
) STRICT;

CREATE UNIQUE INDEX storms_open ON storms (kind) WHERE state = 'open';
CREATE INDEX storms_untold ON storms (next_at) WHERE state <> 'closed';
CREATE INDEX storms_by_last_at ON storms (last_at);

-- The kind of a message, and when it was decided whether it folds.
ALTER TABLE steps ADD COLUMN kind TEXT;
ALTER TABLE steps ADD COLUMN kind_at INTEGER;
-- The storm it is told in, and its number there; none = posted on its own.
ALTER TABLE steps ADD COLUMN storm INTEGER;
ALTER TABLE steps ADD COLUMN storm_number INTEGER;
-- When a message that has to wait was told to come back.
ALTER TABLE steps ADD COLUMN not_before INTEGER;

CREATE INDEX steps_by_kind ON steps (kind, kind_at) WHERE kind IS NOT NULL;
CREATE INDEX steps_by_storm ON steps (storm, storm_number) WHERE storm IS NOT NULL;

-- Where the line of each Slack channel stands.
CREATE TABLE slack_lines (
    channel     TEXT    NOT NULL PRIMARY KEY,
    free_at     INTEGER NOT NULL DEFAULT 0,
    queue_until INTEGER NOT NULL DEFAULT 0
) STRICT;

-- The one row: until when Slack has asked for quiet.
CREATE TABLE slack_quiet (
    single INTEGER NOT NULL PRIMARY KEY DEFAULT 1 CHECK (single = 1),
    until  INTEGER NOT NULL DEFAULT 0
) STRICT;

INSERT INTO slack_quiet (single) VALUES (1);

PRAGMA user_version = 4;
