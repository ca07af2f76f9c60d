#!/bin/sh
# Compiles the interceptor into the libckpt-intercept.so that is checked in: build-intercept.sh [DIRECTORY].
# Nothing here runs on the user's machine. It is linked against an empty C library, so that no symbol has a version and it loads beside any; what compiled
# it goes into intercept.compiler: only the same compiler is expected to give the same bytes.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
output=${1:-$here}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$here"
flags="-std=gnu11 -O2 -fPIC -fvisibility=hidden -fno-stack-protector -fno-builtin -fcf-protection=none -fno-asynchronous-unwind-tables -fno-ident -fno-plt -U_FORTIFY_SOURCE"
echo >"$work/empty.c"
gcc -shared -nostdlib -Wl,-soname,libc.so.6 -Wl,--build-id=none -o "$work/libc.so.6" "$work/empty.c"
# shellcheck disable=SC2086
gcc $flags -Wall -Wextra -Werror -Wmissing-prototypes -Wno-address -Wno-nonnull-compare -shared -nostdlib -Wl,--build-id=none -Wl,-z,noexecstack -Wl,-z,relro \
	-Wl,--hash-style=gnu -Wl,-soname,libckpt-intercept.so -Wl,--no-as-needed -s -o "$output/libckpt-intercept.so" \
	sys.c hooks.c flush.c objects.c talk.c thread.c wrap.c "$work/libc.so.6"
{ gcc --version | head -n 1; ld --version | head -n 1; } >"$output/intercept.compiler"
