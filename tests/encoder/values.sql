-- Values of every type, odd ones before all. In a database in UTF-8.
--
-- gen.special lists values to be tried whatever the dice say, as text; gen.kind lists the types with an expression that makes a
-- value out of n, a number that no other value of a run has, and a, b, c, d, e, random numbers in [0, 1). The expressions are
-- functions of one SELECT each, which the planner puts into the query that calls them.

SET client_min_messages = warning;
CREATE SCHEMA gen;

CREATE TABLE gen.kind (
    family text,        -- the types that are tried together
    type text,          -- as it stands behind a column's name
    expression text,
    share float8,       -- rows for each value that was asked for
    of_its_own boolean  -- whether the encoder writes it without calling its output function
);
CREATE TABLE gen.special (type text, value text);

-- The query that makes arrays out of a table's values, its column v, of one to some thousand elements.
CREATE FUNCTION gen.arrays_of(type text, table_name text) RETURNS text LANGUAGE sql AS $$
    SELECT CASE
        -- Domains over arrays, and the old vectors: array_agg() and ARRAY[] put them side by side.
        WHEN typcategory = 'A' THEN format('SELECT ARRAY[v::text, NULL, (lag(v) OVER ())::text]::text::%1$s[] FROM %2$s', type, table_name)
        ELSE format('SELECT array_agg(v) FROM
            (SELECT v, floor(power(random(), 2) * (count(*) OVER () / 3 + 1)) AS place FROM %s) AS values GROUP BY place', table_name)
    END FROM pg_type WHERE oid = type::regtype $$;

-- What the expressions are made from.
CREATE FUNCTION gen.rows(count bigint) RETURNS TABLE (n bigint, a float8, b float8, c float8, d float8, e float8) LANGUAGE sql AS
    $$ SELECT n, random(), random(), random(), random(), random() FROM generate_series(1, count) AS n $$;
-- Another random number out of one.
CREATE FUNCTION gen.again(a float8, k float8) RETURNS float8 LANGUAGE sql AS $$ SELECT a * k - floor(a * k) $$;
CREATE FUNCTION gen.pick(choices anyarray, a float8) RETURNS anyelement LANGUAGE sql AS
    $$ SELECT choices[1 + floor(a * cardinality(choices))::int] $$;
-- 32 digits, and 32 hexadecimal ones.
CREATE FUNCTION gen.digits(a float8) RETURNS text LANGUAGE sql AS
    $$ SELECT translate(md5(a::text), 'abcdef', '012345') $$;
CREATE FUNCTION gen.hex(a float8) RETURNS text LANGUAGE sql AS $$ SELECT md5(a::text) $$;
-- `most` digits, or fewer.
CREATE FUNCTION gen.digits(a float8, b float8, most float8) RETURNS text LANGUAGE sql AS
    $$ SELECT left(repeat(gen.digits(a), 1 + floor(most / 32)::int), floor(b * (most + 1))::int) $$;


-- Whole numbers -------------------------------------------------------------------------------------------------------

CREATE FUNCTION gen.bool(a float8) RETURNS boolean LANGUAGE sql AS $$ SELECT a < 0.5 $$;
CREATE FUNCTION gen.int2(a float8, b float8, c float8) RETURNS int2 LANGUAGE sql AS $$
    SELECT CASE
        WHEN a < 0.4 THEN floor(b * 65536) - 32768
        WHEN a < 0.6 THEN (power(10, floor(b * 5)) + floor(c * 3) - 1) * sign(a - 0.5)
        ELSE (2 * b - 1) * power(2, 15 * c)
    END::int2 $$;
CREATE FUNCTION gen.int4(a float8, b float8, c float8) RETURNS int4 LANGUAGE sql AS $$
    SELECT CASE
        WHEN a < 0.4 THEN floor(b * 4294967296) - 2147483648
        WHEN a < 0.6 THEN (power(10, floor(b * 10)) + floor(c * 3) - 1) * sign(a - 0.5)
        ELSE (2 * b - 1) * power(2, 31 * c)
    END::int4 $$;
CREATE FUNCTION gen.int8(a float8, b float8, c float8) RETURNS int8 LANGUAGE sql AS $$
    SELECT CASE
        WHEN a < 0.4 THEN ((floor(b * 4294967296) - 2147483648)::int8 << 32) | floor(c * 4294967296)::int8
        WHEN a < 0.6 THEN (power(10, floor(b * 19))::int8 + floor(c * 3)::int8 - 1) * sign(a - 0.5)::int8
        ELSE ((2 * b - 1) * power(2, 63 * c))::int8
    END $$;
CREATE FUNCTION gen.oid(a float8, b float8, c float8) RETURNS oid LANGUAGE sql AS $$
    SELECT CASE
        WHEN a < 0.5 THEN floor(b * 4294967296)
        WHEN a < 0.7 THEN power(10, floor(b * 10)) + floor(c * 3) - 1
        ELSE floor(b * power(2, 32 * c))
    END::int8::oid $$;

INSERT INTO gen.kind VALUES
    ('numbers', 'bool', 'gen.bool(a)', 1, true),
    ('numbers', 'int2', 'gen.int2(a, b, c)', 1, true),
    ('numbers', 'int4', 'gen.int4(a, b, c)', 1, true),
    ('numbers', 'int8', 'gen.int8(a, b, c)', 1, true),
    ('numbers', 'oid', 'gen.oid(a, b, c)', 1, true);
INSERT INTO gen.special
    SELECT 'int2', unnest('{-32768,-32767,-10000,-9999,-1,0,1,9,10,99,100,999,1000,9999,10000,32767}'::text[])
    UNION ALL SELECT 'int4', unnest('{-2147483648,-2147483647,-1000000000,-999999999,-1,0,1,999999999,1000000000,2147483647}'::text[])
    UNION ALL SELECT 'int8', unnest('{-9223372036854775808,-9223372036854775807,-1000000000000000000,-4294967296,-2147483649,
        -1,0,1,2147483648,4294967295,4294967296,9999999999,10000000000,999999999999999999,9223372036854775807}'::text[])
    UNION ALL SELECT 'oid', unnest('{0,1,9,10,2147483647,2147483648,4294967295}'::text[])
    UNION ALL SELECT 'bool', unnest('{t,f}'::text[]);


-- Floating point ------------------------------------------------------------------------------------------------------

CREATE FUNCTION gen.float8(a float8, b float8, c float8, d float8) RETURNS float8 LANGUAGE sql AS $$
    SELECT CASE
        -- Any sign, mantissa and exponent.
        WHEN a < 0.45 THEN (4503599627370496 + floor(b * 4503599627370496)) * power(2, floor(c * 2046) - 1074) * sign(d - 0.5)
        -- Subnormal.
        WHEN a < 0.5 THEN floor(b * 4503599627370496) * 4.9406564584124654e-324 * sign(d - 0.5)
        -- Whole numbers, above all where the exponent begins to be written.
        WHEN a < 0.6 THEN floor(b * power(10, c * 18))
        WHEN a < 0.68 THEN floor((1 + b * 9) * power(10, 14 + floor(c * 4))) * sign(d - 0.5)
        -- Few digits.
        WHEN a < 0.8 THEN floor(b * power(10, floor(c * 17))) / power(10, floor(d * 24))
        -- Powers of ten and of two, and their neighbours: the distance to the one below is half of that to the one above.
        WHEN a < 0.87 THEN power(10, floor(c * 600) - 300) * (1 + (floor(b * 5) - 2) * 2.220446049250313e-16)
        WHEN a < 0.94 THEN power(2, floor(c * 2090) - 1070) * (1 + (floor(b * 5) - 2) * 1.1102230246251565e-16)
        -- Where the exponent begins at the other end.
        ELSE b * power(10, -3 - floor(c * 4)) * sign(d - 0.5)
    END $$;
CREATE FUNCTION gen.float4(a float8, b float8, c float8, d float8) RETURNS float4 LANGUAGE sql AS $$
    SELECT CASE
        WHEN a < 0.5 THEN (8388608 + floor(b * 8388608)) * power(2, floor(c * 254) - 149) * sign(d - 0.5)
        WHEN a < 0.55 THEN floor(b * 8388608 + 1) * 1.401298464324817e-45 * sign(d - 0.5)
        WHEN a < 0.65 THEN floor(b * power(10, c * 9))
        WHEN a < 0.7 THEN floor((1 + b * 9) * power(10, 4 + floor(c * 4))) * sign(d - 0.5)
        WHEN a < 0.8 THEN floor(b * power(10, floor(c * 8))) / power(10, floor(d * 12))
        WHEN a < 0.87 THEN power(10, floor(c * 74) - 37) * (1 + (floor(b * 5) - 2) * 1.1920929e-7)
        WHEN a < 0.94 THEN power(2, floor(c * 250) - 125) * (1 + (floor(b * 5) - 2) * 5.9604645e-8)
        ELSE (b + 0.01) * power(10, -3 - floor(c * 4)) * sign(d - 0.5)
    END::float4 $$;

INSERT INTO gen.kind VALUES
    ('numbers', 'float4', 'gen.float4(a, b, c, d)', 1, true),
    ('numbers', 'float8', 'gen.float8(a, b, c, d)', 1, true);
INSERT INTO gen.special
    SELECT type, value FROM unnest('{float4,float8}'::text[]) AS type,
        unnest('{0,-0,NaN,Infinity,-Infinity,1,-1,0.1,0.3,1e-4,1e-5,0.00001,0.0001,9.999999e-5,1e5,1e6,1e7,1e8,123456,1234567,
            999999,9999999,16777216,16777217,33554432,1e14,1e15,1e16,1e17,1e20,1e21,1e22,1e23,5e-44,1e-45,1.1754944e-38,
            1.1754942e-38,3.4028235e38,-3.4028235e38,8.589973e9,9.5367431640625e-7,2.0e-3,4.656613e-10}'::text[]) AS value
    -- The hard cases of Ryu's paper and of PostgreSQL's own float8 test.
    UNION ALL SELECT 'float8', unnest('{5e-324,-5e-324,1e-323,2.225073858507201e-308,2.2250738585072014e-308,
        1.7976931348623157e308,-1.7976931348623157e308,9007199254740991,9007199254740992,9007199254740993,9007199254740994,
        999999999999999,9999999999999998,99999999999999980,123456789012345,1234567890123456,12345678901234568,
        2.98023223876953125e-8,9.0608011534336e15,4.708356024711512e18,9.409340012568248e18,1.8531501765868567e21,
        -3.347727380279489e33,1.9430376160308388e16,-6.9741824662760956e19,4.3816050601147837e18,
        2.989102097996e-312,4.940656e-318,1.18575755e-316,1.8e-321,9e-265,8.5e255,1.5e-9,4.35e-5,299792458,0.30000000000000004}'::text[]);


-- numeric -------------------------------------------------------------------------------------------------------------

CREATE FUNCTION gen.numeric(a float8, b float8, c float8, d float8, e float8) RETURNS numeric LANGUAGE sql AS $$
    SELECT (CASE WHEN d < 0.4 THEN '-' ELSE '' END || CASE
        WHEN a < 0.2 THEN '0' || gen.digits(b, c, 18)
        WHEN a < 0.55 THEN '0' || gen.digits(b, c, 20) || '.' || gen.digits(d, e, 12)
        WHEN a < 0.65 THEN '0' || gen.digits(b, c, 130) || '.' || gen.digits(d, e, 130)
        -- Zeros in front of and behind the digits that count, on every border of the groups of four.
        WHEN a < 0.75 THEN '0.' || repeat('0', floor(b * 40)::int) || gen.digits(c, d, 9) || repeat('0', floor(e * 24)::int)
        WHEN a < 0.85 THEN '0' || gen.digits(b, c, 9) || repeat('0', floor(d * 40)::int)
            || CASE WHEN e < 0.5 THEN '' ELSE '.' || repeat('0', floor(e * 20)::int - 10) END
        -- Zeros in the middle.
        WHEN a < 0.95 THEN '1' || repeat('0', floor(b * 24)::int) || left(gen.digits(c), 3) || repeat('0', floor(d * 9)::int)
            || '.' || repeat('0', floor(c * 24)::int) || left(gen.digits(e), 2)
        -- Huge and tiny.
        WHEN a < 0.97 THEN '0' || gen.digits(b, c, 40) || 'e' || floor(e * 900)::int
        WHEN a < 0.99 THEN '0' || gen.digits(b, c, 40) || 'e-' || floor(e * 900)::int
        WHEN a < 0.999 THEN '0' || gen.digits(b, c, 400) || '.' || gen.digits(d, e, 1000)
        ELSE '0' || gen.digits(b, c, 12000) || '.' || gen.digits(d, e, 6000)
    END)::numeric $$;

INSERT INTO gen.kind VALUES
    ('numeric', 'numeric', 'gen.numeric(a, b, c, d, e)', 1, true),
    ('numeric', 'numeric(20,4)', $$round((floor(b * 1e16) / power(10, floor(c * 16)))::numeric * sign(d - 0.5)::int, floor(a * 5)::int)$$, 0.3, true),
    ('numeric', 'numeric(1000,1000)', $$('0.' || repeat('0', floor(a * 10)::int) || gen.digits(b, c, 990))::numeric$$, 0.03, true),
    ('numeric', 'numeric(5,-3)', $$floor((b - 0.5) * 2e8 * a)::int$$, 0.1, true),
    ('numeric', 'numeric(3,6)', $$floor((b - 0.5) * 1998) / 1e6$$, 0.1, true);
INSERT INTO gen.special
    SELECT 'numeric', unnest('{0,-0,0.0,0.00,0.000000000000000000000000,1,-1,10,100,1000,9999,10000,10001,99999999,100000000,
        0.1,0.01,0.001,0.0001,0.00001,0.00010,1.0,1.10,1.0000,1.00000,10000.0001,10000.0000,1000000000000.00001,
        NaN,Infinity,-Infinity,1e1000,-1e-1000,1e16383,1e-16383,1e131071}'::text[])
    UNION ALL SELECT 'numeric', repeat('9', 131072)
    UNION ALL SELECT 'numeric', '-' || repeat('1', 131072) || '.' || repeat('1', 16383)
    UNION ALL SELECT 'numeric', '0.' || repeat('0', digits) FROM generate_series(1, 130) AS digits
    UNION ALL SELECT 'numeric', '7' || repeat('0', digits) FROM generate_series(1, 400, 3) AS digits
    UNION ALL SELECT 'numeric', '0.' || repeat('0', digits) || '7' FROM generate_series(1, 400, 3) AS digits
    UNION ALL SELECT 'numeric(20,4)', unnest('{0,1,-1,NaN,9999999999999999.9999,0.0001,0.00005,0.00004}'::text[])
    UNION ALL SELECT 'numeric(5,-3)', unnest('{0,499,500,1000,-99999000,99999499,NaN}'::text[])
    UNION ALL SELECT 'numeric(3,6)', unnest('{0,0.000001,-0.000999,0.0000005,NaN}'::text[]);


-- Strings -------------------------------------------------------------------------------------------------------------

CREATE FUNCTION gen.code_point(a float8, b float8) RETURNS int LANGUAGE sql AS $$
    SELECT CASE
        WHEN a < 0.5 THEN 1 + floor(b * 127)
        WHEN a < 0.7 THEN 128 + floor(b * 1920)
        WHEN a < 0.85 THEN 2048 + floor(b * 53248)
        WHEN a < 0.9 THEN 57344 + floor(b * 8190)
        ELSE 65536 + floor(b * 1048576)
    END::int $$;
CREATE FUNCTION gen.fragment(a float8) RETURNS text LANGUAGE sql AS $$
    SELECT gen.pick(ARRAY['', ' ', '  ', 'a', 'B', '7', 'null', 'NULL', 'Null', E'\\', E'\\\\', E'\\N', E'\\.', E'\\t', E'\b', E'\t', E'\n',
        E'\v', E'\f', E'\r', E'\r\n', E'\x01', E'\x1f', E'\x7f', E'\u0080', E'\u009f', 'é', 'ß', '漢字', '👩‍👩‍👧', E'\u2028', E'\ufeff',
        E'\ufffd', '{', '}', '{}', '(', ')', '[', ']', ',', ';', ':', '"', '""', '''', '$', '%', '=>', '-', '+', '.', '/', 'some words'], a) $$;
-- Nothing that a compressor makes shorter than about half.
CREATE FUNCTION gen.noise(a float8, lines int) RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(translate(encode(sha512((a || ' ' || line)::bytea), 'base64'), '+/A', E'\\\té'), '') FROM generate_series(1, lines) AS line $$;
CREATE FUNCTION gen.text(a float8, b float8, c float8, d float8, e float8) RETURNS text LANGUAGE sql AS $$
    SELECT CASE
        WHEN a < 0.02 THEN ''
        WHEN a < 0.15 THEN gen.fragment(b)
        WHEN a < 0.4 THEN gen.fragment(b) || gen.fragment(c) || gen.fragment(d) || gen.fragment(e)
        -- Something to escape at every offset of a word and of a vector.
        WHEN a < 0.6 THEN repeat('x', floor(b * 70)::int) || gen.pick(ARRAY[E'\\', E'\t', E'\n', E'\r', E'\b', E'\v', E'\f'], c)
            || repeat('y', floor(d * 70)::int) || gen.fragment(e)
        WHEN a < 0.65 THEN repeat(gen.fragment(b), floor(c * 70)::int)
        -- One byte more, and the header has four instead of one.
        WHEN a < 0.7 THEN rpad(gen.fragment(b), 120 + floor(c * 12)::int, gen.hex(d))
        WHEN a < 0.8 THEN chr(gen.code_point(b, c)) || chr(gen.code_point(c, d)) || chr(gen.code_point(d, e)) || chr(gen.code_point(e, b))
        WHEN a < 0.95 THEN left(gen.hex(b), floor(c * 33)::int)
        WHEN a < 0.995 THEN left(gen.hex(b) || gen.hex(c) || repeat(chr(gen.code_point(b, c)), floor(d * 60)::int), floor(e * 120)::int)
        -- Compressed, and out of line.
        WHEN a < 0.9985 THEN repeat(gen.hex(b) || gen.fragment(c), 50 + floor(d * 100)::int)
        ELSE gen.noise(b, 30 + floor(c * 200)::int)
    END $$;

INSERT INTO gen.kind VALUES
    ('strings', 'text', 'gen.text(a, b, c, d, e)', 1, true),
    ('strings', 'varchar', 'gen.text(a, b, c, d, e)', 1, true),
    ('strings', 'varchar(7)', 'left(gen.text(a, b, c, d, e), 7)', 0.1, true),
    ('strings', 'bpchar', 'gen.text(a, b, c, d, e)', 0.3, true),
    ('strings', 'char(20)', 'left(gen.text(a, b, c, d, e), 20)', 1, true),
    ('strings', 'char(127)', 'left(gen.text(a, b, c, d, e), 127)', 0.03, true),
    ('strings', 'name', 'left(gen.text(a, b, c, d, e), 64)::name', 1, true),
    ('strings', '"char"', '(floor(b * 256) - 128)::int::"char"', 1, true);
INSERT INTO gen.special
    SELECT type, value FROM unnest('{text,varchar,bpchar,name}'::text[]) AS type, (
        SELECT chr(code) FROM generate_series(1, 300) AS code
        UNION ALL SELECT 'x' || chr(code) || 'y' FROM generate_series(1, 127) AS code
        UNION ALL SELECT repeat('x', length) || tail FROM generate_series(0, 130) AS length, unnest(ARRAY['', E'\\', E'\n', 'é']) AS tail
        UNION ALL SELECT unnest(ARRAY['', ' ', E'\\.', E'\\N', E'\\\\N', E'\t', '\t', 'NULL', repeat('é', 31), repeat('漢', 21)])
    ) AS strings (value)
    UNION ALL SELECT 'text', repeat('x', length) || tail
        FROM unnest('{126,127,128,255,256,1000,1990,2000,2040,8191,8192,65535,65536,1000000}'::int[]) AS length, unnest(ARRAY['', E'\\', 'é']) AS tail
    UNION ALL SELECT 'text', repeat(E'\\', length) FROM unnest('{1,8,15,16,17,31,32,33,64,8192,1000000}'::int[]) AS length
    UNION ALL SELECT 'text', gen.noise(length, length) FROM unnest('{20,25,30,90,1000,10000}'::int[]) AS length
    UNION ALL SELECT '"char"', code::"char"::text FROM generate_series(-128, 127) AS code;


-- Bytes ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION gen.bytea(a float8, b float8, c float8, d float8, e float8) RETURNS bytea LANGUAGE sql AS $$
    SELECT CASE
        WHEN a < 0.3 THEN decode(left(gen.hex(b) || gen.hex(c), 2 * floor(d * 33)::int), 'hex')
        WHEN a < 0.5 THEN substr(sha512(gen.hex(b)::bytea), 1, floor(c * 65)::int)
        WHEN a < 0.7 THEN convert_to(gen.text(b, c, d, e, gen.again(a, 1000)), 'UTF8')
        WHEN a < 0.9 THEN decode(repeat('5c', floor(b * 4)::int) || lpad(to_hex(floor(c * 65536)::int), 4, '0') || repeat('00', floor(d * 4)::int), 'hex')
        WHEN a < 0.998 THEN substr(sha512(gen.hex(b)::bytea) || sha512(gen.hex(c)::bytea) || sha512(gen.hex(d)::bytea), 1, 110 + floor(e * 80)::int)
        WHEN a < 0.999 THEN decode(repeat(gen.hex(b), 200 + floor(c * 2000)::int), 'hex')
        ELSE convert_to(gen.noise(b, 30 + floor(c * 200)::int), 'UTF8')
    END $$;

INSERT INTO gen.kind VALUES
    ('bytes', 'bytea', 'gen.bytea(a, b, c, d, e)', 1, true),
    ('bytes', 'uuid', 'gen.hex(a)::uuid', 1, true);
INSERT INTO gen.special
    SELECT 'bytea', '\x' || repeat(lpad(to_hex(code), 2, '0'), times) FROM generate_series(0, 255) AS code, unnest('{1,2,31}'::int[]) AS times
    UNION ALL SELECT 'bytea', '\x' || repeat('005c27ff', length) FROM unnest('{0,31,32,500,2000,100000}'::int[]) AS length
    UNION ALL SELECT 'uuid', unnest('{00000000-0000-0000-0000-000000000000,ffffffff-ffff-ffff-ffff-ffffffffffff,01234567-89ab-cdef-0123-456789abcdef}'::text[]);


-- Dates and times -----------------------------------------------------------------------------------------------------

CREATE FUNCTION gen.date(a float8, b float8, c float8, d float8) RETURNS date LANGUAGE sql AS $$
    SELECT CASE
        WHEN a < 0.3 THEN date '2000-01-01' + floor((b - 0.5) * 73000)::int
        WHEN a < 0.45 THEN date '0001-01-01' + floor((b - 0.4) * 4000000)::int
        WHEN a < 0.6 THEN date '0001-01-01' + floor((b - 0.5) * 1000)::int
        WHEN a < 0.7 THEN date '2000-01-01' + floor(b * 2145000000)::int
        -- The last day of any month, and the first one of the next.
        WHEN a < 0.85 THEN make_date(1 + floor(b * 9998)::int, 1 + floor(c * 12)::int, 1) - floor(d * 2)::int
        WHEN a < 0.95 THEN make_date(-1 - floor(b * 4700)::int, 1 + floor(c * 12)::int, 1) - floor(d * 2)::int
        ELSE make_date((1 + floor(b * 2499)::int) * 4, 3, 1) - 1
    END $$;
-- A fraction of a second with up to six digits.
CREATE FUNCTION gen.fraction(a float8, b float8) RETURNS float8 LANGUAGE sql AS
    $$ SELECT floor(a * power(10, floor(b * 7))) / power(10, floor(b * 7)) $$;
CREATE FUNCTION gen.time(a float8, b float8, c float8, d float8, e float8) RETURNS time LANGUAGE sql AS
    $$ SELECT make_time(floor(a * 24)::int, floor(b * 60)::int, floor(c * 60) + gen.fraction(d, e)) $$;
CREATE FUNCTION gen.timestamp(a float8, b float8, c float8, d float8, e float8) RETURNS timestamp LANGUAGE sql AS $$
    SELECT CASE
        WHEN a < 0.5 THEN timestamp '2000-01-01' + make_interval(days => floor((b - 0.5) * 73000)::int, secs => floor(c * 86400) + gen.fraction(d, e))
        WHEN a < 0.65 THEN timestamp '0001-01-01' + make_interval(days => floor((b - 0.3) * 5000000)::int, secs => floor(c * 86400) + gen.fraction(d, e))
        WHEN a < 0.75 THEN timestamp '2000-01-01' + make_interval(days => floor(b * 106751990)::int, secs => floor(c * 86400) + gen.fraction(d, e))
        WHEN a < 0.9 THEN make_date(1 + floor(b * 9998)::int, 1 + floor(c * 12)::int, 1) + make_interval(secs => (floor(d * 3) - 1) / power(10, floor(e * 7)))
        ELSE timestamp '2000-01-01' + make_interval(months => floor((b - 0.5) * 4000)::int, secs => (floor(c * 5) - 2) / power(10, floor(d * 7)))
    END $$;
CREATE FUNCTION gen.interval(a float8, b float8, c float8, d float8, e float8) RETURNS interval LANGUAGE sql AS $$
    SELECT CASE
        WHEN a < 0.4 THEN make_interval(months => floor((b - 0.5) * 60)::int, days => floor((c - 0.5) * 60)::int,
            secs => (floor(d * 200000) - 100000) + gen.fraction(e, d) * sign(c - 0.3))
        -- Many of the parts are zero.
        WHEN a < 0.7 THEN make_interval(years => floor(b * 5)::int - 2, months => floor(gen.again(b, 31) * 5)::int - 2, days => floor(c * 3)::int - 1,
            hours => floor(d * 3)::int - 1, mins => floor(gen.again(d, 31) * 3)::int - 1, secs => floor(e * 3) - 1)
        WHEN a < 0.8 THEN make_interval(secs => gen.fraction(b, c) * sign(d - 0.5), days => floor(e * 3)::int - 1)
        WHEN a < 0.9 THEN make_interval(months => floor((b - 0.5) * 4294967295)::int, days => floor((c - 0.5) * 4294967295)::int)
        ELSE make_interval(secs => (b - 0.5) * power(10, d * 13), days => floor(c * 2)::int)
    END $$;

INSERT INTO gen.kind VALUES
    ('times', 'date', 'gen.date(a, b, c, d)', 1, true),
    ('times', 'time', 'gen.time(a, b, c, d, e)', 1, true),
    ('times', 'time(3)', 'gen.time(a, b, c, d, e)', 0.1, true),
    ('times', 'timestamp', 'gen.timestamp(a, b, c, d, e)', 1, true),
    ('times', 'timestamp(1)', 'gen.timestamp(a, b, c, d, e)', 0.1, true),
    ('times', 'timestamptz', $$gen.timestamp(a, b, c, d, e) AT TIME ZONE 'UTC'$$, 1, true),
    ('times', 'interval', 'gen.interval(a, b, c, d, e)', 1, true),
    ('times', 'interval day to second(2)', 'gen.interval(a, b, c, d, e)', 0.1, true);
INSERT INTO gen.special
    SELECT 'date', unnest('{infinity,-infinity,4714-11-24 BC,4713-01-01 BC,0001-01-01 BC,0001-12-31 BC,0001-01-01,0999-12-31,1000-01-01,1582-10-15,
        1600-02-29,1700-02-28,1900-02-28,1999-12-31,2000-01-01,2000-02-29,2038-01-19,9999-12-31,10000-01-01,99999-12-31,100000-01-01,5874897-12-31}'::text[])
    UNION ALL SELECT 'date', (date '1999-01-01' + day)::text FROM generate_series(0, 1500) AS day
    UNION ALL SELECT 'time', unnest('{00:00,24:00,23:59:59.999999,00:00:00.000001,12:00:00.1,12:00:00.10,12:00:00.120,12:00:00.1234,12:00:00.12345}'::text[])
    UNION ALL SELECT type, value FROM unnest('{timestamp,timestamptz}'::text[]) AS type,
        unnest('{infinity,-infinity,4714-11-24 00:00:00+00 BC,4714-11-24 00:00:00.000001+00 BC,294276-12-31 23:59:59.999999+00,0001-12-31 23:59:59.999999+00 BC,
            0001-01-01 00:00:00+00,1969-12-31 23:59:59.999999+00,1970-01-01 00:00:00+00,1999-12-31 23:59:59.9+00,2000-01-01 00:00:00+00,1999-12-31 23:59:59.999999+00,
            2000-02-29 12:00:00.00001+00,1901-12-13 20:45:51+00,1901-12-13 20:45:52+00,2037-12-31 23:59:59+00,2038-01-19 03:14:07+00,2038-01-19 03:14:08+00,
            9999-12-31 23:59:59.5+00,10000-01-01 00:00:00+00,99999-12-31 23:59:59.999999+00}'::text[]) AS value
    UNION ALL SELECT 'interval', unnest('{0,1 day,-1 day,1 month,-1 month,1 year,-1 year,11 months,12 months,13 months,-13 months,00:00:01,-00:00:01,00:00:00.000001,
        -00:00:00.000001,-00:00:00.5,1 day -00:00:00.5,-1 day +00:00:00.5,-1 month +1 day,1 month -1 day,-1 month +1 day -00:00:01,1 year -1 month,100:00:00,
        -100:00:00.25,2147483647 days,-2147483648 days,178956970 years 7 months,-178956970 years -8 months,2562047788:00:54.775807,-2562047788:00:54.775807,
        178956970 years 7 months 2147483647 days 2562047788:00:54.775806}'::text[])
    UNION ALL SELECT 'interval', unnest('{infinity,-infinity}'::text[]) WHERE current_setting('server_version_num')::int >= 170000;


-- Documents -----------------------------------------------------------------------------------------------------------

CREATE FUNCTION gen.json_string(a float8, b float8) RETURNS text LANGUAGE sql AS $$
    SELECT '"' || gen.pick(ARRAY['', 'a', ' ', '\"', '\\', '\/', '\b', '\f', '\n', '\r', '\t', '\u0001', '\u001f', '\u007f', '\u0080', '\u00e9', '\u2028', '\ud83d\ude00',
            '\\n', 'é', '漢字', '😀', E'\x7f', 'some words', 'null', '{\"a\": [1]}'], a)
        || repeat('-', floor(gen.again(a, 97) * 20)::int)
        || gen.pick(ARRAY['', '', 'b', '\"', '\\', '\n', '\u0019', 'ü', '/'], b) || '"' $$;
CREATE FUNCTION gen.json_number(a float8, b float8) RETURNS text LANGUAGE sql AS $$
    SELECT CASE
        WHEN a < 0.4 THEN gen.pick(ARRAY['0', '-0', '0.0', '-0.00', '1', '-1', '1e5', '1E-7', '1.50e+3', '-1e-3', '9007199254740993', '0.10', '100', '10000', '1e30', '1.7976931348623157e308'], b)
        WHEN a < 0.7 THEN (floor(b * 1000000) / 100)::text
        WHEN a < 0.9 THEN floor(b * power(10, gen.again(a, 10) * 18))::int8::text
        ELSE '1' || gen.digits(a, b, 60) || '.' || gen.digits(b) || CASE WHEN b < 0.2 THEN 'e-' || floor(b * 500)::int ELSE '' END
    END $$;
CREATE FUNCTION gen.json_scalar(a float8, b float8, c float8) RETURNS text LANGUAGE sql AS $$
    SELECT CASE
        WHEN a < 0.15 THEN gen.pick(ARRAY['null', 'true', 'false', '[]', '{}', '""'], b)
        WHEN a < 0.5 THEN gen.json_number(b, c)
        ELSE gen.json_string(b, c)
    END $$;
-- A document of any shape. Slow, for a part of them.
CREATE FUNCTION gen.json_tree(depth int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    kind float8 := random();
    members text;
BEGIN
    IF depth = 0 OR kind < 0.3 THEN
        RETURN gen.json_scalar(random(), random(), random());
    ELSIF kind < 0.6 THEN
        SELECT string_agg(gen.json_tree(depth - 1), ', ') INTO members FROM generate_series(1, floor(random() * 6)::int);
        RETURN concat('[', members, ']');
    END IF;
    SELECT string_agg(gen.json_string(random(), random()) || ': ' || gen.json_tree(depth - 1), ',') INTO members FROM generate_series(1, floor(random() * 6)::int);
    RETURN concat('{', members, '}');
END $$;
CREATE FUNCTION gen.json_of_keys(keys int, width int) RETURNS text LANGUAGE sql AS
    $$ SELECT json_object_agg('key ' || key, repeat('v', key % (width + 1))) FROM generate_series(1, keys) AS key $$;
CREATE FUNCTION gen.json(a float8, b float8, c float8, d float8, e float8) RETURNS text LANGUAGE sql AS $$
    SELECT CASE
        WHEN a < 0.3 THEN gen.json_scalar(b, c, d)
        WHEN a < 0.6 THEN '{' || gen.json_string(b, c) || ': ' || gen.json_scalar(c, d, e) || ',' || gen.json_string(d, e) || E' :\n' || gen.json_scalar(e, b, c)
            || ', "deeper" :{"a":[' || gen.json_scalar(b, d, c) || ',' || gen.json_number(c, e) || ']}}'
        WHEN a < 0.86 THEN '[' || gen.json_scalar(b, c, d) || ', ' || gen.json_scalar(c, d, e) || E'\t,\r\n' || gen.json_number(d, e)
            || repeat(',' || gen.json_scalar(e, b, c), floor(gen.again(a, 1000) * 12)::int) || '] '
        WHEN a < 0.9 THEN to_json(gen.text(b * 0.99, c, d, e, gen.again(a, 1000)))::text
        WHEN a < 0.92 THEN repeat('[', 1 + floor(b * 30)::int) || gen.json_scalar(c, d, e) || repeat(']', 1 + floor(b * 30)::int)
        WHEN a < 0.94 THEN repeat('{"k": ', 1 + floor(b * 30)::int) || gen.json_scalar(c, d, e) || repeat('}', 1 + floor(b * 30)::int)
        WHEN a < 0.998 THEN gen.json_tree(1 + floor(b * 2.05)::int)
        WHEN a < 0.9998 THEN gen.json_of_keys(floor(b * 80)::int, floor(c * 20)::int)
        ELSE gen.json_of_keys(floor(b * 1200)::int, floor(c * 40)::int)
    END $$;

INSERT INTO gen.kind VALUES
    ('documents', 'json', 'gen.json(a, b, c, d, e)::json', 1, true),
    ('documents', 'jsonb', 'gen.json(a, b, c, d, e)::jsonb', 1, true);
INSERT INTO gen.special
    SELECT type, value FROM unnest('{json,jsonb}'::text[]) AS type, (
        SELECT to_json(chr(code))::text FROM generate_series(1, 300) AS code
        UNION ALL SELECT '"' || repeat('x', length) || '\n' || '"' FROM generate_series(0, 40) AS length
        UNION ALL SELECT repeat('[', depth) || repeat(']', depth) FROM unnest('{1,2,10,100,200,5000}'::int[]) AS depth
        UNION ALL SELECT repeat('{"":', depth) || '1' || repeat('}', depth) FROM unnest('{1,2,10,100,200,2000}'::int[]) AS depth
        UNION ALL SELECT gen.json_of_keys(keys, width) FROM unnest('{1,31,32,33,63,64,65,999,1000,1023,1024,1025,5000}'::int[]) AS keys, unnest('{0,7,300}'::int[]) AS width
        UNION ALL SELECT '[' || repeat('1,', length) || '1]' FROM unnest('{30,31,32,33,1000,20000}'::int[]) AS length
        UNION ALL SELECT to_json(array_agg(gen.hex(item)))::text FROM generate_series(1, 3000) AS item
        UNION ALL SELECT to_json(gen.noise(7, lines))::text FROM unnest('{20,30,1000}'::int[]) AS lines
        UNION ALL SELECT to_json(repeat(E'"\\\n\u0001', 30000))::text
        UNION ALL SELECT unnest(ARRAY['null', 'true', 'false', '0', '-0', '""', '[]', '{}', '[[], {}, null]', '{"a": {}, "b": [], "a": 2}', '1e1000', '0.00000000000000000000',
            ' {"a" :1 , "b": [ ] }  ', '{"": ""}', '[{"a": 1}, {"b": [2, {"c": 3}]}]'])
    ) AS documents (value)
    UNION ALL SELECT 'json', '"\u0000"';


-- Addresses and labels ------------------------------------------------------------------------------------------------

CREATE FUNCTION gen.v4(a float8, b float8) RETURNS text LANGUAGE sql AS $$
    SELECT concat(floor(a * 256), '.', CASE WHEN b < 0.3 THEN 0 ELSE floor(gen.again(a, 256) * 256) END, '.', floor(b * 256), '.', floor(gen.again(b, 256) * 256)) $$;
-- Four groups of an address in hexadecimal, each of them zero half of the time.
CREATE FUNCTION gen.v6_half(a float8, b float8) RETURNS text LANGUAGE sql AS $$
    SELECT concat(CASE WHEN a < 0.5 THEN '0' ELSE to_hex(floor(gen.again(b, 7) * power(16, 1 + floor(gen.again(a, 7) * 4)))::int) END, ':',
        CASE WHEN gen.again(a, 2) < 0.5 THEN '0' ELSE to_hex(floor(gen.again(b, 11) * 65536)::int) END, ':',
        CASE WHEN gen.again(a, 4) < 0.5 THEN '0' ELSE to_hex(floor(gen.again(b, 13) * 65536)::int) END, ':',
        CASE WHEN gen.again(a, 8) < 0.5 THEN '0' ELSE to_hex(floor(gen.again(b, 17) * 256)::int) END) $$;
CREATE FUNCTION gen.inet(a float8, b float8, c float8, d float8, e float8) RETURNS inet LANGUAGE sql AS $$
    SELECT (CASE
        WHEN a < 0.25 THEN gen.v4(b, c)
        WHEN a < 0.5 THEN gen.v4(b, c) || '/' || floor(d * 33)::int
        WHEN a < 0.55 THEN '::ffff:' || gen.v4(b, c) || '/' || 90 + floor(d * 39)::int
        WHEN a < 0.6 THEN '::' || gen.v4(b, c)
        WHEN a < 0.8 THEN gen.v6_half(b, c) || ':' || gen.v6_half(d, e)
        ELSE gen.v6_half(b, c) || ':' || gen.v6_half(d, e) || '/' || floor(gen.again(a, 1000) * 129)::int
    END)::inet $$;

CREATE TYPE gen.label AS ENUM ('plain', '', ' ', 'two words', 'null', 'NULL', 'quote "', 'apostrophe ''', E'back\\slash', E'\\N', E'\\.', 'comma,', '{brace}', E'tab\t',
    E'line\n', 'ünïcödé', '漢字', '😀', 'sixty-three bytes, which is as long as a label of this may be .');

-- As a constant: looking for the labels takes longer than all the rest.
CREATE FUNCTION gen.every_label() RETURNS gen.label[] IMMUTABLE LANGUAGE sql AS $$ SELECT enum_range(NULL::gen.label) $$;

INSERT INTO gen.kind VALUES
    ('addresses', 'inet', 'gen.inet(a, b, c, d, e)', 1, true),
    ('addresses', 'cidr', 'network(gen.inet(a, b, c, d, e))', 1, true),
    ('addresses', 'gen.label', 'gen.pick(gen.every_label(), a)', 1, true);
INSERT INTO gen.special
    SELECT 'gen.label', label::text FROM unnest(enum_range(NULL::gen.label)) AS label
    UNION ALL SELECT type, value FROM unnest('{inet,cidr}'::text[]) AS type, (
        SELECT unnest('{0.0.0.0,0.0.0.0/0,255.255.255.255,10.0.0.0/8,127.0.0.1,::,::/0,::1,1::,1::1,::1:0,::1:0:0,1:0:0:1::,1:0:0:1:0:0:1:1,0:0:1:1:0:0:1:1,1:0:1:0:1:0:1:0,
            0:1:0:1:0:1:0:1,1:1:1:1:1:1:1:1,1:2:3:4:5:6:7:8,1:2:3:4:5:6:7:0,0:2:3:4:5:6:7:8,1:0:0:2:0:0:0:3,::ffff:1.2.3.4,::ffff:0:1.2.3.4,::1.2.3.4,::0.0.1.2,::0.1.0.0,
            ::ffff:0.0.0.0,::ffff:255.255.255.255,64:ff9b::1.2.3.4,ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff,2001:db8::,fe80::1}'::text[])
        UNION ALL SELECT host(network(('255.255.255.255/' || mask)::inet)) || '/' || mask FROM generate_series(0, 32) AS mask
        UNION ALL SELECT host(network(('ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/' || mask)::inet)) || '/' || mask FROM generate_series(0, 128) AS mask
    ) AS addresses (value);


-- Types that the encoder leaves to their output functions --------------------------------------------------------------

CREATE TYPE gen.pair AS (number int, string text, "odd name" numeric[]);
CREATE TYPE gen.string_range AS RANGE (subtype = text, collation = "C");
CREATE TABLE gen.row_type (a int, gone text, b text, c timestamp);
ALTER TABLE gen.row_type DROP gone;

CREATE FUNCTION gen.point(a float8, b float8, c float8, d float8) RETURNS point LANGUAGE sql AS
    $$ SELECT point(gen.float8(0.6 + a * 0.2, b, c, d), gen.float8(0.6 + b * 0.2, c, d, a)) $$;
CREATE FUNCTION gen.odd_text(a float8, b float8, c float8, d float8) RETURNS text LANGUAGE sql AS
    $$ SELECT gen.text(0.1 + 0.4 * a, b, c, d, gen.again(a, 100)) $$;

INSERT INTO gen.kind VALUES
    ('others', 'gen.pair', 'ROW(gen.int4(a, b, c), CASE WHEN d > 0.1 THEN gen.odd_text(a, b, c, d) END, ARRAY[gen.numeric(b * 0.9, c, d, e, a), NULL])::gen.pair', 0.02, false),
    ('others', 'gen.row_type', 'ROW(gen.int4(a, b, c), gen.odd_text(a, b, c, d), gen.timestamp(b, c, d, e, a))::gen.row_type', 0.02, false),
    ('others', 'int4range', $$int4range(floor(a * 100)::int, CASE WHEN b > 0.1 THEN (100 + floor(c * 100))::int END, gen.pick('{"[)","(]","[]","()"}'::text[], d))$$, 0.02, false),
    ('others', 'tstzrange', $$tstzrange(date_trunc('hour', timestamptz '2000-01-01 00:00+00' + a * interval '100 years'), timestamptz '2100-06-01 00:00:00.5+00')$$, 0.02, false),
    ('others', 'gen.string_range', $$gen.string_range(left(gen.odd_text(a, b, c, d), 20), NULL, '[)')$$, 0.02, false),
    ('others', 'int4multirange', 'int4multirange(int4range(floor(a * 100)::int, floor(100 + b * 100)::int), int4range(300, CASE WHEN c > 0.1 THEN 400 END))', 0.02, false),
    ('others', 'timetz', $$(gen.time(a, b, c, d, e)::text || gen.pick('{+00,-08,+05:30,+01:02:03,-15:59:59}'::text[], e))::timetz$$, 0.02, false),
    ('others', 'money', 'gen.int4(a, b, c)::money', 0.02, false),
    ('others', 'bit(13)', 'gen.int4(a, b, c)::bit(13)', 0.02, false),
    ('others', 'varbit', 'substring(gen.int8(a, b, c)::bit(64)::varbit FROM 1 FOR floor(d * 65)::int)', 0.02, false),
    ('others', 'point', 'gen.point(a, b, c, d)', 0.02, false),
    ('others', 'box', 'box(gen.point(a, b, c, d), gen.point(c, d, e, a))', 0.02, false),
    ('others', 'polygon', 'polygon(box(gen.point(a, b, c, d), gen.point(c, d, e, a)))', 0.02, false),
    ('others', 'circle', 'circle(gen.point(a, b, c, d), abs(e * 1000))', 0.02, false),
    ('others', 'tsvector', $$to_tsvector('simple', gen.hex(a) || ' ' || gen.odd_text(a, b, c, d)) || setweight('''it''''s'':1 ''back\\slash'':2,3'::tsvector, 'B')$$, 0.01, false),
    ('others', 'tsquery', $$plainto_tsquery('simple', left(gen.hex(a), 5) || ' ' || gen.odd_text(a, b, c, d))$$, 0.01, false),
    ('others', 'pg_lsn', $$'0/0'::pg_lsn + gen.oid(a, b, c)::int8$$, 0.02, false),
    ('others', 'macaddr', 'left(gen.hex(a), 12)::macaddr', 0.02, false),
    ('others', 'macaddr8', 'left(gen.hex(a), 16)::macaddr8', 0.02, false),
    ('others', 'xid8', 'gen.oid(a, b, c)::text::xid8', 0.02, false),
    ('others', 'tid', $$format('(%s,%s)', floor(a * 4294967296), floor(b * 65536))::tid$$, 0.02, false),
    ('others', 'oidvector', $$concat_ws(' ', gen.oid(a, b, c), gen.oid(b, c, d))::oidvector$$, 0.02, false),
    ('others', 'int2vector', $$concat_ws(' ', gen.int2(a, b, c), gen.int2(b, c, d))::int2vector$$, 0.02, false),
    ('others', 'regclass', $$gen.pick(ARRAY[1259, 'gen.kind'::regclass::oid, 'gen.row_type'::regclass::oid, 0, 4294967295], a)::regclass$$, 0.02, false),
    ('others', 'regtype', $$gen.pick('{int4,text[],gen.label,"\"char\"","numeric"}'::text[], a)::regtype$$, 0.02, false),
    ('others', 'jsonpath', $$('$.' || to_json(gen.odd_text(a, b, c, d))::text || '[*] ? (@ > 1)')::jsonpath$$, 0.01, false),
    ('others', 'aclitem', $$makeaclitem(CASE WHEN b < 0.5 THEN 0 ELSE 10 END, 10, gen.pick('{SELECT,INSERT,UPDATE}'::text[], c), a < 0.5)$$, 0.01, false);
INSERT INTO gen.special
    SELECT 'int4range', unnest('{empty,"(,)","[1,2)"}'::text[])
    UNION ALL SELECT 'int4multirange', unnest(ARRAY['{}', '{(,)}', '{[1,2),[5,9)}'])
    UNION ALL SELECT 'tstzrange', unnest(ARRAY['empty', '[-infinity,infinity]', '(,)'])
    UNION ALL SELECT 'gen.pair', unnest(ARRAY['(,,)', '(1,"",{})', '(1,"quote "" and \\ back","{NULL,NaN}")'])
    UNION ALL SELECT 'money', unnest('{-92233720368547758.08,92233720368547758.07,0,-0.01}'::text[])
    UNION ALL SELECT 'point', unnest(ARRAY['(NaN,-0)', '(Infinity,-Infinity)', '(1e-5,1e15)'])
    UNION ALL SELECT 'varbit', repeat('10', length) FROM unnest('{0,1,4,100,5000}'::int[]) AS length
    UNION ALL SELECT 'tsvector', '';

DO $$
BEGIN
    PERFORM xmlparse(CONTENT 'x');
    INSERT INTO gen.kind VALUES ('others', 'xml', $x$xmlelement(name odd, xmlattributes(left(gen.hex(a), 5) AS a), regexp_replace(gen.odd_text(a, b, c, d), '[^ -~\n\t]', '?', 'g'))$x$, 0.01, false);
EXCEPTION WHEN feature_not_supported THEN
    RAISE NOTICE 'no xml in this server';
END $$;
DO $$
BEGIN
    CREATE EXTENSION hstore SCHEMA gen;
    CREATE EXTENSION citext SCHEMA gen;
    INSERT INTO gen.kind VALUES
        ('others', 'gen.hstore', 'gen.hstore(gen.odd_text(a, b, c, d), CASE WHEN e > 0.1 THEN gen.odd_text(b, c, d, e) END)', 0.02, false),
        ('others', 'gen.citext', 'gen.odd_text(a, b, c, d)::gen.citext', 0.02, false);
EXCEPTION WHEN feature_not_supported OR undefined_file THEN
    RAISE NOTICE 'no contrib beside this server';
END $$;


-- Domains, each also as the elements of an array; and domains over arrays -----------------------------------------------

CREATE DOMAIN gen.small AS int2 CHECK (VALUE <> 4711);
CREATE DOMAIN gen.smaller AS gen.small CHECK (VALUE < 4711);
CREATE DOMAIN gen.amount AS numeric(12, 2);
CREATE DOMAIN gen.code AS char(9);
CREATE DOMAIN gen.words AS text COLLATE "C";
CREATE DOMAIN gen.moment AS timestamptz(3);
CREATE DOMAIN gen.document AS jsonb;
CREATE DOMAIN gen.labels AS gen.label[];
CREATE DOMAIN gen.many_words AS text[];
CREATE DOMAIN gen.shape AS box;
-- Names that a careless look at the catalogs takes for others.
CREATE SCHEMA odd;
CREATE DOMAIN odd.int4 AS text;
CREATE TYPE odd.text AS ENUM ('1', E'\\', '漢字');

INSERT INTO gen.kind VALUES
    ('domains', 'gen.small', 'gen.int2(a, b, c) % 4711::int2', 0.05, true),
    ('domains', 'gen.smaller', 'gen.int2(a, b, c) % 4711::int2', 0.05, true),
    ('domains', 'gen.amount', '(b * power(10, floor(c * 10)))::numeric', 0.05, true),
    ('domains', 'gen.code', 'left(gen.odd_text(a, b, c, d), 9)', 0.05, true),
    ('domains', 'gen.words', 'gen.text(a, b, c, d, e)', 0.05, true),
    ('domains', 'gen.moment', $$gen.timestamp(a, b, c, d, e) AT TIME ZONE 'UTC'$$, 0.05, true),
    ('domains', 'gen.document', 'gen.json(a, b, c, d, e)::jsonb', 0.03, true),
    ('domains', 'gen.labels', 'ARRAY[gen.pick(gen.every_label(), a), NULL, gen.pick(gen.every_label(), b)]', 0.05, true),
    ('domains', 'gen.many_words', 'ARRAY[gen.odd_text(a, b, c, d), NULL, gen.odd_text(b, c, d, e)]', 0.05, true),
    ('domains', 'gen.shape', 'box(gen.point(a, b, c, d), gen.point(c, d, e, a))', 0.03, false),
    ('domains', 'odd.int4', 'gen.odd_text(a, b, c, d)', 0.05, true),
    ('domains', 'odd.text', 'gen.pick(enum_range(NULL::odd.text), a)', 0.05, true);
