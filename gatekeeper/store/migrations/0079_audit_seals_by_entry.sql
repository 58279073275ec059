-- Which seal covers an entry, for the page of one change.

CREATE INDEX audit_seals_by_last_id ON audit_seals (last_id);
