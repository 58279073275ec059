-- What happened: one row a login attempt, one row a change.

CREATE TABLE login_logs (
    id         uuid NOT NULL,
    time       timestamptz NOT NULL,
    email      text NOT NULL,                       -- as typed, at most 254 characters
    user_id    uuid,
    result     text NOT NULL CHECK (result IN ('success', 'failure', 'blocked')),
    reason     text,
    method     text NOT NULL,
    address    inet NOT NULL,
    country    text,
    user_agent text NOT NULL DEFAULT '',
    session    text,
    request_id text NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX login_logs_by_time ON login_logs (time DESC, id);
CREATE INDEX login_logs_by_user ON login_logs (user_id, time DESC);

CREATE TABLE audit_log (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    time       timestamptz NOT NULL,
    actor      text NOT NULL,                       -- user id, or cli:<operating system user>
    action     text NOT NULL,                       -- user.add, user.lock, ...
    subject    text NOT NULL,
    before     jsonb,
    after      jsonb,
    address    inet,
    request_id text
);
CREATE INDEX audit_log_by_time ON audit_log (time DESC);
