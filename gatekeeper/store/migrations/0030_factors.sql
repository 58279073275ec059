-- Second factors, and devices that need none for a while.

CREATE TABLE totp_secrets (
    user_id      uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    sealed       bytea,                             -- AES-256-GCM under a key derived from the secret; AAD = user id
    last_step    bigint NOT NULL DEFAULT 0,         -- the newest time step accepted; it and older ones never are again
    confirmed_at timestamptz,
    last_used_at timestamptz,
    pending      bytea,                             -- sealed likewise; in force once a code of it has come
    pending_at   timestamptz,
    CHECK ((sealed IS NULL) = (confirmed_at IS NULL))
);

CREATE TABLE recovery_codes (
    user_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    hash       bytea NOT NULL,                      -- HMAC-SHA-256 under a key derived from the secret
    created_at timestamptz NOT NULL,
    used_at    timestamptz,
    PRIMARY KEY (user_id, hash)
);

CREATE TABLE passkeys (
    id           uuid PRIMARY KEY,
    user_id      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    credential   bytea NOT NULL UNIQUE,             -- the credential id
    public_data  bytea NOT NULL,                    -- attested credential data (WebAuthn 6.5.1), the public key in it
    name         text NOT NULL,
    sign_count   bigint NOT NULL,
    synced       boolean NOT NULL,                  -- backup eligible
    transports   text[] NOT NULL DEFAULT '{}',
    created_at   timestamptz NOT NULL,
    last_used_at timestamptz
);
CREATE INDEX passkeys_by_user ON passkeys (user_id, created_at);

CREATE TABLE remembered_devices (
    id         bytea PRIMARY KEY,                   -- SHA-256 of what the cookie holds
    user_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    user_agent text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX remembered_devices_by_user ON remembered_devices (user_id);

ALTER TABLE login_logs ADD COLUMN factor text;      -- the second factor that was shown
