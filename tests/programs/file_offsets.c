/*
 * Subject: open regular files: offset, access mode and status flags, close-on-exec, descriptor number, size.
 * Files: written
 */
#include "state.h"

static const struct {
	int flags, number, close_on_exec;
	off_t offset;
} kinds[] = {
	{O_RDONLY, 20, 0, 0}, {O_RDONLY, 21, 1, 1234}, {O_WRONLY, 22, 0, 77}, {O_RDWR, 23, 1, 4000},
	{O_RDWR | O_APPEND, 24, 0, 10}, {O_WRONLY | O_SYNC, 25, 0, 5}, {O_RDWR | O_DSYNC, 26, 1, 1 << 20},
	{O_RDONLY | O_NOATIME, 27, 0, 3}, {O_RDONLY | O_NONBLOCK, 28, 0, 8191}, {O_WRONLY | O_APPEND | O_NONBLOCK, 29, 0, 0},
	{O_RDONLY | O_NOFOLLOW, 400, 1, 99}, {O_RDWR, 1000, 0, 0},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))
#define SIZE 8192

int main(int argc, char **argv)
{
	unsigned char bytes[SIZE], again[SIZE];
	int flags[KINDS];
	char open_before[1100] = "";
	char name[32];

	state_begin(argc, argv);
	for (size_t k = 0; k < KINDS; k++) {
		snprintf(name, sizeof(name), "file-%zu", k);
		int fd = MUST(open(state_path(name), O_WRONLY | O_CREAT | O_EXCL, 0600));

		state_fill(bytes, SIZE, k);
		EQUAL(write(fd, bytes, SIZE), SIZE);
		close(fd);
		fd = MUST(open(state_path(name), kinds[k].flags));
		MUST(lseek(fd, kinds[k].offset, SEEK_SET));
		EQUAL(MUST(dup3(fd, kinds[k].number, kinds[k].close_on_exec ? O_CLOEXEC : 0)), kinds[k].number);
		close(fd);
		flags[k] = MUST(fcntl(kinds[k].number, F_GETFL));
	}
	for (int fd = 3; fd < 1100; fd++)
		open_before[fd] = fcntl(fd, F_GETFD) != -1;
	state_ready();
	state_wait_go();
	for (size_t k = 0; k < KINDS; k++) {
		int fd = kinds[k].number;
		char link[64], target[PATH_MAX] = "";
		struct stat st;

		EQUAL(fcntl(fd, F_GETFL), flags[k]);
		EQUAL(fcntl(fd, F_GETFD), kinds[k].close_on_exec ? FD_CLOEXEC : 0);
		EQUAL(lseek(fd, 0, SEEK_CUR), kinds[k].offset);
		MUST(fstat(fd, &st));
		EQUAL(st.st_size, SIZE);
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		MUST(readlink(link, target, sizeof(target) - 1));
		snprintf(name, sizeof(name), "file-%zu", k);
		CHECK(strcmp(target, state_path(name)) == 0, "descriptor %d is %s", fd, target);
		state_fill(bytes, SIZE, k);
		if ((flags[k] & O_ACCMODE) != O_WRONLY) {
			ssize_t left = kinds[k].offset < SIZE ? SIZE - kinds[k].offset : 0;

			EQUAL(read(fd, again, SIZE), left);
			CHECK(memcmp(again, bytes + kinds[k].offset, left) == 0, "contents of file %zu", k);
		} else {
			EQUAL(read(fd, again, SIZE), -1);
			EQUAL(errno, EBADF);
		}
		if ((flags[k] & O_ACCMODE) == O_RDONLY) {
			EQUAL(write(fd, "x", 1), -1);
			EQUAL(errno, EBADF);
		} else {
			lseek(fd, kinds[k].offset, SEEK_SET);
			EQUAL(write(fd, "holdfast", 8), 8);
			EQUAL(lseek(fd, 0, SEEK_CUR), (flags[k] & O_APPEND ? SIZE : kinds[k].offset) + 8);
		}
	}
	/* And nothing else was opened, nothing closed. */
	for (int fd = 3; fd < 1100; fd++)
		CHECK(open_before[fd] == (fcntl(fd, F_GETFD) != -1), "descriptor %d is %s", fd, open_before[fd] ? "closed" : "open");
	state_pass();
}
