/*
 * Subject: /dev/null, zero, full, urandom and random as open descriptors, with flags, shared across fork.
 */
#include "state.h"

static const struct {
	const char *path;
	int flags;
} kinds[] = {
	{"/dev/null", O_RDWR}, {"/dev/zero", O_RDONLY | O_CLOEXEC}, {"/dev/full", O_WRONLY}, {"/dev/urandom", O_RDONLY},
	{"/dev/random", O_RDONLY | O_NONBLOCK}, {"/dev/null", O_WRONLY | O_APPEND},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

int main(int argc, char **argv)
{
	int fds[KINDS], flags[KINDS];
	struct stat before[KINDS], after;
	unsigned char bytes[64];

	state_begin(argc, argv);
	for (size_t k = 0; k < KINDS; k++) {
		fds[k] = MUST(open(kinds[k].path, kinds[k].flags));
		flags[k] = MUST(fcntl(fds[k], F_GETFL));
		MUST(fstat(fds[k], &before[k]));
	}
	unsigned char *zeros = MUST(mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fds[1], 0));

	state_fill(zeros + PAGE, PAGE, 9);
	state_ready();
	state_wait_go();
	for (size_t k = 0; k < KINDS; k++) {
		EQUAL(fcntl(fds[k], F_GETFL), flags[k]);
		EQUAL(fcntl(fds[k], F_GETFD), kinds[k].flags & O_CLOEXEC ? FD_CLOEXEC : 0);
		MUST(fstat(fds[k], &after));
		CHECK(S_ISCHR(after.st_mode), "%s is a %o", kinds[k].path, after.st_mode);
		EQUAL(after.st_rdev, before[k].st_rdev);
	}
	EQUAL(read(fds[0], bytes, 64), 0);
	EQUAL(write(fds[0], bytes, 64), 64);
	EQUAL(read(fds[1], bytes, 64), 64);
	CHECK_ZERO(bytes, 64);
	EQUAL(write(fds[2], bytes, 64), -1);
	EQUAL(errno, ENOSPC);
	EQUAL(read(fds[3], bytes, 64), 64);
	CHECK(state_nonzero(bytes, 64) >= 0, "no randomness");
	EQUAL(read(fds[4], bytes, 64), 64);
	CHECK_ZERO(zeros, PAGE);
	CHECK_FILL(zeros + PAGE, PAGE, 9);
	CHECK_ZERO(zeros + 2 * PAGE, 2 * PAGE);
	state_pass();
}
