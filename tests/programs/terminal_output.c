/*
 * Subject: bytes that were written to a pseudo-terminal and wait to be read from its master: processed and raw output, as many as a master
 * holds, in packet mode, an echo, and those of a slave that is closed.
 */
#include "state.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>

enum { COOKED, RAW, FULL, PACKETS, ECHO_ONLY, CLOSED, COUNT };

#define MOST 4094

static int masters[COUNT], slaves[COUNT];
static char bytes[MOST + 2], long_text[MOST];

static void expect(int which, const char *text, size_t length)
{
	struct pollfd entry = {.fd = masters[which], .events = POLLIN};
	int ahead = which == PACKETS;
	ssize_t n = read(masters[which], bytes, sizeof(bytes));

	CHECK(n == (ssize_t)length + ahead, "terminal %d gave %zd bytes (%s), expected %zu", which, n, strerror(errno), length);
	CHECK(memcmp(bytes + ahead, text, length) == 0, "terminal %d gave other bytes", which);
	EQUAL(poll(&entry, 1, 0), which == CLOSED);
}

int main(int argc, char **argv)
{
	struct termios settings;
	int zero = 0, one = 1, count;

	state_begin(argc, argv);
	for (int i = 0; i < MOST; i++)
		long_text[i] = (char)(i * i % 251);
	for (int i = 0; i < COUNT; i++) {
		masters[i] = MUST(open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
		MUST(ioctl(masters[i], TIOCSPTLCK, &zero));
		slaves[i] = MUST(ioctl(masters[i], TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
	}
	for (int i = RAW; i <= FULL; i++) {
		MUST(tcgetattr(slaves[i], &settings));
		cfmakeraw(&settings);
		MUST(tcsetattr(slaves[i], TCSANOW, &settings));
	}
	EQUAL(write(slaves[COOKED], "one\n\ttwo\n", 9), 9);
	EQUAL(write(slaves[RAW], "one\ntwo\r\n\0x", 11), 11);
	EQUAL(write(slaves[FULL], long_text, MOST), MOST);
	MUST(ioctl(masters[PACKETS], TIOCPKT, &one));
	EQUAL(write(slaves[PACKETS], "packet\n", 7), 7);
	EQUAL(write(masters[ECHO_ONLY], "typed\n", 6), 6);
	EQUAL(read(slaves[ECHO_ONLY], bytes, sizeof(bytes)), 6);
	EQUAL(write(slaves[CLOSED], "last words\n", 11), 11);
	close(slaves[CLOSED]);
	for (int i = 0; i < COUNT; i++) {
		struct pollfd entry = {.fd = masters[i], .events = POLLIN};

		MUST(poll(&entry, 1, 0));
		UNTIL(ioctl(masters[i], FIONREAD, &count) == 0 && count > 0);
	}
	MUST(ioctl(masters[FULL], FIONREAD, &count));
	EQUAL(count, MOST);
	state_ready();
	state_wait_go();
	expect(COOKED, "one\r\n\ttwo\r\n", 11);
	expect(RAW, "one\ntwo\r\n\0x", 11);
	expect(FULL, long_text, MOST);
	expect(PACKETS, "packet\r\n", 8);
	expect(ECHO_ONLY, "typed\r\n", 7);
	expect(CLOSED, "last words\r\n", 12);
	EQUAL(read(masters[CLOSED], bytes, 1), -1);
	EQUAL(errno, EIO);
	/* Output is processed as before. */
	EQUAL(write(slaves[COOKED], "x\n", 2), 2);
	UNTIL(ioctl(masters[COOKED], FIONREAD, &count) == 0 && count == 3);
	expect(COOKED, "x\r\n", 3);
	/* Whoever looked at it has left nothing open. */
	for (int i = slaves[CLOSED]; i < 64; i++)
		EQUAL(fcntl(i, F_GETFD), -1);
	state_pass();
}
