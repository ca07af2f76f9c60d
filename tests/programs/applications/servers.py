#!/usr/bin/python3
"""servers.py KIND WORK [PROGRAM]: a server of one kind with clients inside: three keep a connection, one makes a new one for each
request. A server counts in its memory, for each key, how often it was asked; a client writes what it is told: line i of its file is
"i i*i+7*i+1". `quiet` ends the clients, `go` the server."""
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

from serving import Clients, free_port, listening, wait_for

CONTENT = bytes(i * i % 251 for i in range(20000))
HERE = os.path.dirname(os.path.realpath(__file__))


class Http:
    """A connection to a server that answers /next?key=K with the count of K, and /content with CONTENT."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port)
        self.connection.connect()
        self.socket = self.connection.sock

    def get(self, path):
        self.connection.request("GET", path)
        answer = self.connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError("%s: status %d, %r" % (path, answer.status, body[:200]))
        return body

    def next(self, key):
        number = int(self.get("/next?key=" + key))
        if number % 5 == 0 and self.get("/content") != CONTENT:
            raise RuntimeError("the content is another one")
        if self.connection.sock is not self.socket:
            raise RuntimeError("another connection")
        return number

    def close(self):
        self.connection.close()


class Redis:
    """A connection to redis, which counts and keeps a list of all counts."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.file = self.socket.makefile("rb")

    def ask(self, *words):
        words = [str(word).encode() for word in words]
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
        return self.answer()

    def answer(self):
        line = self.file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b":":
            return int(rest)
        if kind == b"+":
            return rest
        if kind == b"$":
            return self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.answer() for _ in range(int(rest))]
        raise RuntimeError("redis says %r" % line)

    def next(self, key):
        number = self.ask("INCR", key) - 1
        if self.ask("RPUSH", "all-" + key, number) != number + 1:
            raise RuntimeError("the list of %s is not as long as its count" % key)
        self.ask("SET", "big-%s-%d" % (key, number % 50), "x" * 4000)
        return number

    def close(self):
        self.file.close()
        self.socket.close()


def redis(work, port, *more):
    return ["redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", work, "--save", "", "--daemonize", "no", *more]


KINDS = {
    "redis": (Redis, lambda work, port: redis(work, port)),
    "redis-aof": (Redis, lambda work, port: redis(work, port, "--io-threads", 3, "--io-threads-do-reads", "yes", "--appendonly", "yes", "--appendfsync", "everysec")),
    "node": (Http, lambda work, port: ["node", HERE + "/server.js", port]),
    "asyncio": (Http, lambda work, port: ["/usr/bin/python3", HERE + "/server_asyncio.py", port]),
    "prefork": (Http, lambda work, port: ["/usr/bin/python3", HERE + "/server_prefork.py", port]),
    "java": (Http, lambda work, port: ["java", "-XX:+UseG1GC", "-Xmx192m", "-cp", HERE, "Server", port]),
    "dotnet": (Http, lambda work, port: ["dotnet", HERE + "/dotnet-server/Server.dll", port]),
    "go": (Http, lambda work, port: [HERE + "/server-go", port]),
}


def main():
    kind, work = sys.argv[1:3]
    connect, command = KINDS[kind]
    port = free_port()
    with open(work + "/server.log", "w") as log:
        words = [str(word) for word in command(work, port)]
        words[0] = shutil.which(words[0]) or words[0]
        environment = {**os.environ, "DOTNET_gcServer": "1", "DOTNET_CLI_TELEMETRY_OPTOUT": "1", "TMPDIR": work}
        server = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=work, env=environment)
    wait_for(lambda: listening(port) or server.poll() is not None, "the server")

    def kept(key):
        def numbers():
            connection = connect(port)
            while clients.going():
                yield connection.next(key)
                time.sleep(0.004)
            connection.close()

        return numbers

    def renewed():
        while clients.going():
            connection = connect(port)
            yield connection.next("new")
            connection.close()
            time.sleep(0.01)

    keys = ["kept-%d" % i for i in range(3)]
    clients = Clients(work, [("out-" + key, kept(key)) for key in keys] + [("out-new", renewed)])
    clients.start()
    with open(work + "/port", "w") as file:
        file.write(str(port))
    open(work + "/ready", "w").close()
    clients.join()
    failure = clients.failure
    if not failure and connect is Redis:
        connection = Redis(port)
        for key in keys + ["new"]:
            count = int(connection.ask("GET", key))
            if connection.ask("LRANGE", "all-" + key, 0, -1) != [str(i).encode() for i in range(count)]:
                failure = "the list of %s is not 0 to %d" % (key, count)
    if not failure:
        wait_for(lambda: os.path.exists(work + "/go"), "go")
    server.send_signal(signal.SIGTERM)
    status = server.wait()
    if not failure and kind == "redis-aof":
        manifest = work + "/appendonlydir/appendonly.aof.manifest"
        checked = subprocess.run(["redis-check-aof", manifest], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if checked.returncode != 0:
            failure = "redis-check-aof: " + checked.stdout[-300:].replace("\n", "|")
    if not failure and status not in (0, 143, -signal.SIGTERM):
        with open(work + "/server.log") as log:
            failure = "status %d: %s" % (status, log.read()[-300:].replace("\n", "|"))
    with open(work + "/.result", "w") as result:
        result.write("FAIL: %s\n" % failure if failure else "PASS\n")
    os.rename(work + "/.result", work + "/result")


if __name__ == "__main__":
    main()
