/*
 * Subject: pipes with both ends in one process: empty, with bytes, full, of another size, non-blocking,
 * packet mode, close-on-exec; every byte in order and no more.
 */
#include "state.h"

#define PIPES 6
#define SIZE (1 << 20)

static int ends[PIPES][2];
static unsigned char data[SIZE], got[SIZE];

int main(int argc, char **argv)
{
	int capacity[PIPES], flags[PIPES][2];
	ssize_t filled = 0, n;

	state_begin(argc, argv);
	for (int i = 0; i < PIPES; i++)
		MUST(pipe2(ends[i], i == 3 ? O_NONBLOCK : i == 4 ? O_DIRECT : i == 5 ? O_CLOEXEC : 0));
	state_fill(data, SIZE, 1);
	EQUAL(write(ends[1][1], data, 10000), 10000);
	EQUAL(read(ends[1][0], got, 1000), 1000);	/* the first buffer is read in part */
	MUST(fcntl(ends[2][1], F_SETPIPE_SZ, SIZE));
	EQUAL(write(ends[2][1], data, 300000), 300000);
	while ((n = write(ends[3][1], data + filled, PAGE)) > 0)
		filled += n;
	EQUAL(errno, EAGAIN);
	EQUAL(write(ends[4][1], "packet one", 10), 10);
	EQUAL(write(ends[4][1], "two", 3), 3);
	MUST(fcntl(ends[5][0], F_SETFL, O_NONBLOCK));
	for (int i = 0; i < PIPES; i++) {
		capacity[i] = MUST(fcntl(ends[i][0], F_GETPIPE_SZ));
		for (int end = 0; end < 2; end++)
			flags[i][end] = fcntl(ends[i][end], F_GETFL);
	}
	state_ready();
	state_wait_go();
	for (int i = 0; i < PIPES; i++) {
		EQUAL(fcntl(ends[i][0], F_GETPIPE_SZ), capacity[i]);
		for (int end = 0; end < 2; end++) {
			EQUAL(fcntl(ends[i][end], F_GETFL), flags[i][end]);
			EQUAL(fcntl(ends[i][end], F_GETFD), i == 5 ? FD_CLOEXEC : 0);
		}
	}
	MUST(fcntl(ends[0][0], F_SETFL, O_NONBLOCK));
	EQUAL(read(ends[0][0], got, 1), -1);
	EQUAL(errno, EAGAIN);
	EQUAL(read(ends[1][0], got, SIZE), 9000);
	CHECK(memcmp(got, data + 1000, 9000) == 0, "bytes of pipe 1");
	EQUAL(read(ends[2][0], got, SIZE), 300000);
	CHECK(memcmp(got, data, 300000) == 0, "bytes of pipe 2");
	EQUAL(write(ends[3][1], "x", 1), -1);
	EQUAL(errno, EAGAIN);
	ssize_t at = 0;

	while ((n = read(ends[3][0], got + at, SIZE - at)) > 0)
		at += n;
	EQUAL(at, filled);
	CHECK(memcmp(got, data, filled) == 0, "bytes of pipe 3");
	EQUAL(read(ends[4][0], got, SIZE), 10);
	CHECK(memcmp(got, "packet one", 10) == 0, "first packet");
	EQUAL(read(ends[4][0], got, SIZE), 3);
	EQUAL(read(ends[5][0], got, 1), -1);
	EQUAL(errno, EAGAIN);
	for (int i = 0; i < PIPES; i++) {
		EQUAL(write(ends[i][1], "after", 5), 5);
		EQUAL(read(ends[i][0], got, SIZE), 5);
		CHECK(memcmp(got, "after", 5) == 0, "pipe %d no longer works", i);
	}
	state_pass();
}
