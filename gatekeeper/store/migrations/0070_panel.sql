-- What the panel's lists are paged by.

CREATE INDEX sessions_open ON sessions (started_at DESC, id DESC) WHERE ended_at IS NULL;
CREATE INDEX users_by_age ON users (created_at DESC, id DESC);
CREATE INDEX bans_newest ON bans (id DESC) WHERE lifted_at IS NULL;
