-- What steps of several events change, they change one at a time: whose turn it is, and until when.

CREATE TABLE turns (
    scope       TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    -- Key of the step that has it.
    step        TEXT   COLLATE "C" NOT NULL,
    lease_until BIGINT NOT NULL
);

CREATE INDEX turns_by_lease_until ON turns (lease_until);

UPDATE gluehook_event_log SET version = 2;
