-- Evidence for auditors. It shows what the audit chain and the manifests hold, and the signing key signs it.

CREATE FUNCTION walwarden._evidence_bundle(job uuid) RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', '_evidence_bundle_wrapper';
COMMENT ON FUNCTION walwarden._evidence_bundle(uuid) IS 'the text behind evidence_bundle()';

CREATE FUNCTION walwarden.evidence_bundle(job uuid) RETURNS jsonb
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$ SELECT walwarden._evidence_bundle(job)::jsonb $$;
COMMENT ON FUNCTION walwarden.evidence_bundle(uuid) IS
    'what proves a job: the exact text of its manifests with their signatures, the keys, its audit entries with proofs, and the checkpoint that covers them';

CREATE FUNCTION walwarden.export_evidence(job uuid, storage text DEFAULT NULL) RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'export_evidence_of_job_wrapper';
COMMENT ON FUNCTION walwarden.export_evidence(uuid, text) IS
    'put an evidence bundle of a job into a storage, by default one that has its backup, and return the key of the object';

-- Without a default: two untyped arguments are a job and a storage.
CREATE FUNCTION walwarden.export_evidence("from" timestamptz, "to" timestamptz, storage text) RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'export_evidence_of_time_wrapper';
COMMENT ON FUNCTION walwarden.export_evidence(timestamptz, timestamptz, text) IS
    'put an evidence bundle of all audit entries and completed backups of a time into a storage, and return the key of the object';
