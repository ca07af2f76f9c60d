#!/bin/sh
# Compiles init.c, enter.c, keep.c, typed.c and requests.c into the flat binaries that are checked in beside them: build-init.sh [DIRECTORY].
# Nothing here runs on the user's machine. What compiled them goes into init.compiler: only the same compiler is expected to
# give the same bytes.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
output=${1:-$here}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$here"
for program in init enter keep typed requests; do
	gcc -std=gnu11 -Os -static -nostdlib -nostartfiles -ffreestanding -fpie -fno-plt -fvisibility=hidden \
		-fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables -fno-unwind-tables -fno-ident \
		-fno-tree-loop-distribute-patterns -fno-jump-tables -mgeneral-regs-only -Wall -Wextra -Werror \
		-c $program.c -o "$work/$program.o"
	ld -static -nostdlib --no-relax --build-id=none -z noexecstack -T init.ld -o "$work/$program.elf" "$work/$program.o"
	objcopy -O binary -j .text "$work/$program.elf" "$output/$program.bin"
done
{ gcc --version | head -n 1; ld --version | head -n 1; } >"$output/init.compiler"
