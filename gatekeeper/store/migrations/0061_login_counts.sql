-- Counts of login attempts, kept while they are written, so that a chart reads no attempt.

CREATE TABLE login_counts (
    grain      text NOT NULL CHECK (grain IN ('minute', 'hour', 'day')),
    bucket     timestamptz NOT NULL,                -- its start, UTC
    result     text NOT NULL,
    reason     text NOT NULL,                       -- '' for none; so with the two below
    country    text NOT NULL,
    device     text NOT NULL,                       -- device_kind
    attempts   bigint NOT NULL DEFAULT 0,           -- with a row of their own
    suppressed bigint NOT NULL DEFAULT 0,           -- without one, because there were too many like it
    PRIMARY KEY (grain, bucket, result, reason, country, device)
);

INSERT INTO login_counts (grain, bucket, result, reason, country, device, attempts)
SELECT grain, date_trunc(grain, time, 'UTC'), result, coalesce(reason, ''), coalesce(country, ''), '', count(*)
FROM login_logs, unnest(ARRAY['minute', 'hour', 'day']) AS grain
GROUP BY 1, 2, 3, 4, 5;

-- What the caps against log flooding left out, by whom it came from.
CREATE TABLE login_suppressed (
    minute     timestamptz NOT NULL,
    cap        text NOT NULL,                       -- session | address | minute: the one that was reached
    subject    text NOT NULL,                       -- a session, or a network
    attempts   bigint NOT NULL,
    PRIMARY KEY (minute, cap, subject)
);

-- How far each file of a spool has been written; in one transaction with its rows, so that none counts twice.
CREATE TABLE login_spools (
    id         uuid PRIMARY KEY,
    position   bigint NOT NULL,                     -- bytes
    changed_at timestamptz NOT NULL
);

-- Accounts whose rows were erased: none comes back out of a spool or an archive.
CREATE TABLE login_erasures (
    user_id    uuid PRIMARY KEY,
    erased_at  timestamptz NOT NULL
);
