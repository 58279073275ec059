-- What attempts have in common beyond login_counts: one count for each method, browser and system, kept while rows are
-- written. By themselves and not as more columns there, where every combination would be a row.

CREATE TABLE login_shares (
    grain      text NOT NULL CHECK (grain IN ('hour', 'day')),
    kind       text NOT NULL,                       -- method | browser | os
    bucket     timestamptz NOT NULL,                -- its start, UTC
    result     text NOT NULL,
    value      text NOT NULL,                       -- '' for unknown
    attempts   bigint NOT NULL,
    PRIMARY KEY (grain, kind, bucket, result, value)
) WITH (fillfactor = 80);

INSERT INTO login_shares (grain, kind, bucket, result, value, attempts)
SELECT grain, kind, date_trunc(grain, time, 'UTC'), result, coalesce(value, ''), count(*)
FROM login_logs, unnest(ARRAY['hour', 'day']) AS grain,
     LATERAL (VALUES ('method', method), ('browser', browser), ('os', os)) AS part (kind, value)
GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5;
