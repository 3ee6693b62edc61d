-- Nothing changes but the number. The outcome of an event whose held steps a person has dropped is 'dropped' now, and a gluehook
-- that does not know the word would take the first such event for a damaged log: it is refused when it opens the log, in plain words.

PRAGMA user_version = 10;
