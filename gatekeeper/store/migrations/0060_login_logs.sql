-- Login attempts with all that is known of them, a partition a month (UTC).

ALTER TABLE login_logs RENAME TO login_logs_before;
ALTER TABLE login_logs_before RENAME CONSTRAINT login_logs_pkey TO login_logs_before_pkey;
DROP INDEX login_logs_by_time, login_logs_by_user;

CREATE TABLE login_logs (
    id              uuid NOT NULL,                  -- of the attempt, made by the gate
    time            timestamptz NOT NULL,
    email           text NOT NULL,                  -- as typed, at most 254 characters; or its HMAC, where nobody has it
    user_id         uuid,
    result          text NOT NULL CHECK (result IN ('success', 'failure', 'blocked')),
    reason          text,
    method          text NOT NULL,                  -- password, otp, passkey, ...
    factor          text,                           -- the second factor that was shown
    address         inet NOT NULL,
    country         text,                           -- ISO 3166-1 alpha-2
    region          text,
    city            text,
    latitude        double precision,               -- degrees, WGS 84
    longitude       double precision,
    accuracy_km     double precision,               -- radius around them
    asn             bigint,
    as_org          text,
    user_agent      text NOT NULL DEFAULT '',
    browser         text,
    browser_version text,
    os              text,
    os_version      text,
    device_kind     text,                           -- desktop, phone, tablet, bot, ...
    device_id       text,                           -- of the browser, as its signed cookie says
    fingerprint     text,
    session         text,
    signals         text[] NOT NULL DEFAULT '{}',
    evidence        jsonb,                          -- what each signal rests on, by its name
    risk            smallint CHECK (risk BETWEEN 0 AND 100),
    action          text,                           -- the strictest thing that the signals led to
    request_id      text NOT NULL,
    latency_ms      real,
    PRIMARY KEY (time, id)                          -- an attempt keeps its time, so the id alone is unique too
) PARTITION BY RANGE (time);
CREATE INDEX login_logs_by_user ON login_logs (user_id, time DESC) WHERE user_id IS NOT NULL;
CREATE INDEX login_logs_by_email ON login_logs (email, time DESC);
CREATE INDEX login_logs_by_address ON login_logs (address, time DESC);
CREATE INDEX login_logs_by_country ON login_logs (country, time DESC) WHERE country IS NOT NULL;
CREATE INDEX login_logs_by_result ON login_logs (result, reason, time DESC);
CREATE INDEX login_logs_by_session ON login_logs (session, time DESC) WHERE session IS NOT NULL;
CREATE INDEX login_logs_signalled ON login_logs (time DESC) WHERE signals <> '{}';

-- What comes for a month that has no partition yet waits here, until login_logs_month makes one.
CREATE TABLE login_logs_default PARTITION OF login_logs DEFAULT;

-- Makes the partition of the month that "moment" is in, with what waited for it, and returns its name.
CREATE FUNCTION login_logs_month(moment timestamptz) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    since timestamptz := date_trunc('month', moment, 'UTC');
    until timestamptz := (since AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC';
    name  text := 'login_logs_' || to_char(since AT TIME ZONE 'UTC', 'YYYY_MM');
BEGIN
    IF to_regclass(name) IS NOT NULL THEN
        RETURN name;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('login_logs_month'));
    IF to_regclass(name) IS NOT NULL THEN
        RETURN name;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE login_logs INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
    LOCK TABLE login_logs_default IN ACCESS EXCLUSIVE MODE;
    EXECUTE format(
        'WITH waiting AS (DELETE FROM login_logs_default WHERE time >= %L AND time < %L RETURNING *)'
        ' INSERT INTO %I SELECT * FROM waiting', since, until, name);
    EXECUTE format('ALTER TABLE login_logs ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, since, until);
    RETURN name;
END $$;

SELECT login_logs_month(month) FROM (
    SELECT DISTINCT date_trunc('month', time, 'UTC') AS month FROM login_logs_before
    UNION SELECT date_trunc('month', now(), 'UTC')
    UNION SELECT date_trunc('month', now() + interval '1 month', 'UTC')
) AS months;

INSERT INTO login_logs (id, time, email, user_id, result, reason, method, factor, address, country, user_agent, session,
                        request_id)
SELECT id, time, email, user_id, result, reason, method, factor, address, country, user_agent, session, request_id
FROM login_logs_before;
DROP TABLE login_logs_before;
