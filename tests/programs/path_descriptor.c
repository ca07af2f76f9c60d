/*
 * Subject: O_PATH descriptors of a file, a directory and a symbolic link: they name, they do not read.
 */
#include "state.h"

int main(int argc, char **argv)
{
	char byte, target[64] = "", name[64];
	struct stat st;

	state_begin(argc, argv);
	int file = MUST(open(state_path("file"), O_RDWR | O_CREAT | O_EXCL, 0600));

	EQUAL(write(file, "abc", 3), 3);
	close(file);
	MUST(symlink("file", state_path("link")));
	file = MUST(open(state_path("file"), O_PATH));
	int directory = MUST(open(state_path("."), O_PATH | O_DIRECTORY | O_CLOEXEC));
	int link = MUST(open(state_path("link"), O_PATH | O_NOFOLLOW));

	state_ready();
	state_wait_go();
	CHECK(fcntl(file, F_GETFL) & O_PATH, "flags of the file: %o", fcntl(file, F_GETFL));
	CHECK(fcntl(directory, F_GETFL) & O_PATH, "flags of the directory");
	EQUAL(fcntl(directory, F_GETFD), FD_CLOEXEC);
	EQUAL(read(file, &byte, 1), -1);
	EQUAL(errno, EBADF);
	MUST(fstat(file, &st));
	EQUAL(st.st_size, 3);
	MUST(fstat(link, &st));
	CHECK(S_ISLNK(st.st_mode), "the link is a %o", st.st_mode);
	EQUAL(readlinkat(link, "", target, sizeof(target) - 1), 4);
	CHECK(strcmp(target, "file") == 0, "the link leads to %s", target);
	int opened = MUST(openat(directory, "file", O_RDONLY));

	EQUAL(read(opened, &byte, 1), 1);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", file);
	close(MUST(open(name, O_RDONLY)));
	state_pass();
}
