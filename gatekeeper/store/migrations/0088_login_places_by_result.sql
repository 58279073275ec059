-- Attempts from a place stand side by side in one row, by result: a third of the rows for the map to read.

ALTER TABLE login_places RENAME TO login_places_before;
ALTER TABLE login_places_before RENAME CONSTRAINT login_places_pkey TO login_places_before_pkey;
CREATE TABLE login_places (
    grain      text NOT NULL CHECK (grain IN ('hour', 'day')),
    bucket     timestamptz NOT NULL,                -- its start, UTC
    country    text NOT NULL,                       -- '' for unknown; so with the city
    city       text NOT NULL,
    latitude   double precision NOT NULL,           -- to a tenth of a degree; NaN where only the country is known
    longitude  double precision NOT NULL,
    success    bigint NOT NULL DEFAULT 0,
    failure    bigint NOT NULL DEFAULT 0,
    blocked    bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (grain, bucket, country, city, latitude, longitude)
) WITH (fillfactor = 80);
INSERT INTO login_places (grain, bucket, country, city, latitude, longitude, success, failure, blocked)
SELECT grain, bucket, country, city, latitude, longitude,
       coalesce(sum(attempts) FILTER (WHERE result = 'success'), 0),
       coalesce(sum(attempts) FILTER (WHERE result = 'failure'), 0),
       coalesce(sum(attempts) FILTER (WHERE result = 'blocked'), 0)
FROM login_places_before GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2;
DROP TABLE login_places_before;
