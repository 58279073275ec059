-- Until when the digest mails have told what happened; set in one transaction with the mails.

CREATE TABLE digest_mark (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    until timestamptz NOT NULL
);
