#!/bin/sh
# Builds the real applications that need it: build.sh OUTPUT-DIRECTORY. Languages that are not installed are
# left out with a line that says so; the test of that application then says the same.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?usage: build.sh OUTPUT-DIRECTORY}
mkdir -p "$out"
newer() {
	[ -e "$out/$1" ] && [ "$out/$1" -nt "$here/$2" ]
}
newer openmp openmp.c || gcc -O2 -std=gnu11 -Wall -Wextra -Werror -fopenmp -pthread -o "$out/openmp" "$here/openmp.c"
newer threads threads.c || gcc -O2 -std=gnu11 -pthread -o "$out/threads" "$here/threads.c"
for name in goroutines pipeline server-go; do
	if newer $name $name.go; then
		:
	elif command -v go >/dev/null; then
		GOCACHE="$out/.go" GO111MODULE=off CGO_ENABLED=0 go build -o "$out/$name" "$here/$name.go"
	else
		echo "no go: $name left out"
	fi
done
PATH=$PATH:${HOME:-/root}/.cargo/bin
if newer channels channels.rs; then
	:
elif command -v rustc >/dev/null; then
	rustc --edition 2021 -O -o "$out/channels" "$here/channels.rs"
else
	echo "no rustc: channels left out"
fi
if newer Server.class Server.java; then
	:
elif command -v javac >/dev/null; then
	javac -d "$out" "$here/Server.java"
else
	echo "no javac: Server left out"
fi
if ! { newer dotnet-server/Server.dll dotnet-server/Program.cs && newer dotnet-server/Server.dll dotnet-server/Server.csproj; }; then
	dotnet build "$here/dotnet-server/Server.csproj" -c Release -v quiet -nologo -clp:NoSummary -o "$out/dotnet-server" \
		-p:BaseIntermediateOutputPath="$out/.dotnet-server/"
fi
for script in bash.sh mixed.sh postgres.sh python.py perl.pl busybox.sh nginx.py tmux.py typed_ahead.py serving.py servers.py server.js server_asyncio.py server_prefork.py sqlite.py counting.py busy.py; do
	cp -p "$here/$script" "$out/$script"
done
