"""What the drivers of servers share: waiting, ports, clients that write foretold lines ("i i*i+7*i+1" with i as the server has said)."""
import os
import random
import socket
import threading
import time


def wait_for(condition, what="something"):
    limit = time.monotonic() + 600
    while not condition():
        if time.monotonic() > limit:
            raise RuntimeError("waited in vain for " + what)
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


def listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def lines(path):
    if not os.path.exists(path):
        return 0
    with open(path) as file:
        return file.read().count("\n")


class Clients:
    """Threads, each with a file that it writes: `bodies` are (name of the file, generator of the numbers)."""

    def __init__(self, work, bodies):
        self.work, self.failure = work, None
        self.names = [name for name, _ in bodies]
        self.threads = [threading.Thread(target=self.write, args=body) for body in bodies]

    def start(self):
        for thread in self.threads:
            thread.start()
        wait_for(lambda: self.failure or all(lines(self.work + "/" + name) > 5 for name in self.names), "the clients")

    def going(self):
        return not os.path.exists(self.work + "/quiet")

    def write(self, name, numbers):
        try:
            with open(self.work + "/" + name, "x", buffering=1) as out:
                for i in numbers():
                    out.write("%d %d\n" % (i, i * i + 7 * i + 1))
                out.write("end\n")
        except Exception as failure:
            self.failure = "%s: %r" % (name, failure)

    def join(self):
        for thread in self.threads:
            thread.join()
