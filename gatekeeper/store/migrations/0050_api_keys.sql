-- API keys: for programs, on behalf of their owner.

CREATE TABLE api_keys (
    id                text PRIMARY KEY,
    digest            text NOT NULL UNIQUE,         -- SHA-256 of the key, in hex; the key itself is shown once
    user_id           uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    name              text NOT NULL,
    start             text NOT NULL,                -- its first characters, by which people know it
    scopes            text[] NOT NULL,
    networks          cidr[] NOT NULL DEFAULT '{}', -- from where it may be used; empty: from anywhere
    created_at        timestamptz NOT NULL,
    created_by        text NOT NULL,                -- user id, or cli:<operating system user>
    changed_at        timestamptz NOT NULL,
    expires_at        timestamptz,                  -- null: never
    revoked_at        timestamptz,
    revoked_by        text,
    successor         text REFERENCES api_keys,     -- rotated: the key that takes its place
    last_used_at      timestamptz,
    last_used_address inet,
    version           int NOT NULL DEFAULT 1        -- orders copies in Redis
);
CREATE INDEX api_keys_by_user ON api_keys (user_id, created_at DESC);
CREATE INDEX api_keys_by_change ON api_keys (changed_at);
