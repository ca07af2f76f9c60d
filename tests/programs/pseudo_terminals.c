/*
 * Subject: pseudo-terminals: number, settings of both sides, window size, packet mode, lock, exclusive use, owner of the slave, one
 * whose slave is closed, one whose slave was never open, one whose master is closed; sessions with a controlling terminal, its foreground group, /dev/tty,
 * a member that has given it up; and that all of it works: lines and their editing, signals of keys and of the window, hanging up.
 */
#include "state.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>

enum { PLAIN, LOCKED, CLOSED, SESSION, UNUSED, GONE, COUNT };

static int masters[COUNT], numbers[COUNT], slave, gone;
static struct termios settings;

static int master_of(int which)
{
	int zero = 0, fd = MUST(open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));

	MUST(ioctl(fd, TIOCGPTN, &numbers[which]));
	MUST(ioctl(fd, TIOCSPTLCK, &zero));
	return masters[which] = fd;
}

static int slave_of(int which)
{
	char path[32];

	snprintf(path, sizeof(path), "/dev/pts/%d", numbers[which]);
	return MUST(open(path, O_RDWR | O_NOCTTY | O_CLOEXEC));
}

static int number(int fd, unsigned long request)
{
	int value = -77;

	MUST(ioctl(fd, request, &value));
	return value;
}

static int events_of(int fd, int wanted)
{
	struct pollfd entry = {.fd = fd, .events = wanted};

	MUST(poll(&entry, 1, 0));
	return entry.revents;
}

/* Reads until `text` has come, within the bound. */
static void expect(int fd, const char *text)
{
	char bytes[256] = "";
	size_t done = 0;
	struct pollfd entry = {.fd = fd, .events = POLLIN};

	while (done < strlen(text)) {
		CHECK(poll(&entry, 1, state_bound * 1000) == 1, "only \"%s\" of \"%s\"", bytes, text);
		ssize_t n = read(fd, bytes + done, strlen(text) - done);

		CHECK(n > 0, "read gave %zd (%s) behind \"%s\"", n, strerror(errno), bytes);
		done += (size_t)n;
		bytes[done] = 0;
	}
	CHECK(strcmp(bytes, text) == 0, "\"%s\" instead of \"%s\"", bytes, text);
}

static void put(int fd, const char *text)
{
	EQUAL(write(fd, text, strlen(text)), strlen(text));
}

static void wait_signal(int signal)
{
	struct timespec bound = {state_bound, 0};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signal);
	EQUAL(sigtimedwait(&set, NULL, &bound), signal);
}

/* In the foreground of the session: a group of its own. */
static void foreground(int tty)
{
	state_mark("foreground");
	state_wait_go();
	state_await("leader-checked");
	EQUAL(tcgetpgrp(tty), getpgrp());
	wait_signal(SIGINT);
	wait_signal(SIGWINCH);
	expect(tty, "abd\n");
	state_mark("foreground-checked");
	/* When the leader has ended. */
	wait_signal(SIGHUP);
	state_mark("hung-up");
	_exit(0);
}

/* In the background, and without the terminal. */
static void homeless(int tty)
{
	MUST(ioctl(tty, TIOCNOTTY));
	state_mark("homeless");
	state_wait_go();
	EQUAL(open("/dev/tty", O_RDWR), -1);
	EQUAL(errno, ENXIO);
	state_mark("homeless-checked");
	_exit(0);
}

