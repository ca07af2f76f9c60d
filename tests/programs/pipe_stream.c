/*
 * Subject: a chain of three processes that never stops sending: producer, a filter that adds one, and a
 * consumer that checks each number. Nothing is lost, doubled or reordered.
 */
#include "state.h"

static void all(ssize_t (*call)(int, void *, size_t), int fd, void *buffer, size_t size, int *ended)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = call(fd, (char *)buffer + done, size - done);

		if (n == 0 && ended && done == 0) {
			*ended = 1;
			return;
		}
		CHECK(n > 0, "fd %d: %s", fd, n ? strerror(errno) : "end of file in the middle");
		done += n;
	}
}

int main(int argc, char **argv)
{
	int first[2], second[2], ended = 0;
	uint64_t numbers[100];

	state_begin(argc, argv);
	MUST(pipe(first));
	MUST(pipe(second));
	pid_t producer = state_fork();

	if (producer == 0) {
		close(first[0]);
		close(second[0]);
		close(second[1]);
		for (uint64_t next = 0; !state_exists("go"); next += 100) {
			for (int i = 0; i < 100; i++)
				numbers[i] = next + i;
			all((ssize_t (*)(int, void *, size_t))write, first[1], numbers, sizeof(numbers), NULL);
		}
		_exit(0);
	}
	pid_t filter = state_fork();

	if (filter == 0) {
		close(first[1]);
		close(second[0]);
		for (;;) {
			uint64_t number;

			all(read, first[0], &number, 8, &ended);
			if (ended)
				_exit(0);
			number++;
			all((ssize_t (*)(int, void *, size_t))write, second[1], &number, 8, NULL);
		}
	}
	close(first[0]);
	close(first[1]);
	close(second[1]);
	for (uint64_t expected = 1;; expected++) {
		uint64_t number;

		all(read, second[0], &number, 8, &ended);
		if (ended)
			break;
		CHECK(number == expected, "%lu came instead of %lu", (long)number, (long)expected);
		if (expected == 5000)
			state_ready();
	}
	state_wait_go();
	state_join(producer);
	state_join(filter);
	state_pass();
}
