import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.util.ArrayDeque;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;

/** Server PORT: counts for each key, with three hundred threads and garbage for the collector. */
public final class Server {
	private Server() {
	}

	public static void main(String[] arguments) throws Exception {
		byte[] content = new byte[20000];
		for (int i = 0; i < content.length; i++) {
			content[i] = (byte) ((long) i * i % 251);
		}
		ConcurrentHashMap<String, AtomicInteger> counts = new ConcurrentHashMap<>();
		HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0])), 64);
		ThreadPoolExecutor pool = new ThreadPoolExecutor(300, 300, 1, TimeUnit.HOURS, new LinkedBlockingQueue<>());
		pool.prestartAllCoreThreads();
		server.setExecutor(pool);
		server.createContext("/", exchange -> {
			byte[] body = content;
			if (exchange.getRequestURI().getPath().equals("/next")) {
				String key = exchange.getRequestURI().getQuery().substring("key=".length());
				body = Integer.toString(counts.computeIfAbsent(key, k -> new AtomicInteger()).getAndIncrement()).getBytes();
			}
			exchange.sendResponseHeaders(200, body.length);
			exchange.getResponseBody().write(body);
			exchange.close();
		});
		for (int i = 0; i < 2; i++) {
			Thread thread = new Thread(Server::litter);
			thread.setDaemon(true);
			thread.start();
		}
		server.start();
	}

	/** Makes objects that live for a while; each must be what was put into it. */
	private static void litter() {
		ArrayDeque<int[]> kept = new ArrayDeque<>();
		while (true) {
			int value = ThreadLocalRandom.current().nextInt();
			int[] array = new int[500];
			java.util.Arrays.fill(array, value);
			kept.add(array);
			if (kept.size() > 5000) {
				int[] old = kept.remove();
				for (int element : old) {
					if (element != old[0]) {
						System.err.println("memory is damaged");
						Runtime.getRuntime().halt(3);
					}
				}
			}
			LockSupport.parkNanos(50_000);
		}
	}
}
