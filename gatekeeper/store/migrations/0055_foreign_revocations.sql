-- Other issuers' tokens that were revoked, kept until they would have ended: written again to a Redis that came back.

CREATE TABLE foreign_revocations (
    issuer     text NOT NULL,
    jti        text NOT NULL,
    session    text NOT NULL,          -- its name in Redis, made of the two
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz NOT NULL,
    revoked_by text NOT NULL,          -- user id, or key:<id> of an API key
    PRIMARY KEY (issuer, jti)
);
CREATE INDEX foreign_revocations_expires_at ON foreign_revocations (expires_at);
