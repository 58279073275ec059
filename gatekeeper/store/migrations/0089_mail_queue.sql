-- What an admin sees of a message that waits: to whom, never in full, and whether somebody is sending it right now.

ALTER TABLE outbox
    ADD COLUMN recipient text NOT NULL DEFAULT '',     -- a…@example.com
    ADD COLUMN claimed_until timestamptz;              -- nobody else touches it before then
