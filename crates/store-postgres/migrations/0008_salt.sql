-- What tokens are made with when an event is exported without what is a customer's: made once, and never changed, so that
-- a value has the same token in every export. It is here because who can read it can read the events, too.
CREATE TABLE salt (
    salt BYTEA NOT NULL
);

-- Two random UUIDs hold 244 random bits.
INSERT INTO salt (salt)
VALUES (decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'));

UPDATE gluehook_event_log SET version = 8;
