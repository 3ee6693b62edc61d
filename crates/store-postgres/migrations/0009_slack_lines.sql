-- Slack's pace, kept strictly and in order: who has the turn in a channel's line, and the places of those who wait.

-- Somebody has the turn until then, unless it says sooner that its call has ended.
ALTER TABLE slack_lines ADD COLUMN held_until BIGINT NOT NULL DEFAULT 0;
-- (queue_until is no longer read.)
-- When somebody that goes before all who wait was told to come back; 0 = nobody.
ALTER TABLE slack_lines ADD COLUMN first_at BIGINT NOT NULL DEFAULT 0;

-- In which line a message waits, and its place there, kept until it is posted.
ALTER TABLE steps ADD COLUMN slack_line TEXT COLLATE "C";
ALTER TABLE steps ADD COLUMN slack_place BIGINT;
CREATE INDEX steps_in_line ON steps (slack_line, slack_place, not_before)
    WHERE slack_line IS NOT NULL AND state IN ('pending', 'held');

UPDATE gluehook_event_log SET version = 9;
