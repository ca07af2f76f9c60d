#!/bin/sh
# Builds the program for ./holdfast into .build/app of the directory $1. Called under a lock, so never twice at once.
here=$1
build=$here/.build
log=$build/build.log
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_SKIP_FIRST_TIME_EXPERIENCE=1

command -v dotnet >/dev/null || {
	echo "holdfast: the .NET SDK is missing: no 'dotnet' in PATH; install .NET 10" >&2
	exit 1
}

case $(uname -m) in
aarch64) rid=linux-arm64 ;;
*) rid=linux-x64 ;;
esac

# A version of its own for each build: supervisors that run keep the files that they were started from.
version=$build/app.$(date +%s%N)
publish() {
	dotnet publish "$here/Runtime/Runtime.csproj" -c Release -r "$rid" --artifacts-path "$build/artifacts" \
		-o "$version" -v quiet -nologo -p:DebugType=portable -p:GenerateDocumentationFile=false -p:RunAnalyzers=false "$@" >"$log" 2>&1
}

# What changes while it is built counts as changed afterwards.
touch "$build/stamp.new"
[ -t 2 ] && echo "holdfast: building ..." >&2
# As machine code it starts in five milliseconds and compiles nothing while it runs; that takes a C compiler, to link it. Where there is none, or the package of
# that compiler cannot be had, it is compiled ahead in part, as with HOLDFAST_NATIVE=no, which halves the time of a build; where neither can be had, it still works.
native() {
	rm -f "$build/native.log"
	[ "${HOLDFAST_NATIVE:-}" != no ] || return 1
	command -v gcc >/dev/null || command -v clang >/dev/null || {
		[ ! -t 2 ] || echo "holdfast: without a C compiler (gcc) it will start more slowly" >&2
		return 1
	}
	publish -p:PublishAot=true || { mv "$log" "$build/native.log" && rm -rf "$version" && return 1; }
}
native || publish --self-contained false -p:PublishReadyToRun=true || publish --self-contained false || {
	rm -rf "$version"
	echo "holdfast: the build failed:" >&2
	grep -E "error|warn" "$log" | sort -u | head -20 >&2
	exit 1
}
ln -sfn "$(basename "$version")" "$build/app.link" && mv -T "$build/app.link" "$build/app" && mv "$build/stamp.new" "$build/stamp" || exit 1

for old in "$build"/app.[0-9]*; do
	[ "$old" = "$version" ] && continue
	used=
	for exe in /proc/[0-9]*/exe; do
		case $(readlink "$exe" 2>/dev/null) in "$old"/*) used=1 ;; esac
	done
	[ -n "$used" ] || rm -rf "$old"
done
exit 0
