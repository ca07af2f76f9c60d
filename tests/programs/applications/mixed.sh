#!/bin/bash
# Dynamic programs beside static ones, in one application: what bash.sh and busybox.sh do, in directories of their own.
work=$1
here=$(dirname "$0")
mkdir "$work/dynamic" "$work/static" || exit 1
"$here/bash.sh" "$work/dynamic" &
"$here/busybox.sh" "$work/static" &
until [ -e "$work/dynamic/ready" ] && [ -e "$work/static/ready" ]; do
	sleep 0.05
done
: >"$work/ready"
until [ -e "$work/go" ]; do
	sleep 0.05
done
: >"$work/dynamic/go"
: >"$work/static/go"
wait
[ "$(cat "$work/dynamic/result" "$work/static/result")" = "PASS
PASS" ] && echo PASS >"$work/result" || echo FAIL: one of them did not pass >"$work/result"
