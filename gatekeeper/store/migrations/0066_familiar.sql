-- What is usual for each user, which their next login is held against (policies.familiar).

CREATE TABLE familiar (
    user_id uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    profile jsonb NOT NULL,
    version bigint NOT NULL DEFAULT 1
);
