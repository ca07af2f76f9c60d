/*
 * Subject: memfd: contents, size, name, seals, offsets, mode; mapped shared by two processes, mapped after its descriptor was closed, sealed
 * against new writable mappings while one is there, sparse.
 */
#include "state.h"

#define SIZE (16 * PAGE)

static int make(const char *name, unsigned int flags)
{
	return MUST((int)syscall(SYS_memfd_create, name, flags));
}

static void expect_name(int fd, const char *name)
{
	char path[64], link[256] = "";

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	MUST(readlink(path, link, sizeof(link) - 1));
	CHECK(strcmp(link, name) == 0, "it is %s, expected %s", link, name);
}

int main(int argc, char **argv)
{
	unsigned char *common, *kept, *future, *sealed;
	char bytes[16] = "";
	struct stat st;

	state_begin(argc, argv);
	int plain = make("plain name/with slash", 1), shared = make("shared", 2), closed = make("closed", 0), writing = make("future", 2), fixed = make("fixed", 2), sparse = make("sparse", 2);

	EQUAL(write(plain, "0123456789", 10), 10);
	MUST(lseek(plain, 4, SEEK_SET));
	MUST(fchmod(plain, 0640));
	MUST(ftruncate(shared, SIZE));
	common = MUST(mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0));
	state_fill(common, SIZE, 3);
	MUST(ftruncate(closed, SIZE));
	kept = MUST(mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, closed, 0));
	state_fill(kept, SIZE, 4);
	MUST(close(closed));
	MUST(ftruncate(writing, SIZE));
	future = MUST(mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, writing, 0));
	state_fill(future, SIZE, 5);
	MUST(fcntl(writing, F_ADD_SEALS, F_SEAL_SHRINK | 0x10));
	EQUAL(write(fixed, "fixed", 5), 5);
	MUST(fcntl(fixed, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
	sealed = MUST(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fixed, 0));
	MUST(ftruncate(sparse, 1L << 36));
	EQUAL(pwrite(sparse, "far", 3, 1L << 35), 3);
	pid_t child = state_fork();

	if (child == 0) {
		state_mark("child");
		state_wait_go();
		UNTIL(*(volatile unsigned char *)common == 0xaa);
		common[SIZE - 1] = 0xbb;
		/* The open file is the parent's too: so is its offset. */
		MUST(lseek(plain, 6, SEEK_SET));
		state_mark("moved");
		_exit(0);
	}
	state_await("child");
	state_ready();
	state_wait_go();
	expect_name(plain, "/memfd:plain name/with slash (deleted)");
	expect_name(shared, "/memfd:shared (deleted)");
	EQUAL(fcntl(plain, F_GETFD), FD_CLOEXEC);
	EQUAL(fcntl(plain, F_GET_SEALS), F_SEAL_SEAL);
	EQUAL(fcntl(shared, F_GET_SEALS), 0);
	EQUAL(fcntl(writing, F_GET_SEALS), F_SEAL_SHRINK | 0x10);
	EQUAL(fcntl(fixed, F_GET_SEALS), F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	CHECK_FILL(common, SIZE, 3);
	CHECK_FILL(kept, SIZE, 4);
	CHECK_FILL(future, SIZE, 5);
	CHECK(memcmp(sealed, "fixed", 5) == 0, "the sealed file");
	common[0] = 0xaa;
	state_await("moved");
	state_join(child);
	EQUAL(common[SIZE - 1], 0xbb);
	EQUAL(pread(shared, bytes, 1, 0), 1);
	EQUAL((unsigned char)bytes[0], 0xaa);
	EQUAL(read(plain, bytes, sizeof(bytes)), 4);
	CHECK(memcmp(bytes, "6789", 4) == 0, "read %.4s", bytes);
	MUST(fstat(plain, &st));
	EQUAL(st.st_mode, S_IFREG | 0640);
	EQUAL(st.st_size, 10);
	kept[7] = 1;
	future[7] = 1;
	EQUAL(pread(writing, bytes, 1, 7), 1);
	EQUAL(bytes[0], 1);
	CHECK(mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, writing, 0) == MAP_FAILED, "a new writable mapping");
	EQUAL(write(fixed, "x", 1), -1);
	EQUAL(errno, EPERM);
	MUST(fstat(sparse, &st));
	EQUAL(st.st_size, 1L << 36);
	CHECK(st.st_blocks <= 16, "%ld blocks", (long)st.st_blocks);
	EQUAL(pread(sparse, bytes, 4, 1L << 35), 4);
	CHECK(memcmp(bytes, "far\0", 4) == 0, "the far bytes");
	state_pass();
}
