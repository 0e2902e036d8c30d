#!/bin/bash
# As the image does it: a new directory is made with the variables' user, password and
# database, under a server that answers on its socket alone; then the one for everybody.
set -eu
if [ "$(id -u)" = 0 ]; then
	chown postgres: "$PGDATA" && chmod 0700 "$PGDATA"
	exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
	# shellcheck disable=SC2086 # the variable has several
	initdb -D "$PGDATA" --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") $POSTGRES_INITDB_ARGS
	echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
	pg_ctl -D "$PGDATA" -o "-c listen_addresses=''" -w start
	sleep "${POSTGRES_INIT_PAUSE:-0}" # what an office's own scripts may take here
	createdb -U "$POSTGRES_USER" "$POSTGRES_DB"
	pg_ctl -D "$PGDATA" -m fast -w stop
fi
exec postgres -c listen_addresses='*'
