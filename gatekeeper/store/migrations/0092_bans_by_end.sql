-- The panel lists bans by what ends first, and finds those that are over by an address too.
CREATE INDEX bans_by_end ON bans ((coalesce(until, 'infinity')), id) WHERE lifted_at IS NULL;
CREATE INDEX bans_by_network ON bans USING gist (network inet_ops) WHERE network IS NOT NULL;
DROP INDEX bans_on_networks;
