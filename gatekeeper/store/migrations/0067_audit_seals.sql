-- The audit log only grows: neither the gate's own role nor, while the triggers are there, anybody else changes or
-- removes an entry. Seals tell when somebody took rights and triggers away and did so all the same.

CREATE TABLE audit_seals (
    number    bigint PRIMARY KEY,                   -- 1, 2, 3, ... without a gap
    last_id   bigint NOT NULL,                      -- the seal covers the entries behind the one before up to this one
    entries   bytea NOT NULL,                       -- of each: id (8 bytes, big-endian) and SHA-256 of what it says
    previous  bytea NOT NULL,                       -- the hash of the seal before, 32 zero bytes for the first
    hash      bytea NOT NULL,                       -- HMAC-SHA-256 over all of this under a key of the gate's secret
    sealed_at timestamptz NOT NULL
);

CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;

-- Held until an entry is committed, so that whoever takes the lock alone sees every entry below the newest.
CREATE FUNCTION audit_entry_begins() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7022640041); -- as store/audit.py
    RETURN NULL;
END $$;

CREATE TRIGGER audit_log_begins BEFORE INSERT ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_entry_begins();
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_seals_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_seals
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

REVOKE UPDATE, DELETE, TRUNCATE ON audit_log, audit_seals FROM PUBLIC, CURRENT_USER;

CREATE INDEX audit_log_by_subject ON audit_log (subject, id DESC);
CREATE INDEX audit_log_by_actor ON audit_log (actor, id DESC);
