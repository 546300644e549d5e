#!/usr/bin/env bash
# Run by the official image when it has made a data directory: creates the extension in POSTGRES_DB, if asked to.
#
#   WALWARDEN_CREATE_EXTENSION=yes
set -euo pipefail
case ${WALWARDEN_CREATE_EXTENSION:-no} in
yes) ;;
no) exit 0 ;;
*)
    echo "WALWARDEN_CREATE_EXTENSION is \"$WALWARDEN_CREATE_EXTENSION\": yes or no" >&2
    exit 1
    ;;
esac

# pg_dump connects as the role with the name of the operating-system user, postgres, unless it is told another one.
psql --no-psqlrc --no-password --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" <<'SQL'
CREATE EXTENSION walwarden;
SELECT pg_catalog.format('ALTER SYSTEM SET walwarden.conninfo = %L',
                         'user=''' || pg_catalog.replace(pg_catalog.replace(CURRENT_USER, '\', '\\'), '''', '\''') || '''')
 WHERE CURRENT_USER <> 'postgres' \gexec
SQL
