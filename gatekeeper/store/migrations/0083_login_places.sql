-- Where login attempts came from, counted while they are written, so that the map reads no attempt.

CREATE TABLE login_places (
    grain      text NOT NULL CHECK (grain IN ('hour', 'day')),
    bucket     timestamptz NOT NULL,                -- its start, UTC
    country    text NOT NULL,                       -- '' for unknown; so with the city
    city       text NOT NULL,
    latitude   double precision NOT NULL,           -- to a tenth of a degree; NaN where only the country is known
    longitude  double precision NOT NULL,
    result     text NOT NULL,
    attempts   bigint NOT NULL,
    PRIMARY KEY (grain, bucket, country, city, latitude, longitude, result)
) WITH (fillfactor = 80);

INSERT INTO login_places (grain, bucket, country, city, latitude, longitude, result, attempts)
SELECT grain, date_trunc(grain, time, 'UTC'), coalesce(country, ''), coalesce(city, ''),
       coalesce(round(latitude::numeric, 1)::double precision, 'NaN'),
       coalesce(round(longitude::numeric, 1)::double precision, 'NaN'), result, count(*)
FROM login_logs, unnest(ARRAY['day', 'hour']) AS grain
WHERE time > now() - interval '400 days'
GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 2;

-- Attempts from a part of the map, and those from nowhere that is known.
CREATE INDEX login_logs_by_place ON login_logs (latitude, longitude, time DESC, id DESC) WHERE latitude IS NOT NULL;
CREATE INDEX login_logs_unplaced ON login_logs (time DESC, id DESC) WHERE country IS NULL;
