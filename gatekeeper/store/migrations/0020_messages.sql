-- What is to be sent, links that were sent, and who has yet to confirm an e-mail.

CREATE TABLE outbox (
    id         uuid PRIMARY KEY,
    channel    text NOT NULL,                       -- smtp | webhook | none (a decoy)
    kind       text NOT NULL,
    address    text NOT NULL,                       -- a webhook's URL
    sealed     bytea,                               -- AES-256-GCM under a key derived from the secret; AAD = id
    created_at timestamptz NOT NULL,
    due_at     timestamptz NOT NULL,                -- of a claimed one: when it is anybody's again
    until      timestamptz NOT NULL,
    tries      int NOT NULL DEFAULT 0,
    fault      text,
    given_up_at timestamptz
);
CREATE INDEX outbox_due ON outbox (due_at) WHERE given_up_at IS NULL;

CREATE TABLE mail_links (
    token_hash bytea PRIMARY KEY,                   -- SHA-256; the token itself is in the mail
    purpose    text NOT NULL,                       -- reset | verify-email | change-email | invitation
    user_id    uuid REFERENCES users ON DELETE CASCADE,
    email      text,                                -- whose link it is, or (change-email) the new address
    roles      text[] NOT NULL DEFAULT '{}',        -- of an invitation
    created_by text,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX mail_links_by_user ON mail_links (user_id, purpose);
CREATE INDEX mail_links_by_expiry ON mail_links (expires_at);

ALTER TABLE users ADD COLUMN must_verify boolean NOT NULL DEFAULT false;  -- no login before the e-mail is confirmed
