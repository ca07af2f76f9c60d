#!/bin/bash
# Runs every state program without any checkpoint: ready, go, PASS. plain.sh PROGRAM-DIRECTORY [NAME...]
# Without a name, all of them, four at a time: most of them wait for most of the time.
# Namespaces of its own for each, so that whatever it starts and makes ends with it.
here=$(cd "$(dirname "$0")" && pwd)
programs=${1:?usage: plain.sh PROGRAM-DIRECTORY [NAME...]}
shift
if [ $# -eq 0 ]; then
	cd "$here" && ls *.c | sed 's/\.c$//' | xargs -P 4 -n 1 "$here/plain.sh" "$programs" | grep -v '^0 failed$'
	exit "${PIPESTATUS[2]}"
fi
failed=0
for name; do
	cases=$(sed -n 's/^ \* Cases: //p' "$here/$name.c")
	for case in ${cases:--}; do
		[ "$case" = - ] && case=
		work=$(mktemp -d /tmp/plain.XXXXXX)
		chmod 755 "$work"
		unshare -p -i -f --kill-child --mount-proc sh -c '"$@" </dev/null; exit $?' sh "$programs/$name" "$work" $case >"$work/output" 2>&1 &
		job=$!
		for ((i = 0; i < 6000; i++)); do
			[ -e "$work/ready" ] || [ -e "$work/result" ] && break
			kill -0 $job 2>/dev/null || break
			sleep 0.01
		done
		touch "$work/go"
		for ((i = 0; i < 6000; i++)); do
			kill -0 $job 2>/dev/null || break
			sleep 0.01
		done
		kill -9 $job 2>/dev/null
		wait $job 2>/dev/null
		status=$?
		result=$(head -1 "$work/result" 2>/dev/null || echo "FAIL: no result")
		case $result/$status in
		PASS/0) ;;
		SKIP*/0) echo "$name $case: $result" ;;
		*)
			failed=$((failed + 1))
			echo "$name $case: $result (status $status)"
			head -3 "$work/output"
			;;
		esac
		rm -rf "$work"
	done
done
echo "$failed failed"
[ $failed -eq 0 ]
