-- What the panel's lists need with many accounts and sessions.

-- Parts of e-mails and names are found by the three-letter pieces they have in common. Not with pg_trgm: who runs the
-- gate may have no right to an extension, or a server without it. The cost makes the planner try all else before.
CREATE FUNCTION trigrams(words text) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 500 AS $$
    SELECT coalesce(array_agg(DISTINCT substr(words, n, 3)), '{}') FROM generate_series(1, length(words) - 2) AS n
$$;
CREATE INDEX users_by_part ON users USING gin (trigrams(email || ' ' || lower(coalesce(name, ''))));

-- How many sessions are open is read from the index alone.
DROP INDEX sessions_open;
CREATE INDEX sessions_open ON sessions (started_at DESC, id DESC) INCLUDE (expires_at) WHERE ended_at IS NULL;
