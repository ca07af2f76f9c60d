#!/bin/busybox sh
# A static binary that is all of its tools: a shell with a pipeline of applets. Line i of `out`: "i i*i+7*i+1".
work=$1
# Never over existing output: an application that is started anew instead of restored must fail.
set -C
exec 4>"$work/out"
(
	i=0
	while [ ! -e "$work/go" ]; do
		echo $i
		i=$((i + 1))
		busybox usleep 4000
	done
) | busybox awk '{ print $1, "x"; fflush() }' | while read -r i rest; do
	[ "$rest" = x ] || exit 1
	echo "$i $((i * i + 7 * i + 1))" >&4
	[ "$i" -ne 20 ] || : >"$work/ready"
done && echo end >&4 && echo PASS >"$work/result"
