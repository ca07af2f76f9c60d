/*
 * Subject: what was typed at a pseudo-terminal and has not been read: complete lines, ends of file, the beginning of a line (UTF-8, and
 * while somebody waits for it), bytes without lines, fewer than the reader wants, in packet mode, at a closed slave, and more than a line
 * discipline holds.
 */
#include "state.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>

enum { LINES, EOLS, RAW, MINIMUM, PACKETS, CLOSED, TWO, BLOCKED, FULL, PASTED, COUNT };

#define MOST 32768

static int masters[COUNT], slaves[COUNT], second, pasted, full;
static char bytes[MOST], text[MOST];

static int count(int fd)
{
	int n = 0;

	MUST(ioctl(fd, FIONREAD, &n));
	return n;
}

static void type(int which, const void *what, size_t length)
{
	EQUAL(write(masters[which], what, length), length);
}

/* Writes as much as the kernel takes. */
static int fill(int which)
{
	int done = 0, n;

	for (int quiet = 0; quiet < 20;) {
		n = (int)write(masters[which], text + done, done + 700 < MOST ? 700 : (size_t)(MOST - done));
		done += n > 0 ? n : 0;
		quiet = n > 0 ? 0 : quiet + 1;
		if (n <= 0)
			state_pause();
	}
	CHECK(done > 8000 && done < MOST, "%d bytes", done);
	return done;
}

static void expect(int fd, const char *what, size_t length)
{
	ssize_t n = read(fd, bytes, sizeof(bytes));

	CHECK(n == (ssize_t)length, "%zd bytes (%s), expected %zu", n, strerror(errno), length);
	CHECK(memcmp(bytes, what, length) == 0, "'%.*s' instead of '%s'", (int)n, bytes, what);
}

static void nothing(int fd)
{
	EQUAL(read(fd, bytes, sizeof(bytes)), -1);
	EQUAL(errno, EAGAIN);
}

static void *wait_for_line(void *unused STATE_UNUSED)
{
	static char line[64];

	CHECK(read(slaves[BLOCKED], line, sizeof(line)) == 8 && memcmp(line, "partial\n", 8) == 0, "the reader got '%.*s'", 64, line);
	return NULL;
}

static void settings(int which, int iflag, int lflag, int minimum)
{
	struct termios now;

	MUST(tcgetattr(slaves[which], &now));
	now.c_iflag = (tcflag_t)iflag;
	now.c_lflag = (tcflag_t)lflag;
	now.c_cc[VMIN] = (cc_t)minimum;
	now.c_cc[VEOL] = '|';
	now.c_cc[VEOL2] = '#';
	MUST(tcsetattr(slaves[which], TCSANOW, &now));
}

