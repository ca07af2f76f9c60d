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
	dotnet publish "$here/Runtime/Runtime.csproj" -c Release -r "$rid" --self-contained false --artifacts-path "$build/artifacts" \
		-o "$version" -v quiet -nologo -p:DebugType=portable -p:GenerateDocumentationFile=false "$@" >"$log" 2>&1
}

# What changes while it is built counts as changed afterwards.
touch "$build/stamp.new"
[ -t 2 ] && echo "holdfast: building ..." >&2
# Compiled ahead it starts twice as fast; where that compiler cannot be had, it still works.
publish -p:PublishReadyToRun=true || publish || {
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
