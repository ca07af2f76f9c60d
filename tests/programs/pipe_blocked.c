/*
 * Subject: one process blocked reading an empty pipe, one blocked in the middle of a large write to a full
 * one: both go on where they are.
 */
#include "state.h"

#define SIZE 300000

static unsigned char data[SIZE], got[SIZE];

int main(int argc, char **argv)
{
	int in[2], out[2];

	state_begin(argc, argv);
	state_fill(data, SIZE, 44);
	MUST(pipe(in));
	MUST(pipe(out));
	pid_t reader = state_fork();

	if (reader == 0) {
		close(in[1]);
		close(out[0]);
		close(out[1]);
		ssize_t n = read(in[0], got, SIZE);

		CHECK(n == 5, "read gave %zd: %s", n, strerror(errno));
		CHECK(memcmp(got, "hello", 5) == 0, "read %.5s", got);
		_exit(0);
	}
	pid_t writer = state_fork();

	if (writer == 0) {
		close(out[0]);
		close(in[0]);
		close(in[1]);
		size_t done = 0;

		/* A write that was interrupted after some bytes may return short: it must then say how many. */
		while (done < SIZE) {
			ssize_t n = write(out[1], data + done, SIZE - done);

			CHECK(n > 0, "write gave %zd: %s", n, strerror(errno));
			done += n;
		}
		_exit(0);
	}
	close(in[0]);
	close(out[1]);
	state_until_asleep(reader);
	state_until_asleep(writer);
	state_ready();
	state_wait_go();
	EQUAL(write(in[1], "hello", 5), 5);
	size_t done = 0;
	ssize_t n;

	while ((n = read(out[0], got + done, SIZE - done)) > 0)
		done += n;
	EQUAL(done, SIZE);
	CHECK(memcmp(got, data, SIZE) == 0, "bytes differ");
	EQUAL(read(out[0], got, 1), 0);
	state_join(reader);
	state_join(writer);
	state_pass();
}
