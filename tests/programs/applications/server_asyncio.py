"""server_asyncio.py PORT: counts for each key, with tasks, timers and a pool of threads."""
import asyncio
import signal
import sys
from urllib.parse import parse_qs, urlsplit

CONTENT = bytes(i * i % 251 for i in range(20000))
counts = {}


def counted(key):
    counts[key] = counts.get(key, -1) + 1
    return str(counts[key]).encode()


async def serve(reader, writer):
    loop = asyncio.get_running_loop()
    while line := await reader.readline():
        while (await reader.readline()).strip():
            pass
        url = urlsplit(line.split()[1].decode())
        body = CONTENT if url.path == "/content" else await loop.run_in_executor(None, counted, parse_qs(url.query)["key"][0])
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        await asyncio.sleep(0.0001)
    writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
    async with server:
        await end.wait()


asyncio.run(main())
