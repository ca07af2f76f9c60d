#!/bin/bash
# fio.sh WORK: fio writes a file through a ring of io_uring, in batches with pauses between, reads it back through the ring and compares. `count` is how much of the
# file is there; it goes on to the end when it is told to. Whether every block is what was written fio says itself.
set -u
cd "$1" || exit 1
say() { echo "$1" >result.part; mv result.part result; }
[ -p fifo ] || mkfifo fifo
fio --name=ring --ioengine=io_uring --filename="$1/data" --size=40M --bs=4k --rw=write --iodepth=16 --iodepth_batch=16 --iodepth_batch_complete_min=16 --fallocate=none \
	--thinktime=150ms --thinktime_blocks=32 --verify=crc32c --verify_fatal=1 --output=report --eta=never </dev/null >said 2>&1 &
fio=$!
count() { stat -c %b data 2>/dev/null | awk '{ print int($1 / 256) }' >count.part; mv count.part count; }
count
until [ "$(cat count)" ] && [ "$(cat count)" -gt 0 ]; do
	kill -0 $fio || { say "FAIL: $(tail -3 said report | tr '\n' '|')"; exit 1; }
	read -rt 0.05 <>fifo
	count
done
: >ready
while kill -0 $fio 2>/dev/null; do
	count
	read -rt 0.05 <>fifo
done
wait $fio
status=$?
if [ $status -ne 0 ] || ! grep -q 'err= 0' report || grep -qi 'verify:' said; then
	say "FAIL: status $status: $(tail -3 said report | tr '\n' '|')"
	exit 1
fi
say PASS
