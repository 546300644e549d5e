-- The signing keys that this database has met, and what people see of them.

CREATE TABLE walwarden.key (
    number      bigint GENERATED ALWAYS AS IDENTITY,
    id          text PRIMARY KEY CHECK (id ~ '^[0-9a-f]{16}$'),
    public_key  text NOT NULL,
    origin      text NOT NULL CHECK (origin IN ('created', 'rotated', 'replaced')),
    source      text CHECK (source IN ('file', 'external')),
    valid_from  timestamptz NOT NULL,
    valid_until timestamptz,
    previous    text REFERENCES walwarden.key (id),
    statement   text,
    signature   bytea CHECK (pg_catalog.length(signature) = 64),
    CHECK ((origin = 'created') = (previous IS NULL)),
    CHECK ((origin = 'rotated') = (statement IS NOT NULL)),
    CHECK ((statement IS NULL) = (signature IS NULL))
);
COMMENT ON TABLE walwarden.key IS 'the signing keys that this database has met; their secrets are elsewhere';
COMMENT ON COLUMN walwarden.key.source IS 'where the secret is or was; NULL of a key that signed only in other databases of the cluster';
COMMENT ON COLUMN walwarden.key.statement IS 'by which the previous key handed over';
COMMENT ON COLUMN walwarden.key.signature IS 'of the statement, by the previous key';
CREATE UNIQUE INDEX key_current ON walwarden.key ((true)) WHERE valid_until IS NULL;

-- A key is retired once; nothing else of it ever changes.
CREATE FUNCTION walwarden._key_guard() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF OLD.valid_until IS NOT NULL OR NEW.valid_until IS NULL
       OR (pg_catalog.to_jsonb(NEW) - 'valid_until') <> (pg_catalog.to_jsonb(OLD) - 'valid_until') THEN
        RAISE EXCEPTION 'what a signing key was cannot be changed' USING ERRCODE = '55000';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER key_guard BEFORE UPDATE ON walwarden.key
    FOR EACH ROW EXECUTE FUNCTION walwarden._key_guard();
CREATE TRIGGER key_no_delete BEFORE DELETE ON walwarden.key
    FOR EACH ROW EXECUTE FUNCTION walwarden._refuse_change();
CREATE TRIGGER key_no_truncate BEFORE TRUNCATE ON walwarden.key
    FOR EACH STATEMENT EXECUTE FUNCTION walwarden._refuse_change();

-- Deferred, as the entries of jobs are: the lock on the head of the chain is held for the commit only.
CREATE FUNCTION walwarden._audit_key() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM walwarden._append_audit('key.' || NEW.origin, NULL, pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
        'key_id', NEW.id, 'public_key', NEW.public_key, 'source', NEW.source, 'previous', NEW.previous,
        'statement', NEW.statement,
        'signature', pg_catalog.translate(pg_catalog.encode(NEW.signature, 'base64'), E'\n', '')))::text);
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER key_audit AFTER INSERT ON walwarden.key
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION walwarden._audit_key();
ALTER TABLE walwarden.key ENABLE ALWAYS TRIGGER key_guard;
ALTER TABLE walwarden.key ENABLE ALWAYS TRIGGER key_no_delete;
ALTER TABLE walwarden.key ENABLE ALWAYS TRIGGER key_no_truncate;
ALTER TABLE walwarden.key ENABLE ALWAYS TRIGGER key_audit;

CREATE FUNCTION walwarden.rotate_key(lost boolean DEFAULT false) RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'rotate_key_wrapper';
COMMENT ON FUNCTION walwarden.rotate_key(boolean) IS
    'put a new signing key in the place of the old one, which signs that and is erased, and return its id; lost says that the old one cannot sign any more';

CREATE VIEW walwarden.keys AS
SELECT k.id, CASE WHEN k.valid_until IS NULL THEN 'current' ELSE 'retired' END AS state, k.origin, k.source,
       k.valid_from, k.valid_until, k.previous, CASE WHEN k.statement IS NOT NULL THEN k.previous END AS signed_by,
       (SELECT pg_catalog.count(DISTINCT m.job_id) FROM walwarden.manifest AS m WHERE m.key_id OPERATOR(pg_catalog.=) k.id) AS backups,
       k.public_key, k.statement, pg_catalog.encode(k.signature, 'hex') AS signature
  FROM walwarden.key AS k
 ORDER BY k.number DESC;
COMMENT ON VIEW walwarden.keys IS 'the signing keys of this database, newest first; keep their public keys elsewhere';
COMMENT ON COLUMN walwarden.keys.origin IS
    'created: the first one; rotated: the key before signed for it; replaced: it took the place of the key before, and nothing shows that whoever had that one wanted it';
COMMENT ON COLUMN walwarden.keys.source IS 'where the secret is or was: file or external; NULL of a key that signed only in other databases';
COMMENT ON COLUMN walwarden.keys.valid_from IS 'since when it signs; of the first one, since when this database knows';
COMMENT ON COLUMN walwarden.keys.signed_by IS 'the key that signed the statement for it';
COMMENT ON COLUMN walwarden.keys.backups IS 'backups of this database whose manifests it has signed, deleted ones too';
