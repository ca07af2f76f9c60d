#!/usr/bin/python3
"""Worker processes and threads: a pool computes, one thread writes its results in order, another keeps
a tally that the main thread reads. Line i of `out`: "i i*i+7*i+1"."""
import multiprocessing
import os
import sys
import threading
import time


def value(i):
    time.sleep(0.001)
    return i, i * i + 7 * i + 1


def numbers(going):
    i = 0
    while going():
        yield i
        i += 1
        time.sleep(0.002)


def main():
    work = sys.argv[1]
    tally = {"lines": 0}
    lock = threading.Condition()

    def going():
        return not os.path.exists(work + "/go")

    def write(pool):
        with open(work + "/out", "x", buffering=1) as out:
            for i, v in pool.imap(value, numbers(going), chunksize=1):
                out.write("%d %d\n" % (i, v))
                with lock:
                    tally["lines"] += 1
                    lock.notify_all()
            out.write("end\n")

    def announce():
        with lock:
            lock.wait_for(lambda: tally["lines"] >= 20)
        with open(work + "/ready", "w"):
            pass

    with multiprocessing.Pool(3) as pool:
        threads = [threading.Thread(target=write, args=(pool,)), threading.Thread(target=announce)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with open(work + "/out") as lines:
        count = sum(1 for _ in lines) - 1
    with open(work + "/result", "w") as result:
        result.write("PASS\n" if count == tally["lines"] else "FAIL: %d lines, tally %d\n" % (count, tally["lines"]))


if __name__ == "__main__":
    main()
