// server.js PORT: counts for each key, with timers, garbage and work for its threads meanwhile.
const http = require('http');
const crypto = require('crypto');
const counts = new Map();
const content = Buffer.from(Array.from({ length: 20000 }, (_, i) => (i * i) % 251));
const garbage = [];
const server = http.createServer((request, response) => {
	const url = new URL(request.url, 'http://localhost');
	if (url.pathname === '/content') {
		response.end(content);
		return;
	}
	const key = url.searchParams.get('key');
	const count = counts.get(key) ?? 0;
	counts.set(key, count + 1);
	garbage[count % 500] = { text: `${key} ${count}`.repeat(20), bytes: Buffer.alloc(1000, count) };
	// The answer goes through the pool of threads.
	crypto.pbkdf2(key, 'salt', 50, 32, 'sha256', () => setImmediate(() => response.end(String(count))));
});
server.keepAliveTimeout = 3600 * 1000;
server.requestTimeout = 0;
setInterval(() => garbage.sort(() => 0), 20);
server.listen(Number(process.argv[2]), '127.0.0.1');
process.on('SIGTERM', () => process.exit(0));
