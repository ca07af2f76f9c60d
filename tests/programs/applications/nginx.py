#!/usr/bin/python3
"""An nginx with two workers, a client that keeps one connection and one that makes a new one for each request: both write line i of
their files, "i i*i+7*i+1", with i as the server has sent it back. `quiet` ends the clients; `reload` then makes the master read its
configuration again (SIGHUP); `go` ends it all (SIGQUIT)."""
import http.client
import os
import shutil
import signal
import subprocess
import sys
import time

from serving import Clients, free_port, listening, wait_for

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


def ask(connection, i):
    connection.request("GET", "/number?i=%d" % i)
    answer = connection.getresponse()
    number, requests = answer.read().decode().split()
    if answer.status != 200 or int(number) != i:
        raise RuntimeError("status %d, %s for %d" % (answer.status, number, i))
    connection.request("GET", "/content")
    if connection.getresponse().read() != CONTENT:
        raise RuntimeError("the file is another one")
    return int(number), int(requests)


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

    def kept():
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.connect()
        only = connection.sock
        i = 0
        while clients.going():
            number, requests = ask(connection, i)
            # The server has counted every request on this very connection.
            if connection.sock is not only or requests != 2 * i + 1:
                raise RuntimeError("another connection: request %d is number %d" % (i, requests))
            yield number
            i += 1
            time.sleep(0.002)

    def renewed():
        i = 0
        while clients.going():
            connection = http.client.HTTPConnection("127.0.0.1", port)
            yield ask(connection, i)[0]
            connection.close()
            i += 1
            time.sleep(0.01)

    wait_for(lambda: (listening(port) and len(workers()) == 2) or server.poll() is not None, "the server")
    clients = Clients(work, [("out-kept", kept), ("out-new", renewed)])
    clients.start()
    with open(work + "/port", "w") as file:
        file.write(str(port))
    open(work + "/ready", "w").close()
    clients.join()
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
