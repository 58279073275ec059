-- Bans with their history: a row is a ban, in force until it is lifted or over.

CREATE TABLE bans (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind      text NOT NULL CHECK (kind IN ('network', 'country', 'user', 'agent')),
    subject   text NOT NULL,                        -- canonical: CIDR or address, ISO 3166 code, user id, pattern
    network   inet CHECK ((kind = 'network') = (network IS NOT NULL)),
    source    text NOT NULL,                        -- manual, import, failures, spray, otp, limits, honeypot
    reason    text NOT NULL DEFAULT '',
    actor     text NOT NULL,                        -- user id, cli:<operating system user>, or gate
    label     text,                                 -- how people know the subject: a user's e-mail
    since     timestamptz NOT NULL,
    until     timestamptz,                          -- null: for good
    lifted_at timestamptz,
    lifted_by text,                                 -- as actor; 'replaced' where another ban took its place
    version   bigint NOT NULL                       -- of the change that made or lifted it
);
CREATE UNIQUE INDEX bans_in_force ON bans (kind, subject) WHERE lifted_at IS NULL;
CREATE INDEX bans_put ON bans (version, id) WHERE lifted_at IS NULL;
CREATE INDEX bans_lifted ON bans (version, id) WHERE lifted_at IS NOT NULL;
CREATE INDEX bans_history ON bans (kind, subject, id DESC);
CREATE INDEX bans_on_networks ON bans USING gist (network inet_ops) WHERE lifted_at IS NULL;

-- The number of the last change. Whoever changes bans holds this row, so that versions are committed in order.
CREATE TABLE bans_version (
    one     boolean PRIMARY KEY DEFAULT true CHECK (one),
    version bigint NOT NULL
);
INSERT INTO bans_version (version) VALUES (0);
