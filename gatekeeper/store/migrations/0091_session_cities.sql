-- Where a session was opened, for looking for it.
ALTER TABLE sessions ADD COLUMN city text;
