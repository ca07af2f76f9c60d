/*
 * Subject: file locks: flock, record locks and locks of open files, shared and exclusive, of ranges, through duplicates and across
 * processes, and processes that wait for one of each kind.
 */
#include "state.h"
#include <sys/file.h>

static int open_file(const char *name)
{
	return MUST(open(state_path(name), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
}

static struct flock range(short type, long start, long length)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};

	return lock;
}

/* Whether a lock of that kind could be had by another open file; and if not, whose it is that is in the way. */
static pid_t in_the_way(const char *name, short type, long start, long length)
{
	struct flock lock = range(type, start, length);
	int fd = open_file(name);

	MUST(fcntl(fd, F_OFD_GETLK, &lock));
	close(fd);
	return lock.l_type == F_UNLCK ? 0 : lock.l_pid;
}

static int busy(const char *name, int kind)
{
	int fd = open_file(name), result = flock(fd, kind | LOCK_NB);

	close(fd);
	return result != 0;
}

static pid_t waiter(const char *mark, int which)
{
	pid_t pid = state_fork();

	if (pid == 0) {
		struct flock lock = range(F_WRLCK, 100, 10);
		int fd = open_file(which == 0 ? "whole" : which == 1 ? "records" : "open");

		state_mark(mark);
		if (which == 0)
			MUST(flock(fd, LOCK_EX));
		else
			MUST(fcntl(fd, which == 1 ? F_SETLKW : F_OFD_SETLKW, &lock));
		CHECK(state_exists("go"), "the lock was had too early");
		_exit(0);
	}
	state_await(mark);
	state_until_asleep(pid);
	return pid;
}

int main(int argc, char **argv)
{
	struct flock first = range(F_WRLCK, 0, 0), second = range(F_RDLCK, 5, 10), held = range(F_WRLCK, 100, 10);
	pid_t waiting[3];
	int whole, copy, shared, records, open_locks;

	state_begin(argc, argv);
	whole = open_file("whole");
	copy = MUST(dup(whole));
	shared = open_file("shared");
	records = open_file("records");
	open_locks = open_file("open");
	MUST(flock(whole, LOCK_EX));
	MUST(flock(shared, LOCK_SH));
	MUST(fcntl(records, F_SETLK, &held));
	MUST(fcntl(records, F_SETLK, &second));
	MUST(fcntl(open_locks, F_OFD_SETLK, &held));
	pid_t child = state_fork();

	if (child == 0) {
		int own = open_file("ranges");

		first.l_start = 1000;
		MUST(fcntl(own, F_SETLK, &first));
		state_mark("child");
		state_wait_go();
		/* Asked here: whoever closes a file gives back all record locks of his on it. */
		EQUAL(in_the_way("records", F_RDLCK, 100, 1), getppid());
		EQUAL(in_the_way("records", F_WRLCK, 5, 1), getppid());
		EQUAL(in_the_way("records", F_RDLCK, 5, 1), 0);
		EQUAL(in_the_way("records", F_WRLCK, 15, 80), 0);
		state_mark("asked");
		state_await("checked");
		_exit(0);
	}
	state_await("child");
	waiting[0] = waiter("waiting0", 0);
	waiting[1] = waiter("waiting1", 1);
	waiting[2] = waiter("waiting2", 2);
	state_ready();
	state_wait_go();
	CHECK(busy("whole", LOCK_SH), "flock is lost");
	CHECK(busy("shared", LOCK_EX), "the shared flock is lost");
	CHECK(!busy("shared", LOCK_SH), "the shared flock is exclusive");
	EQUAL(in_the_way("open", F_RDLCK, 109, 1), -1);
	EQUAL(in_the_way("open", F_WRLCK, 110, 1), 0);
	EQUAL(in_the_way("ranges", F_WRLCK, 1L << 40, 1), child);
	EQUAL(in_the_way("ranges", F_WRLCK, 0, 1000), 0);
	state_await("asked");
	for (int i = 0; i < 3; i++)
		EQUAL(waitpid(waiting[i], NULL, WNOHANG), 0);
	state_mark("checked");
	/* The lock is the open file's: a duplicate gives it back. */
	MUST(flock(copy, LOCK_UN));
	held.l_type = F_UNLCK;
	MUST(fcntl(records, F_SETLK, &held));
	MUST(fcntl(open_locks, F_OFD_SETLK, &held));
	for (int i = 0; i < 3; i++)
		state_join(waiting[i]);
	state_join(child);
	state_pass();
}
