-- Accounts, credentials, the durable record of sessions, signing keys.

CREATE TABLE users (
    id             uuid PRIMARY KEY,
    email          text NOT NULL CONSTRAINT users_email_key UNIQUE,  -- canonical: NFKC, case folded, IDNA domain
    email_verified boolean NOT NULL DEFAULT false,
    name           text,
    roles          text[] NOT NULL DEFAULT '{}',
    locked         boolean NOT NULL DEFAULT false,
    epoch          bigint NOT NULL DEFAULT 1,       -- sessions begun under a smaller epoch are dead
    version        bigint NOT NULL DEFAULT 1,       -- raised by every change; orders copies in Redis
    epoch_raised_at timestamptz NOT NULL,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL
);

CREATE TABLE passwords (
    user_id    uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    hash       text NOT NULL,                       -- PHC string, Argon2id
    changed_at timestamptz NOT NULL
);

CREATE TABLE sessions (
    id           text PRIMARY KEY,                  -- sid
    user_id      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    started_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    ended_at     timestamptz,
    end_reason   text,
    address      inet NOT NULL,
    country      text,
    user_agent   text NOT NULL DEFAULT '',
    amr          text[] NOT NULL DEFAULT '{}'
);
CREATE INDEX sessions_by_user ON sessions (user_id, started_at DESC);
CREATE INDEX sessions_ended ON sessions (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE signing_keys (
    kid        text PRIMARY KEY,
    algorithm  text NOT NULL,
    purpose    text NOT NULL,                       -- access | assertion
    sealed     bytea NOT NULL,                      -- AES-256-GCM under a key derived from the secret; AAD = kid
    created_at timestamptz NOT NULL,
    not_before timestamptz NOT NULL,                -- published before, used from then on
    retired_at timestamptz
);

CREATE TABLE setup_links (
    token_hash bytea PRIMARY KEY,                   -- SHA-256; the token itself is printed once
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
