#!/bin/sh
# Compiles init.c into the flat binary that is checked in as init.bin: build-init.sh [OUTPUT].
# Nothing here runs on the user's machine. What compiled it goes into OUTPUT with .compiler for .bin: only the same
# compiler is expected to give the same bytes.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
output=${1:-$here/init.bin}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$here"
gcc -std=gnu11 -Os -static -nostdlib -nostartfiles -ffreestanding -fpie -fno-plt -fvisibility=hidden \
	-fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables -fno-unwind-tables -fno-ident \
	-fno-tree-loop-distribute-patterns -fno-jump-tables -mgeneral-regs-only -Wall -Wextra -Werror \
	-c init.c -o "$work/init.o"
ld -static -nostdlib --no-relax --build-id=none -z noexecstack -T init.ld -o "$work/init.elf" "$work/init.o"
objcopy -O binary -j .text "$work/init.elf" "$output"
{ gcc --version | head -n 1; ld --version | head -n 1; } >"${output%.bin}.compiler"
