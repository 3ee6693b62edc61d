-- Storms: many Slack messages of one kind that are told in one. And how fast messages to one channel follow one another.

CREATE TABLE storms (
    id              BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Digest of what its messages have in common.
    kind            TEXT    COLLATE "C" NOT NULL,
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
    per             BIGINT  NOT NULL,
    since           BIGINT  NOT NULL,
    last_at         BIGINT  NOT NULL,
    -- Posted on their own before.
    alone           BIGINT  NOT NULL,
    -- Steps that folded into it, numbered from 1; and up to which of them Slack has taken a message that counts them.
    folded          BIGINT  NOT NULL DEFAULT 0,
    told            BIGINT  NOT NULL DEFAULT 0,
    told_at         BIGINT ,
    -- The message that is updated.
    message_channel TEXT,
    message_ts      TEXT,
    -- Posts that may have arrived although no answer came, and what the last of them counted.
    begun           BIGINT  NOT NULL DEFAULT 0,
    begun_upto      BIGINT  NOT NULL DEFAULT 0,
    -- How often a worker took it, who has it, and until when; not to be taken before next_at.
    taken           BIGINT  NOT NULL DEFAULT 0,
    worker          TEXT,
    lease_until     BIGINT  NOT NULL DEFAULT 0,
    next_at         BIGINT  NOT NULL,
    -- Calls in a row that Slack did not take, and the last cause.
    failures        BIGINT  NOT NULL DEFAULT 0,
    why             TEXT
);

CREATE UNIQUE INDEX storms_open ON storms (kind) WHERE state = 'open';
CREATE INDEX storms_untold ON storms (next_at) WHERE state <> 'closed';
CREATE INDEX storms_by_last_at ON storms (last_at);

-- The kind of a message, and when it was decided whether it folds.
ALTER TABLE steps ADD COLUMN kind TEXT COLLATE "C";
ALTER TABLE steps ADD COLUMN kind_at BIGINT;
-- The storm it is told in, and its number there; none = posted on its own.
ALTER TABLE steps ADD COLUMN storm BIGINT;
ALTER TABLE steps ADD COLUMN storm_number BIGINT;
-- When a message that has to wait was told to come back.
ALTER TABLE steps ADD COLUMN not_before BIGINT;

CREATE INDEX steps_by_kind ON steps (kind, kind_at) WHERE kind IS NOT NULL;
CREATE INDEX steps_by_storm ON steps (storm, storm_number) WHERE storm IS NOT NULL;

-- Where the line of each Slack channel stands.
CREATE TABLE slack_lines (
    channel     TEXT    COLLATE "C" NOT NULL PRIMARY KEY,
    free_at     BIGINT  NOT NULL DEFAULT 0,
    queue_until BIGINT  NOT NULL DEFAULT 0
);

-- The one row: until when Slack has asked for quiet.
CREATE TABLE slack_quiet (
    single BOOLEAN NOT NULL PRIMARY KEY DEFAULT TRUE CHECK (single),
    until  BIGINT  NOT NULL DEFAULT 0
);

INSERT INTO slack_quiet DEFAULT VALUES;

UPDATE gluehook_event_log SET version = 4;
