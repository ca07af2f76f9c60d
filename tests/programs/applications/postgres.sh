#!/bin/bash
# postgres.sh WORK PROGRAMS: PostgreSQL's server (its programs are in PROGRAMS) and clients that work in it, as one application of a user who is not root. It checks
# itself when it is told to go: a client that met an error ends otherwise than with 0. `count` is how much the clients have done.
set -eu
cd "$1"
mkfifo fifo
export PATH="$2:$PATH" PGHOST="$1" PGDATABASE=postgres PGUSER=nobody HOME="$1"
say() { echo "$1" >result.part; mv result.part result; }
trap 'say "FAIL: line $LINENO: $(tail -n 5 log clients 2>/dev/null | tr "\n" "|")"' ERR
initdb -D data -A trust -U nobody --no-sync >setup 2>&1
printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$1'" 'checkpoint_timeout = 30s' 'max_wal_size = 64MB' >>data/postgresql.conf
postgres -D data </dev/null >log 2>&1 &
server=$!
while ! pg_isready -q; do kill -0 $server; read -rt 0.05 <>fifo || :; done
psql -qc 'create extension amcheck' >>setup 2>&1
pgbench -q -i -s 2 >>setup 2>&1
pgbench -n -c 4 -j 2 -T 100000 -P 1 </dev/null >clients 2>&1 &
clients=$!
while ! grep -q ^progress clients; do kill -0 $clients; read -rt 0.05 <>fifo || :; done
count() { psql -Atc 'select count(*) from pgbench_history' >count.part; mv count.part count; }
count
: >ready
while [ ! -e go ]; do
    kill -0 $server; kill -0 $clients
    count
    read -rt 0.05 <>fifo || :
done
# pgbench ends by SIGINT only where that is not ignored, as in the background; its connections end with it.
kill -TERM $clients; wait $clients || :
if grep -E 'error|ERROR|FATAL|aborted|lost' clients >&2; then false; fi
if grep -E 'PANIC|crash|terminated by signal|corrupt|invalid|not properly shut down' log >&2; then false; fi
sums=$(psql -Atc 'select (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history)
    and (select sum(tbalance) from pgbench_tellers) = (select sum(delta) from pgbench_history)
    and (select sum(bbalance) from pgbench_branches) = (select sum(delta) from pgbench_history)')
[ "$sums" = t ]
psql -Atqc "select bt_index_check(c.oid, true) from pg_index i join pg_class c on c.oid = i.indexrelid join pg_am a on a.oid = c.relam
    where a.amname = 'btree' and c.relpersistence = 'p'" >checked
[ "$(wc -l <checked)" -gt 50 ]
kill -INT $server; wait $server
grep -q 'database system is shut down' log
say PASS
