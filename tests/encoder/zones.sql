-- When a time zone's distance from UTC changes.

SET client_min_messages = warning;

-- A second since 1970. to_timestamp() is not exact far away.
CREATE FUNCTION gen.in_utc(second bigint) RETURNS timestamp LANGUAGE sql AS
    $$ SELECT timestamp 'epoch' + make_interval(days => (second / 86400)::int, secs => second % 86400) $$;
CREATE FUNCTION gen.offset_at(zone text, second bigint) RETURNS interval LANGUAGE sql AS
    $$ SELECT (gen.in_utc(second) AT TIME ZONE 'UTC' AT TIME ZONE zone) - gen.in_utc(second) $$;

-- The first seconds with another distance than the second before: of the years that the rules of most zones are from, and of a few
-- years that a rule without an end has made.
CREATE FUNCTION gen.transitions(zone text) RETURNS SETOF timestamptz LANGUAGE plpgsql AS $$
DECLARE
    week CONSTANT bigint := 7 * 86400;
    low bigint;
    high bigint;
    middle bigint;
BEGIN
    FOR low IN
        SELECT second FROM (
            SELECT second, gen.offset_at(zone, second) AS before, gen.offset_at(zone, second + week) AS after
            FROM unnest('{1840,2098,4998,99998,294270}'::int[], '{2042,2101,5000,99999,294271}'::int[]) AS years (first, last),
                generate_series(extract(epoch FROM make_date(first, 1, 1))::bigint, extract(epoch FROM make_date(last, 1, 1))::bigint, week) AS second
        ) AS weeks
        WHERE before <> after
    LOOP
        high := low + week;
        WHILE high - low > 1 LOOP
            middle := (low + high) / 2;
            IF gen.offset_at(zone, middle) = gen.offset_at(zone, low) THEN
                low := middle;
            ELSE
                high := middle;
            END IF;
        END LOOP;
        RETURN NEXT gen.in_utc(high) AT TIME ZONE 'UTC';
    END LOOP;
END $$;

-- What is to be tried in a zone: its changes and what is about them, and a few values of any time.
CREATE FUNCTION gen.instants(zone text) RETURNS SETOF timestamptz LANGUAGE sql AS $$
    SELECT change + distance
        FROM gen.transitions(zone) AS change,
            unnest('{-1 day,-1 hour,-30 minutes,-1 second,-1 microsecond,0,1 microsecond,0.5 seconds,1 second,20 minutes,1 hour,1 day}'::interval[]) AS distance
    UNION ALL SELECT gen.timestamp(a, b, c, d, e) AT TIME ZONE 'UTC' FROM gen.rows(500)
    UNION ALL SELECT value::timestamptz FROM gen.special WHERE type = 'timestamptz'
$$;