int main(int argc, char **argv)
{
	int zero = 0, one = 1;
	/* Static, since padding is compared too. */
	static struct termios before[COUNT], after;
	pthread_t reader;

	state_begin(argc, argv);
	for (int i = 0; i < COUNT; i++) {
		masters[i] = MUST(open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
		MUST(ioctl(masters[i], TIOCSPTLCK, &zero));
		slaves[i] = MUST(ioctl(masters[i], TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC | (i == BLOCKED ? 0 : O_NONBLOCK)));
		settings(i, ICRNL | IXON | IUTF8, ISIG | ICANON | ECHO | ECHOE | ECHOK | IEXTEN, 1);
	}
	second = MUST(ioctl(masters[TWO], TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
	settings(EOLS, 0, ICANON | IEXTEN, 1);
	settings(RAW, 0, 0, 1);
	settings(MINIMUM, 0, 0, 100);
	settings(FULL, 0, 0, 1);
	MUST(ioctl(masters[PACKETS], TIOCPKT, &one));

	type(LINES, "one\ntwo\004\004three\rfo\303\274", 19);
	type(EOLS, "a|b#c\nd\026|\026\026\026\004e", 14);
	for (int i = 0; i < 256; i++)
		text[i] = (char)i;
	type(RAW, text, 256);
	type(MINIMUM, "\003few\n", 5);
	type(PACKETS, "packet\nhalf", 11);
	close(slaves[CLOSED]);
	type(CLOSED, "nobody\nthere", 12);
	type(TWO, "shared\n", 7);
	reader = state_thread(wait_for_line, NULL);
	type(BLOCKED, "part", 4);
	for (int i = 0; i < MOST; i++)
		text[i] = (char)(i * i % 251);
	full = fill(FULL);
	for (int i = 0; i < MOST; i++)
		text[i] = (char)(i % 17 == 16 ? '\r' : 'a' + i % 25);
	pasted = fill(PASTED);

	/* All of it has arrived, and what was echoed is read: nothing more must be echoed by anybody who looks. */
	UNTIL(count(slaves[LINES]) == 13 && count(slaves[EOLS]) == 6 && count(slaves[RAW]) == 256 && count(slaves[MINIMUM]) == 5 && count(slaves[PACKETS]) == 7);
	UNTIL(count(slaves[TWO]) == 7 && count(slaves[FULL]) == 4095 && count(slaves[PASTED]) >= 4063);
	UNTIL(count(masters[LINES]) == 19 && count(masters[BLOCKED]) == 4 && count(masters[PACKETS]) == 12 && count(masters[TWO]) == 8);
	expect(masters[LINES], "one\r\ntwothree\r\nfo\303\274", 19);
	expect(masters[BLOCKED], "part", 4);
	expect(masters[PACKETS], "\0packet\r\nhalf", 13);
	expect(masters[TWO], "shared\r\n", 8);
	while (read(masters[PASTED], bytes, MOST) > 0 || errno != EAGAIN)
		;
	for (int i = 0; i < COUNT; i++)
		if (i != CLOSED)
			MUST(tcgetattr(slaves[i], &before[i]));
	state_ready();
	state_wait_go();

	for (int i = 0; i < COUNT; i++)
		if (i != CLOSED) {
			MUST(tcgetattr(slaves[i], &after));
			CHECK(memcmp(&before[i], &after, sizeof(after)) == 0, "terminal %d has other settings", i);
			EQUAL(fcntl(masters[i], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
		}
	nothing(masters[LINES]);
	EQUAL(count(slaves[LINES]), 13);
	/* The last character is one, of two bytes. */
	type(LINES, "\177!\n", 3);
	expect(slaves[LINES], "one\n", 4);
	expect(slaves[LINES], "two", 3);
	expect(slaves[LINES], "", 0);
	expect(slaves[LINES], "three\n", 6);
	UNTIL(count(slaves[LINES]) == 4);
	expect(slaves[LINES], "fo!\n", 4);
	UNTIL(count(masters[LINES]) == 6);
	expect(masters[LINES], "\b \b!\r\n", 6);

	nothing(masters[EOLS]);
	EQUAL(count(slaves[EOLS]), 6);
	expect(slaves[EOLS], "a|", 2);
	expect(slaves[EOLS], "b#", 2);
	expect(slaves[EOLS], "c\n", 2);
	nothing(slaves[EOLS]);
	type(EOLS, "\004", 1);
	UNTIL(count(slaves[EOLS]) == 5);
	expect(slaves[EOLS], "d|\026\004e", 5);

	for (int i = 0; i < 256; i++)
		text[i] = (char)i;
	EQUAL(count(slaves[RAW]), 256);
	expect(slaves[RAW], text, 256);
	EQUAL(count(slaves[MINIMUM]), 5);
	expect(slaves[MINIMUM], "\003few\n", 5);

	nothing(masters[PACKETS]);
	type(PACKETS, "-\n", 2);
	expect(slaves[PACKETS], "packet\n", 7);
	UNTIL(count(slaves[PACKETS]) == 6);
	expect(slaves[PACKETS], "half-\n", 6);
	UNTIL(count(masters[PACKETS]) == 3);
	expect(masters[PACKETS], "\0-\r\n", 4);

	slaves[CLOSED] = MUST(ioctl(masters[CLOSED], TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
	expect(slaves[CLOSED], "nobody\n", 7);
	nothing(slaves[CLOSED]);
	type(CLOSED, "!\n", 2);
	UNTIL(count(slaves[CLOSED]) == 7);
	expect(slaves[CLOSED], "there!\n", 7);

	expect(second, "shared\n", 7);
	nothing(slaves[TWO]);
	nothing(masters[TWO]);
	nothing(masters[BLOCKED]);
	type(BLOCKED, "ial\n", 4);
	pthread_join(reader, NULL);

	for (int i = 0, n; i < full; i += n) {
		n = (int)MUST(read(slaves[FULL], bytes, MOST));
		for (int j = 0; j < n; j++)
			CHECK(bytes[j] == (char)((i + j) * (i + j) % 251), "byte %d of %d differs", i + j, full);
	}
	nothing(slaves[FULL]);
	nothing(masters[FULL]);

	nothing(masters[PASTED]);
	for (int i = 0, n; i + 17 <= pasted; i += n) {
		UNTIL((n = (int)read(slaves[PASTED], bytes, MOST)) > 0);
		EQUAL(n, 17);
		for (int j = 0; j < n; j++)
			CHECK(bytes[j] == (char)(j == 16 ? '\n' : 'a' + (i + j) % 25), "byte %d of %d differs", i + j, pasted);
		while (read(masters[PASTED], text, MOST) > 0)
			;
	}
	nothing(slaves[PASTED]);
	type(PASTED, "\025end\n", 5);
	UNTIL(count(slaves[PASTED]) == 4);
	expect(slaves[PASTED], "end\n", 4);
	/* Whoever looked at it has left nothing open. */
	for (int i = slaves[CLOSED] > second ? slaves[CLOSED] + 1 : second + 1; i < 64; i++)
		EQUAL(fcntl(i, F_GETFD), -1);
	state_pass();
}
