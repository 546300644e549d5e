-- Tables of every shape and with every past, in the schema shape. Their values are those of values.sql, which runs before.

SET client_min_messages = warning;
CREATE SCHEMA shape;

-- Makes a table with a column for each type of `types`, which gen.kind has, and a few rows: the first one without a NULL, the
-- second one of NULLs alone, the others with NULLs anywhere. More columns make fewer rows.
CREATE FUNCTION gen.table_of(name text, types text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    columns text;
    expressions text;
BEGIN
    SELECT string_agg(format('c%s %s', column_number, kind.type), ', ' ORDER BY column_number),
        string_agg(format('CASE WHEN n <> 1 AND (n = 2 OR hashint8extended(n, %s) %% 2 = 0) THEN NULL ELSE %s END', column_number, expression), ', ' ORDER BY column_number)
        INTO columns, expressions
        FROM unnest(types) WITH ORDINALITY AS wanted (type, column_number) JOIN gen.kind USING (type);
    EXECUTE format('CREATE TABLE shape.%I (%s)', name, columns);
    EXECUTE format('INSERT INTO shape.%I SELECT %s FROM gen.rows(%s)', name, expressions, 10 + 400 / cardinality(types));
END $$;


-- Every width of the bitmap of NULLs up to nine bytes, every alignment behind every other one ----------------------------

SELECT gen.table_of('width_' || width, (
    SELECT array_agg(types[1 + (width * 7 + number) % cardinality(types)])
    FROM generate_series(1, width) AS number, (SELECT array_agg(type ORDER BY md5(type)) FROM gen.kind WHERE of_its_own AND family <> 'domains') AS own (types)
)) FROM generate_series(1, 72) AS width;

SELECT gen.table_of('alignment_' || row_number() OVER (), ARRAY[one, two, three, four])
FROM unnest('{"\"char\"",int2,int8,text}'::text[]) AS one, unnest('{"\"char\"",int2,int8,text}'::text[]) AS two,
    unnest('{"\"char\"",int2,int8,text}'::text[]) AS three, unnest('{"\"char\"",int2,int8,text}'::text[]) AS four
WHERE one NOT IN (two, three, four) AND two NOT IN (three, four) AND three <> four;

SELECT gen.table_of('shuffled_' || shuffle, array_agg(type ORDER BY random())) FROM gen.kind, generate_series(1, 20) AS shuffle GROUP BY shuffle;

SELECT gen.table_of('full_width', (SELECT array_agg((ARRAY['"char"', 'bool', 'int2'])[1 + number * number % 7 % 3]) FROM generate_series(1, 1600) AS number));
SELECT gen.table_of('full_width_of_strings', (SELECT array_agg(CASE number % 4 WHEN 0 THEN 'gen.label' ELSE '"char"' END) FROM generate_series(1, 1600) AS number));
DO $$
BEGIN
    EXECUTE (SELECT format('CREATE TABLE shape.full_width_of_nulls (%s)', string_agg(format('c%s numeric', number), ', ')) FROM generate_series(1, 1600) AS number);
    INSERT INTO shape.full_width_of_nulls (c1, c800, c1600) SELECT n, nullif(n, 3), nullif(n, 5) FROM generate_series(1, 9) AS n;
END $$;
CREATE TABLE shape.nulls (a int, b text, c numeric, d jsonb, e int[]);
INSERT INTO shape.nulls SELECT FROM generate_series(1, 3000);


-- Columns that are gone, that came later, and that are computed -----------------------------------------------------------

DO $$
DECLARE
    dropped text[];
BEGIN
    FOREACH dropped SLICE 1 IN ARRAY '{{a,a},{b,b},{c,c},{d,d},{e,e},{f,f},{g,g},{a,b},{f,g},{b,e}}'::text[] LOOP
        EXECUTE format('CREATE TABLE shape.%1$I (a int2, b text, c int8, d numeric, e "char", f float8, g jsonb);
            INSERT INTO shape.%1$I SELECT n, repeat(E''\\t'', n), n, n, ''c'', n, ''[1]'' FROM generate_series(1, 20) AS n;
            INSERT INTO shape.%1$I SELECT FROM generate_series(1, 3);
            ALTER TABLE shape.%1$I DROP IF EXISTS %2$I;
            ALTER TABLE shape.%1$I DROP IF EXISTS %3$I;
            INSERT INTO shape.%1$I SELECT FROM generate_series(1, 3);
            ALTER TABLE shape.%1$I ADD again text DEFAULT ''came later'';
            INSERT INTO shape.%1$I VALUES (DEFAULT);
            ALTER TABLE shape.%1$I ADD no_default int', 'without_' || dropped[1] || dropped[2], dropped[1], dropped[2]);
    END LOOP;
END $$;

CREATE TABLE shape.later (a int);
INSERT INTO shape.later SELECT generate_series(1, 500);
ALTER TABLE shape.later ADD b int2 DEFAULT -5, ADD c text DEFAULT E'tab \t, é and \\', ADD d numeric DEFAULT 1.50, ADD e bool DEFAULT true;
INSERT INTO shape.later (a) VALUES (501);
ALTER TABLE shape.later ADD f jsonb DEFAULT '{"a": [1, "\n"]}', ADD g int[] DEFAULT '[0:1]={1,NULL}', ADD h text DEFAULT NULL, ADD i "char" DEFAULT 'x';
ALTER TABLE shape.later ADD j float8 DEFAULT '-0', ADD k uuid DEFAULT '01234567-89ab-cdef-0123-456789abcdef', ADD l inet DEFAULT '::1/64', ADD m name DEFAULT 'n';
ALTER TABLE shape.later ADD o text DEFAULT repeat(E'long \\', 500), ADD p text, ADD q timestamptz DEFAULT '2024-02-29 12:00+00', ADD r gen.label DEFAULT 'null';
ALTER TABLE shape.later ADD s gen.amount DEFAULT 3, ADD t gen.many_words DEFAULT '{a,NULL,""}', ADD u gen.pair DEFAULT '(1,x,{2})', ADD v bytea DEFAULT '\x005cff';
UPDATE shape.later SET c = 'changed' WHERE a % 7 = 0;
UPDATE shape.later SET o = NULL WHERE a % 11 = 0;
ALTER TABLE shape.later DROP b, DROP k, ALTER e SET DEFAULT false;
INSERT INTO shape.later (a) VALUES (502), (NULL);

CREATE TABLE shape.generated (a int, twice int GENERATED ALWAYS AS (a * 2) STORED, b text, upper_b text GENERATED ALWAYS AS (upper(b)) STORED, c int GENERATED ALWAYS AS IDENTITY);
INSERT INTO shape.generated (a, b) SELECT n, repeat('x', n % 50) FROM generate_series(1, 300) AS n;
CREATE TABLE shape.only_generated (a int GENERATED ALWAYS AS (1) STORED);
INSERT INTO shape.only_generated SELECT FROM generate_series(1, 30);
CREATE TABLE shape.generated_and_gone (a int, gone text, b int GENERATED ALWAYS AS (a + 1) STORED, c text);
INSERT INTO shape.generated_and_gone (a, gone, c) SELECT n, 'gone', n FROM generate_series(1, 30) AS n;
ALTER TABLE shape.generated_and_gone DROP gone;
DO $$
BEGIN
    IF current_setting('server_version_num')::int >= 180000 THEN
        -- As text: the versions before cannot read it.
        EXECUTE $sql$
            CREATE TABLE shape.virtual (a int, twice int GENERATED ALWAYS AS (a * 2) VIRTUAL, b text, c int8 GENERATED ALWAYS AS (length(b)) VIRTUAL);
            INSERT INTO shape.virtual (a, b) SELECT n, repeat('x', n % 50) FROM generate_series(1, 300) AS n;
            ALTER TABLE shape.virtual ADD d text GENERATED ALWAYS AS (b || 'd') VIRTUAL, ADD e text DEFAULT 'later';
            CREATE TABLE shape.only_virtual (a int GENERATED ALWAYS AS (1) VIRTUAL);
            INSERT INTO shape.only_virtual SELECT FROM generate_series(1, 30);
        $sql$;
    END IF;
END $$;

CREATE TABLE shape.nothing ();
INSERT INTO shape.nothing SELECT FROM generate_series(1, 1000);
CREATE TABLE shape.nothing_left (a int, b text);
INSERT INTO shape.nothing_left SELECT n, n FROM generate_series(1, 1000) AS n;
ALTER TABLE shape.nothing_left DROP a, DROP b;
CREATE TABLE shape.empty (a int, b text);
CREATE TABLE shape."Odd "" name, (of a) table" ("a ""quoted"" name" text, ") TO stdout; --" int, "Größe" float8, "select" text);
INSERT INTO shape."Odd "" name, (of a) table" SELECT n, n, n, n FROM generate_series(1, 10) AS n;


-- Rows and blocks with a past ---------------------------------------------------------------------------------------------

CREATE TABLE shape.updated WITH (fillfactor = 50) AS SELECT n, repeat('before', n % 40) AS text FROM generate_series(1, 5000) AS n;
UPDATE shape.updated SET text = 'hot ' || n WHERE n % 3 = 0;
UPDATE shape.updated SET text = repeat('no place in the block', 100) WHERE n % 10 = 0;
CREATE INDEX ON shape.updated (text);
UPDATE shape.updated SET text = text || '.' WHERE n % 7 = 0;
DELETE FROM shape.updated WHERE n % 5 = 0;

CREATE TABLE shape.aborted AS SELECT n, 'text ' || n AS text FROM generate_series(1, 2000) AS n;
BEGIN;
INSERT INTO shape.aborted SELECT n, 'aborted' FROM generate_series(1, 500) AS n;
UPDATE shape.aborted SET text = 'aborted' WHERE n % 3 = 0;
DELETE FROM shape.aborted WHERE n % 7 = 0;
ROLLBACK;
BEGIN;
INSERT INTO shape.aborted VALUES (-1, 'kept');
SAVEPOINT before;
INSERT INTO shape.aborted VALUES (-2, 'aborted');
DELETE FROM shape.aborted WHERE n % 11 = 0;
ROLLBACK TO before;
SAVEPOINT again;
UPDATE shape.aborted SET text = 'kept, by a subtransaction' WHERE n % 13 = 0;
RELEASE again;
COMMIT;

CREATE TABLE shape.locked AS SELECT n, 'text ' || n AS text FROM generate_series(1, 500) AS n;
BEGIN;
SELECT count(*) FROM (SELECT FROM shape.locked WHERE n % 2 = 0 FOR UPDATE) AS rows;
COMMIT;
BEGIN;
SELECT count(*) FROM (SELECT FROM shape.locked WHERE n % 3 = 0 FOR KEY SHARE) AS rows;
SAVEPOINT before;
-- Two transactions in one xmax.
UPDATE shape.locked SET text = 'aborted' WHERE n % 6 = 0;
ROLLBACK TO before;
UPDATE shape.locked SET text = 'updated, and locked before' WHERE n % 9 = 0;
COMMIT;

CREATE TABLE shape.frozen AS SELECT n, 'text ' || n AS text FROM generate_series(1, 2000) AS n;
DELETE FROM shape.frozen WHERE n % 4 = 0;
VACUUM (FREEZE) shape.frozen;
INSERT INTO shape.frozen SELECT n, 'later' FROM generate_series(1, 100) AS n;
CREATE TABLE shape.dead_at_the_end AS SELECT n, repeat('x', 500) AS text FROM generate_series(1, 1000) AS n;
DELETE FROM shape.dead_at_the_end WHERE n > 300;
CREATE TABLE shape.cut_at_the_end AS TABLE shape.dead_at_the_end;
INSERT INTO shape.cut_at_the_end SELECT n, repeat('y', 500) FROM generate_series(1, 1000) AS n;
DELETE FROM shape.cut_at_the_end WHERE text LIKE 'y%';
VACUUM shape.cut_at_the_end;
CREATE TABLE shape.all_dead AS SELECT generate_series(1, 3000) AS n;
DELETE FROM shape.all_dead;
CREATE TABLE shape.empty_in_the_middle AS SELECT n, repeat('x', 500) AS text FROM generate_series(1, 1000) AS n;
DELETE FROM shape.empty_in_the_middle WHERE n BETWEEN 100 AND 900;
VACUUM shape.empty_in_the_middle;
CREATE TABLE shape.refilled AS SELECT generate_series(1, 5000) AS n;
TRUNCATE shape.refilled;
INSERT INTO shape.refilled SELECT generate_series(1, 700);
CREATE TABLE shape.airy (n int, text text) WITH (fillfactor = 10);
INSERT INTO shape.airy SELECT n, 'text ' || n FROM generate_series(1, 3000) AS n;
CREATE TABLE shape.many_blocks AS SELECT n, md5(n::text) || repeat('-', n % 200) AS text FROM generate_series(1, 120001) AS n;
CREATE TABLE shape.clustered (n int PRIMARY KEY, text text);
INSERT INTO shape.clustered SELECT n, 'text ' || n FROM generate_series(2000, 1, -1) AS n;
UPDATE shape.clustered SET text = 'updated' WHERE n % 2 = 0;
CLUSTER shape.clustered USING clustered_pkey;
CREATE UNLOGGED TABLE shape.unlogged AS SELECT n, 'text ' || n AS text FROM generate_series(1, 500) AS n;
CREATE TABLE shape.rewritten (n int, text text);
INSERT INTO shape.rewritten SELECT n, n FROM generate_series(1, 500) AS n;
ALTER TABLE shape.rewritten ALTER n TYPE numeric, ALTER text TYPE bigint USING text::bigint;


-- Tables that belong to others ----------------------------------------------------------------------------------------------

CREATE TABLE shape.parent (a int, b text, c int8);
CREATE TABLE shape.child (d text) INHERITS (shape.parent);
CREATE TABLE shape.grandchild (c int8, a int) INHERITS (shape.child);
INSERT INTO shape.parent SELECT n, 'parent', n FROM generate_series(1, 100) AS n;
INSERT INTO shape.child SELECT n, 'child', n, 'd' FROM generate_series(1, 100) AS n;
INSERT INTO shape.grandchild (a, b, c, d) SELECT n, 'grandchild', n, 'd' FROM generate_series(1, 100) AS n;
CREATE SCHEMA whole;
CREATE TABLE whole.partitioned (a int, b text, c int8) PARTITION BY LIST (a);
CREATE TABLE shape.partition PARTITION OF whole.partitioned FOR VALUES IN (1);
CREATE TABLE shape.partition_in_another_order (gone text, c int8, b text, a int);
ALTER TABLE shape.partition_in_another_order DROP gone;
ALTER TABLE whole.partitioned ATTACH PARTITION shape.partition_in_another_order FOR VALUES IN (2);
INSERT INTO whole.partitioned SELECT n % 2 + 1, 'text ' || n, n FROM generate_series(1, 500) AS n;
-- Whoever can refuse rows to some cannot refuse them to a superuser.
CREATE TABLE shape.guarded AS SELECT n, 'text ' || n AS text FROM generate_series(1, 500) AS n;
CREATE POLICY a_few ON shape.guarded USING (n < 10);
ALTER TABLE shape.guarded ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;


-- Where long values lie -----------------------------------------------------------------------------------------------------

DO $$
DECLARE
    storage text;
    method text;
    name text;
BEGIN
    FOREACH storage IN ARRAY '{PLAIN,MAIN,EXTERNAL,EXTENDED}'::text[] LOOP
        FOR method IN SELECT unnest(enumvals) FROM pg_settings WHERE pg_settings.name = 'default_toast_compression' LOOP
            name := 'storage_' || storage || '_' || method;
            EXECUTE format('CREATE TABLE shape.%I
                (a text, b bytea, c jsonb, d text[], e numeric, f varchar, g json, h bpchar, i gen.words, j gen.document, k gen.pair)', name);
            EXECUTE (SELECT string_agg(format('ALTER TABLE shape.%1$I ALTER %2$s SET STORAGE %3$s, ALTER %2$s SET COMPRESSION %4$s;', name, letter, storage, method), '')
                FROM unnest('{a,b,c,d,e,f,g,h,i,j,k}'::text[]) AS letter);
            EXECUTE format('INSERT INTO shape.%I
                SELECT long, convert_to(long, ''UTF8''), jsonb_build_array(long, long), ARRAY[long, NULL, long],
                    (''1'' || repeat(''1234567'', least(length(long) / 4, 10000)))::numeric,
                    long, to_json(long), long, long, to_jsonb(long), ROW(n, long, ARRAY[n])::gen.pair
                FROM gen.rows(60) AS row, left(CASE n %% 3
                    WHEN 0 THEN repeat(gen.hex(a) || E''\\'', floor(power(b, 2) * 3000)::int)
                    WHEN 1 THEN gen.noise(c, 1 + floor(power(b, 2) * 1000)::int)
                    ELSE gen.text(a, b, c, d, e)
                END, $1) AS long', name)
                -- As long as a block has place for, where nothing is compressed or put elsewhere.
                USING CASE storage WHEN 'PLAIN' THEN 120 ELSE 1000000 END;
        END LOOP;
    END LOOP;
END $$;
-- About the borders of the chunks that values out of line are cut into.
CREATE TABLE shape.chunks (text text);
ALTER TABLE shape.chunks ALTER text SET STORAGE EXTERNAL;
INSERT INTO shape.chunks SELECT left(gen.noise(7, 500), length) FROM generate_series(1, 3) AS chunks, generate_series(1980 * chunks, 2004 * chunks) AS length;
-- A long value that two rows share, and one that a row took from another table.
CREATE TABLE shape.shared_values AS SELECT n, gen.noise(n, 100) AS text FROM generate_series(1, 20) AS n;
UPDATE shape.shared_values SET n = -n;
CREATE TABLE shape.wide AS SELECT n, repeat(gen.noise(n, 1000), n * 5) AS text, decode(repeat('00ff5c0a', n * 200000), 'hex') AS bytes FROM generate_series(0, 3) AS n;
