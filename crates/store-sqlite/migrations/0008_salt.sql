-- What tokens are made with when an event is exported without what is a customer's: made once, and never changed, so that
-- a value has the same token in every export. It is here because who can read it can read the events, too.
CREATE TABLE salt (
    salt BLOB NOT NULL
) STRICT;

INSERT INTO salt (salt) VALUES (randomblob(32));

PRAGMA user_version = 8;
