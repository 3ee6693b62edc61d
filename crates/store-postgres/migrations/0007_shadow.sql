-- Which of the rules that took an event did so in shadow.

ALTER TABLE events ADD COLUMN shadow TEXT[] NOT NULL DEFAULT '{}';

UPDATE gluehook_event_log SET version = 7;
