-- Signals that an admin has dealt with: whatever a subject was odd with until then.

CREATE TABLE signal_reviews (
    subject     text PRIMARY KEY,                   -- an account, an e-mail, an address or like clients
    until       timestamptz NOT NULL,               -- the last attempt that was looked at
    reviewed_at timestamptz NOT NULL,
    reviewed_by text NOT NULL                       -- as in audit_log.actor
);
