-- What steps of several events change, they change one at a time: whose turn it is, and until when.

CREATE TABLE turns (
    scope       TEXT    NOT NULL PRIMARY KEY,
    -- Key of the step that has it.
    step        TEXT    NOT NULL,
    lease_until INTEGER NOT NULL
) STRICT;

CREATE INDEX turns_by_lease_until ON turns (lease_until);

PRAGMA user_version = 2;
