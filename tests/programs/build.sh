#!/bin/sh
# Compiles the state programs that changed: build.sh OUTPUT-DIRECTORY [NAME...]
# A source may ask for flags of its own in a comment line " * Build: FLAGS".
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?usage: build.sh OUTPUT-DIRECTORY [NAME...]}
shift
mkdir -p "$out"
[ $# -gt 0 ] || set -- $(cd "$here" && ls *.c | sed 's/\.c$//')
failed=0
for name; do
	source=$here/$name.c
	target=$out/$name
	if [ "$target" -nt "$source" ] && [ "$target" -nt "$here/state.h" ] && [ "$target" -nt "$here/loopback.h" ] && [ "$target" -nt "$here/../../ckpt-kmod/intercept/holdfast.h" ] && [ "$target" -nt "$here/build.sh" ]; then
		continue
	fi
	flags=$(sed -n 's/^ \* Build: //p' "$source")
	# Beside, then renamed: a program that runs keeps its file, and half a file is never taken for a program.
	if gcc -O2 -g -std=gnu11 -Wall -Wextra -Wno-unused-result -Wno-sign-compare \
		-Wno-format-truncation -Wno-cast-function-type -pthread \
		-o "$target.new.$$" "$source" $flags -lrt; then
		mv "$target.new.$$" "$target"
	else
		failed=1
	fi
done
exit $failed
