-- Strings of a database in any encoding: the table characters (c text) says of what.

SET client_min_messages = warning;
CREATE TABLE strings (text text, varchar varchar, bpchar bpchar, char char(6), name name, texts text[], json json, jsonb jsonb, bytes bytea);
INSERT INTO strings
    SELECT s, s, s, left(s, 6), left(s, 15)::name, ARRAY[s, c, NULL, c || '"'], to_json(s), to_jsonb(s), decode(md5(s), 'hex')
    FROM characters, generate_series(0, 33) AS before,
        LATERAL (SELECT repeat('x', before) || c || repeat(c, before % 3) || E'\\' || c || E'\t' || c || repeat('y', before % 5) || c AS s) AS strings;
INSERT INTO strings (text) SELECT string_agg(c, E'\\') FROM characters, generate_series(1, 300);
DO $$
BEGIN
    EXECUTE (SELECT format('CREATE TYPE label AS ENUM (%s)', string_agg(quote_literal(c || E'\\'), ', ')) FROM (SELECT DISTINCT c FROM characters WHERE c <> '') AS labels);
END $$;
CREATE TABLE labels AS SELECT label, enum_range(NULL::label) AS labels FROM unnest(enum_range(NULL::label)) AS label;
-- A byte of a character of several bytes, too.
CREATE TABLE halves AS SELECT (code - 128)::"char" AS half FROM generate_series(0, 255) AS code;
