-- Reads of the login log with ten million rows. Each index ends as a page is ordered, by time and id: else the newest of
-- every month would be sorted, or looked for among all rows. Counts of a grain stand together.

DROP INDEX login_logs_by_user, login_logs_by_email, login_logs_by_address, login_logs_by_country, login_logs_by_result,
           login_logs_by_session, login_logs_signalled, login_logs_by_asn;
CREATE INDEX login_logs_by_user ON login_logs (user_id, time DESC, id DESC) WHERE user_id IS NOT NULL;
CREATE INDEX login_logs_by_email ON login_logs (email, time DESC, id DESC);
CREATE INDEX login_logs_by_address ON login_logs (address, time DESC, id DESC);
CREATE INDEX login_logs_by_country ON login_logs (country, time DESC, id DESC) WHERE country IS NOT NULL;
CREATE INDEX login_logs_by_asn ON login_logs (asn, time DESC, id DESC) WHERE asn IS NOT NULL;
CREATE INDEX login_logs_by_result ON login_logs (result, time DESC, id DESC);
CREATE INDEX login_logs_by_reason ON login_logs (reason, time DESC, id DESC) WHERE reason IS NOT NULL;
CREATE INDEX login_logs_by_session ON login_logs (session, time DESC, id DESC) WHERE session IS NOT NULL;
CREATE INDEX login_logs_signalled ON login_logs (time DESC, id DESC) WHERE signals <> '{}';

ALTER TABLE login_counts RENAME TO login_counts_before;
ALTER TABLE login_counts_before RENAME CONSTRAINT login_counts_pkey TO login_counts_before_pkey;
CREATE TABLE login_counts (
    grain      text NOT NULL,
    bucket     timestamptz NOT NULL,                -- its start, UTC
    result     text NOT NULL,
    reason     text NOT NULL,                       -- '' for none; so with the two below
    country    text NOT NULL,
    device     text NOT NULL,                       -- device_kind
    attempts   bigint NOT NULL DEFAULT 0,           -- with a row of their own
    suppressed bigint NOT NULL DEFAULT 0,           -- without one, because there were too many like it
    PRIMARY KEY (grain, bucket, result, reason, country, device)
) PARTITION BY LIST (grain);
CREATE TABLE login_counts_minute PARTITION OF login_counts FOR VALUES IN ('minute') WITH (fillfactor = 80);
CREATE TABLE login_counts_hour PARTITION OF login_counts FOR VALUES IN ('hour') WITH (fillfactor = 80);
CREATE TABLE login_counts_day PARTITION OF login_counts FOR VALUES IN ('day') WITH (fillfactor = 80);
INSERT INTO login_counts SELECT * FROM login_counts_before ORDER BY grain, bucket;
DROP TABLE login_counts_before;
