-- What tells a worker that died from one that is slow, and an event that kills workers from one that waits.

-- When each worker last said that it lives.
CREATE TABLE workers (
    name    TEXT    NOT NULL PRIMARY KEY,
    seen_at INTEGER NOT NULL
) STRICT;

CREATE INDEX workers_by_seen_at ON workers (seen_at);

-- The worker that has the turn.
ALTER TABLE turns ADD COLUMN worker TEXT NOT NULL DEFAULT '';

-- Events that were about to be read and have not been read since: a worker that dies over reading one leaves it behind.
CREATE TABLE readings (
    event    TEXT    NOT NULL PRIMARY KEY,
    begun    INTEGER NOT NULL,
    begun_at INTEGER NOT NULL
) STRICT;

CREATE INDEX readings_by_begun_at ON readings (begun_at);

-- How often an attempt ended in the same way: what waits for an outage of an hour leaves one row, not thousands.
ALTER TABLE attempts ADD COLUMN times INTEGER NOT NULL DEFAULT 1;

PRAGMA user_version = 5;
