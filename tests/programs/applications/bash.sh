#!/bin/bash
# Background jobs and pipes: a generator feeds a filter feeds a writer, beside a job that counts on its
# own with external commands, beside the shell that waits for both. Line i of each file: "i i*i+7*i+1".
work=$1
# Never over existing output: an application that is started anew instead of restored must fail.
set -C

generate() {
	local i=0
	while [ ! -e "$work/go" ]; do
		echo "$i"
		i=$((i + 1))
		read -r -t 0.005 <>/dev/null || sleep 0.005
	done
}

write() {
	local i
	exec 5>"$work/out-pipe"
	while read -r i; do
		echo "$i $((i * i + 7 * i + 1))" >&5
		[ "$i" -ne 20 ] || : >"$work/.ready-pipe"
	done
	echo end >&5
}

generate | sed -u 's/^/item /' | sed -u 's/item //' | write &
pipeline=$!

(
	exec 6>"$work/out-job"
	i=0
	while [ ! -e "$work/go" ]; do
		echo "$i $(expr $i '*' $i + 7 '*' $i + 1)" >&6
		i=$((i + 1))
		[ $i -ne 5 ] || : >"$work/.ready-job"
		sleep 0.01
	done
	echo end >&6
) &
job=$!

until [ -e "$work/.ready-pipe" ] && [ -e "$work/.ready-job" ]; do
	sleep 0.02
done
: >"$work/ready"
wait $pipeline && wait $job && echo PASS >"$work/result"
