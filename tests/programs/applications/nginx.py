#!/usr/bin/python3
"""An nginx with two workers, a client that keeps one connection and one that makes a new one for each request: both write line i of
their files, "i i*i+7*i+1", with i as the server has sent it back. `quiet` ends the clients; `reload` then makes the master read its
configuration again (SIGHUP); `go` ends it all (SIGQUIT)."""
import http.client
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

CONFIGURATION = """
daemon off;
user nobody nogroup;
worker_processes 2;
pid {work}/nginx.pid;
error_log {work}/error.log;
events {{ worker_connections 64; }}
http {{
	access_log {work}/access.log;
	client_body_temp_path {work}/body;
	proxy_temp_path {work}/proxy;
	fastcgi_temp_path {work}/fastcgi;
	uwsgi_temp_path {work}/uwsgi;
	scgi_temp_path {work}/scgi;
	keepalive_timeout 1h;
	keepalive_requests 100000000;
	server {{
		listen 127.0.0.1:{port};
		root {work}/files;
		location /number {{ return 200 "$arg_i $connection_requests"; }}
		location /generation {{ return 200 "{generation}"; }}
	}}
}}
"""
CONTENT = bytes(i * i % 251 for i in range(20000))


def wait_for(condition):
    limit = time.monotonic() + 600
    while not condition():
        if time.monotonic() > limit:
            raise RuntimeError("waited in vain")
        time.sleep(0.005)


def free_port():
    # Below those that the kernel gives to connections.
    while True:
        port = random.randrange(20000, 30000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


class Clients:
    def __init__(self, work, port):
        self.work, self.port, self.failure = work, port, None
        self.threads = [threading.Thread(target=self.guarded, args=(body,)) for body in (self.keep, self.renew)]

    def guarded(self, body):
        try:
            body()
        except Exception as failure:
            self.failure = "%s: %r" % (body.__name__, failure)

    def going(self):
        return not os.path.exists(self.work + "/quiet")

    def ask(self, connection, i):
        connection.request("GET", "/number?i=%d" % i)
        answer = connection.getresponse()
        number, requests = answer.read().decode().split()
        if answer.status != 200 or int(number) != i:
            raise RuntimeError("status %d, %s for %d" % (answer.status, number, i))
        connection.request("GET", "/content")
        if connection.getresponse().read() != CONTENT:
            raise RuntimeError("the file is another one")
        return int(number), int(requests)

    def write(self, name, numbers):
        with open(self.work + "/" + name, "x", buffering=1) as out:
            for i in numbers:
                out.write("%d %d\n" % (i, i * i + 7 * i + 1))
            out.write("end\n")

    def keep(self):
        def numbers():
            connection = http.client.HTTPConnection("127.0.0.1", self.port)
            connection.connect()
            only = connection.sock
            i = 0
            while self.going():
                number, requests = self.ask(connection, i)
                # The server has counted every request on this very connection.
                if connection.sock is not only or requests != 2 * i + 1:
                    raise RuntimeError("another connection: request %d is number %d" % (i, requests))
                yield number
                i += 1
                time.sleep(0.002)

        self.write("out-kept", numbers())

    def renew(self):
        def numbers():
            i = 0
            while self.going():
                connection = http.client.HTTPConnection("127.0.0.1", self.port)
                yield self.ask(connection, i)[0]
                connection.close()
                i += 1
                time.sleep(0.01)

        self.write("out-new", numbers())


def lines(path):
    return os.path.exists(path) and open(path).read().count("\n")


def main():
    work = sys.argv[1]
    program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    port = free_port()

    def configure(generation):
        with open(work + "/nginx.conf", "w") as file:
            file.write(CONFIGURATION.format(work=work, port=port, generation=generation))

    os.mkdir(work + "/files")
    with open(work + "/files/content", "wb") as file:
        file.write(CONTENT)
    configure("first")
    server = subprocess.Popen([program, "-c", work + "/nginx.conf", "-e", work + "/error.log"])

    def workers():
        with open("/proc/%d/task/%d/children" % (server.pid, server.pid)) as children:
            return set(children.read().split())

    def listening():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_for(lambda: (listening() and len(workers()) == 2) or server.poll() is not None)
    clients = Clients(work, port)
    for thread in clients.threads:
        thread.start()
    with open(work + "/port", "w") as file:
        file.write(str(port))
    wait_for(lambda: clients.failure or all(lines(work + "/" + name) > 5 for name in ("out-kept", "out-new")))
    open(work + "/ready", "w").close()
    for thread in clients.threads:
        thread.join()
    failure = clients.failure
    if not failure:
        first = workers()
        wait_for(lambda: os.path.exists(work + "/reload"))
        configure("second")
        server.send_signal(signal.SIGHUP)
        wait_for(lambda: len(workers()) == 2 and not workers() & first)
        open(work + "/reloaded", "w").close()
        wait_for(lambda: os.path.exists(work + "/go"))
    server.send_signal(signal.SIGQUIT)
    status = server.wait()
    with open(work + "/result", "w") as result:
        result.write("FAIL: %s\n" % failure if failure else "PASS\n" if status == 0 else "FAIL: status %d\n" % status)


if __name__ == "__main__":
    main()
