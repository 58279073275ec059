-- How often each rule decided, an hour at a time: what the panel's list of rules shows. Written by each worker now and
-- then, never on the path of a request.

CREATE TABLE rule_hits (
    rule     text NOT NULL,                         -- its name; '' where none decided
    hour     timestamptz NOT NULL,                  -- its start, UTC
    reported boolean NOT NULL,                      -- of a rule or a limit that only reports: what it would have done
    verdict  text NOT NULL CHECK (verdict IN ('allow', 'deny', 'login', 'step_up')),
    reason   text NOT NULL,                         -- '' for none
    hits     bigint NOT NULL,
    last_at  timestamptz NOT NULL,                  -- when the newest of them were counted
    PRIMARY KEY (rule, hour, reported, verdict, reason)
);

CREATE INDEX rule_hits_by_hour ON rule_hits (hour);
