#!/bin/bash
# criu.sh PROGRAMS: runs every state program under CRIU: dump, which ends it, and restore; a line PROGRAM|CASE|OUTCOME for each.
# PROGRAMS is where ../build.sh has put them. As root, where "criu check" is content: on Debian 12's kernel, such as by tests/vm/run.
here=$(cd "$(dirname "$0")/.." && pwd)
programs=${1:?usage: criu.sh PROGRAMS}
options="--tcp-established --ext-unix-sk --file-locks --link-remap --evasive-devices --manage-cgroups=ignore -v1"
for source in "$here"/*.c; do
	program=$(basename "$source" .c)
	grep -q '^ \* Suite: ' "$source" && continue
	cases=$(sed -n 's/^ \* Cases: //p' "$source")
	for case in ${cases:-""}; do
		work=$(mktemp -d) && mkdir "$work/images"
		STATE_SECONDS=10 STATE_BOUND=100 setsid "$programs/$program" "$work" $case </dev/null >/dev/null 2>&1 &
		for _ in $(seq 200); do [ -e "$work/ready" ] || [ -e "$work/result" ] && break; sleep 0.05; done
		if [ -e "$work/result" ]; then
			outcome="skip $(head -c 80 "$work/result")"
		elif ! timeout 60 criu dump -t "$(pgrep -f "$program $work" | head -1)" -D "$work/images" -o dump.log $options >/dev/null 2>&1; then
			outcome="nodump $(grep -m1 Error "$work/images/dump.log" | cut -c1-110)"
		elif ! timeout 60 criu restore -D "$work/images" -o restore.log -d $options >/dev/null 2>&1; then
			outcome="norestore $(grep -m1 Error "$work/images/restore.log" | cut -c1-110)"
		else
			touch "$work/go"
			for _ in $(seq 300); do [ -e "$work/result" ] && break; sleep 0.05; done
			outcome=$(head -c 80 "$work/result" 2>/dev/null || echo hang)
		fi
		echo "$program|$case|$outcome"
		pkill -9 -f "$program $work"
		rm -rf "$work"
	done
done
