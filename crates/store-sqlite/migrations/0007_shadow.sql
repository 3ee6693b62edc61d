-- Which of the rules that took an event did so in shadow.

ALTER TABLE events ADD COLUMN shadow TEXT NOT NULL DEFAULT '[]';

PRAGMA user_version = 7;