static void leader(void)
{
	int tty, control;
	pid_t front, other;
	struct winsize size;

	MUST(setsid());
	tty = slave_of(SESSION);
	MUST(ioctl(tty, TIOCSCTTY, 0));
	control = MUST(open("/dev/tty", O_RDWR | O_NONBLOCK));
	front = state_fork();
	if (front == 0) {
		MUST(setpgid(0, 0));
		for (int i = 0; i < COUNT; i++)
			close(masters[i]);
		foreground(tty);
	}
	setpgid(front, front);
	MUST(tcsetpgrp(tty, front));
	other = state_fork();
	if (other == 0) {
		for (int i = 0; i < COUNT; i++)
			close(masters[i]);
		homeless(tty);
	}
	state_await("foreground");
	state_await("homeless");
	for (int i = 0; i < COUNT; i++)
		close(masters[i]);
	state_mark("leader");
	state_wait_go();
	EQUAL(tcgetpgrp(tty), front);
	EQUAL(tcgetsid(control), getpid());
	EQUAL(number(control, TIOCGDEV) & 0xff, numbers[SESSION]);
	EQUAL(fcntl(control, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDWR | O_NONBLOCK);
	MUST(ioctl(tty, TIOCGWINSZ, &size));
	EQUAL(size.ws_col, 133);
	/* We are in its background: to read would be SIGTTIN. */
	EQUAL(read(control, &size, 1), -1);
	EQUAL(errno, EIO);
	EQUAL(read(tty, &size, 1), -1);
	state_mark("leader-checked");
	state_await("foreground-checked");
	state_await("homeless-checked");
	state_join(other);
	wait_signal(SIGHUP);
	EQUAL(read(tty, &size, 1), 0);
	_exit(0);
}

static int same_settings(const struct termios *a, const struct termios *b)
{
	return a->c_iflag == b->c_iflag && a->c_oflag == b->c_oflag && a->c_cflag == b->c_cflag && a->c_lflag == b->c_lflag &&
	       memcmp(a->c_cc, b->c_cc, sizeof(a->c_cc)) == 0 && cfgetospeed(a) == cfgetospeed(b);
}

static void check(pid_t child)
{
	struct winsize size = {.ws_row = 50, .ws_col = 133};
	struct termios now;
	struct stat st;
	char bytes[16] = "";
	int fd;

	for (int i = 0; i < COUNT - 1; i++)
		EQUAL(number(masters[i], TIOCGPTN), numbers[i]);
	MUST(tcgetattr(slave, &now));
	CHECK(same_settings(&now, &settings), "other settings");
	MUST(tcgetattr(masters[PLAIN], &now));
	CHECK(same_settings(&now, &settings), "other settings of the master");
	MUST(fstat(slave, &st));
	EQUAL(st.st_uid, state_user(77));
	EQUAL(st.st_mode & 0777, 0604);
	EQUAL(fcntl(masters[PLAIN], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	EQUAL(number(masters[PLAIN], TIOCGPKT), 1);
	EQUAL(number(slave, TIOCGEXCL), 1);
	MUST(ioctl(slave, TIOCNXCL));
	/* Packet mode: a zero in front. */
	put(slave, "out");
	UNTIL(events_of(masters[PLAIN], POLLIN) & POLLIN);
	EQUAL(read(masters[PLAIN], bytes, sizeof(bytes)), 4);
	CHECK(memcmp(bytes, "\0out", 4) == 0, "other bytes");
	MUST(tcflush(slave, TCIFLUSH));
	UNTIL(events_of(masters[PLAIN], POLLPRI) & POLLPRI);
	EQUAL(read(masters[PLAIN], bytes, sizeof(bytes)), 1);
	EQUAL(bytes[0], TIOCPKT_FLUSHREAD);
	/* Raw: as it is typed. */
	put(masters[PLAIN], "\r\003x");
	expect(slave, "\r\003x");

	EQUAL(number(masters[LOCKED], TIOCGPTLCK), 1);
	EQUAL(ioctl(masters[LOCKED], TIOCGPTPEER, O_RDWR | O_NOCTTY), -1);
	EQUAL(number(masters[CLOSED], TIOCGPTLCK), 0);
	EQUAL(read(masters[CLOSED], bytes, 1), -1);
	EQUAL(errno, EIO);
	EQUAL(events_of(masters[CLOSED], POLLIN) & POLLHUP, POLLHUP);
	EQUAL(events_of(masters[UNUSED], POLLIN), 0);
	fd = slave_of(UNUSED);
	put(fd, "first\n");
	expect(masters[UNUSED], "first\r\n");
	close(fd);

	EQUAL(read(gone, bytes, 1), 0);
	EQUAL(write(gone, "x", 1), -1);
	EQUAL(errno, EIO);
	EQUAL(fcntl(gone, F_GETFL) & O_ACCMODE, O_RDWR);

	state_await("leader-checked");
	/* Keys: interrupt, a line with an erased letter and its echo; then another window. */
	put(masters[SESSION], "\003");
	expect(masters[SESSION], "^C");
	put(masters[SESSION], "abc\177d\n");
	expect(masters[SESSION], "abc\b \bd\r\n");
	size.ws_row = 51;
	MUST(ioctl(masters[SESSION], TIOCSWINSZ, &size));
	state_await("foreground-checked");
	close(masters[SESSION]);
	state_join(child);
	state_await("hung-up");
}

int main(int argc, char **argv)
{
	struct winsize size = {.ws_row = 50, .ws_col = 133, .ws_xpixel = 7, .ws_ypixel = 8};
	int one = 1, extra;
	sigset_t set;
	pid_t child;

	state_begin(argc, argv);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGWINCH);
	sigaddset(&set, SIGTTIN);
	sigaddset(&set, SIGTTOU);
	MUST(sigprocmask(SIG_BLOCK, &set, NULL));
	/* So that the numbers in use have gaps. */
	extra = master_of(PLAIN);
	for (int i = 0; i < COUNT; i++)
		master_of(i);
	close(extra);
	slave = slave_of(PLAIN);
	MUST(tcgetattr(slave, &settings));
	cfmakeraw(&settings);
	settings.c_cc[VINTR] = 9;
	settings.c_cc[VMIN] = 1;
	cfsetspeed(&settings, B9600);
	MUST(tcsetattr(slave, TCSANOW, &settings));
	MUST(tcgetattr(slave, &settings));
	MUST(fchown(slave, state_user(77), state_group(5)));
	MUST(fchmod(slave, 0604));
	MUST(ioctl(slave, TIOCEXCL));
	MUST(fcntl(masters[PLAIN], F_SETFL, O_NONBLOCK));
	MUST(ioctl(masters[PLAIN], TIOCPKT, &one));
	MUST(ioctl(masters[LOCKED], TIOCSPTLCK, &one));
	close(slave_of(CLOSED));
	gone = slave_of(GONE);
	MUST(ioctl(masters[SESSION], TIOCSWINSZ, &size));
	child = state_fork();
	if (child == 0)
		leader();
	state_await("leader");
	close(masters[GONE]);
	/* Its hang-up is there when its end is. */
	UNTIL(events_of(gone, POLLIN) & POLLHUP);
	state_ready();
	state_wait_go();
	check(child);
	state_pass();
}
