-- The six logins, the database and the extension that Ambit needs; run with psql as a superuser, as often as wanted.
--
--   psql -d postgres -v password_ambit_owner=… -v password_ambit_app=… \
--        -v password_ambit_operator=… -v password_ambit_dispatch=… \
--        -v password_ambit_sequencer=… -v password_ambit_scrubber=… -f deploy/postgres/roles.sql
--
-- A password that is not given is left as it is. `-v database=NAME` names another database than `ambit`.
-- What each login may do with which table is granted by the migrations (tenants/rls.py).
\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = warning;
\if :{?database}
\else
  \set database ambit
\endif

-- None of the six may see past row-level security, make roles or make databases.
SELECT format('CREATE ROLE %I LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB NOREPLICATION', wanted)
FROM unnest(ARRAY['ambit_owner', 'ambit_app', 'ambit_operator', 'ambit_dispatch', 'ambit_sequencer', 'ambit_scrubber']) AS wanted
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted)
\gexec

SELECT format('ALTER ROLE %I LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB NOREPLICATION', rolname)
FROM pg_roles
WHERE rolname IN ('ambit_owner', 'ambit_app', 'ambit_operator', 'ambit_dispatch', 'ambit_sequencer', 'ambit_scrubber')
  AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication OR NOT rolcanlogin)
\gexec

\if :{?password_ambit_owner}
  ALTER ROLE ambit_owner PASSWORD :'password_ambit_owner';
\endif
\if :{?password_ambit_app}
  ALTER ROLE ambit_app PASSWORD :'password_ambit_app';
\endif
\if :{?password_ambit_operator}
  ALTER ROLE ambit_operator PASSWORD :'password_ambit_operator';
\endif
\if :{?password_ambit_dispatch}
  ALTER ROLE ambit_dispatch PASSWORD :'password_ambit_dispatch';
\endif
\if :{?password_ambit_sequencer}
  ALTER ROLE ambit_sequencer PASSWORD :'password_ambit_sequencer';
\endif
\if :{?password_ambit_scrubber}
  ALTER ROLE ambit_scrubber PASSWORD :'password_ambit_scrubber';
\endif

-- An administrator who is no superuser, as managed services have, must be able to give the database away.
SELECT 'GRANT ambit_owner TO CURRENT_USER WITH SET TRUE, INHERIT TRUE'
WHERE NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
\gexec

SELECT format(
    'CREATE DATABASE %I OWNER ambit_owner TEMPLATE template0 ENCODING ''UTF8'' LOCALE_PROVIDER builtin BUILTIN_LOCALE ''C.UTF-8''',
    :'database')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database')
\gexec

REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO ambit_owner, ambit_app, ambit_operator, ambit_dispatch, ambit_sequencer, ambit_scrubber;

\connect :"database"
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS vector;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO ambit_owner, ambit_app, ambit_operator, ambit_dispatch, ambit_sequencer, ambit_scrubber;
GRANT CREATE ON SCHEMA public TO ambit_owner;
-- What a scrub needs beside the rewriting of tables, which the migrations grant: it reads none of them.
GRANT pg_checkpoint TO ambit_scrubber;
GRANT EXECUTE ON FUNCTION pg_switch_wal() TO ambit_scrubber;
GRANT EXECUTE ON FUNCTION pg_ls_waldir() TO ambit_scrubber;
