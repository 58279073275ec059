-- Months of the login log that were restored, and are not archived again before then.

CREATE TABLE login_holds (
    month timestamptz PRIMARY KEY,                  -- its start, UTC
    until timestamptz NOT NULL
);

CREATE INDEX login_logs_by_asn ON login_logs (asn, time DESC) WHERE asn IS NOT NULL;
