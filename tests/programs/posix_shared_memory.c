/*
 * Subject: POSIX shared memory and named semaphores: objects that are open, mapped by two processes, mapped but no longer open, unlinked,
 * neither open nor mapped, in a directory; contents, size, mode, owner; a process that waits for a semaphore.
 */
#include "state.h"
#include <semaphore.h>

#define SIZE (8 * PAGE)

/* Names that nobody else has, where /dev/shm is shared with others. */
static const char *named(const char *what)
{
	static char names[8][PATH_MAX];
	static int next;
	char *name = names[next++ % 8];

	snprintf(name, PATH_MAX, "/%s-%s", strrchr(state_dir, '/') + 1, what);
	return name;
}

static unsigned char *make(const char *what, int *fd, uint64_t seed)
{
	*fd = MUST(shm_open(named(what), O_RDWR | O_CREAT | O_EXCL, 0640));
	MUST(ftruncate(*fd, SIZE));
	unsigned char *memory = MUST(mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0));

	state_fill(memory, SIZE, seed);
	return memory;
}

int main(int argc, char **argv)
{
	char folder[PATH_MAX], inside[PATH_MAX + 16];
	unsigned char *common, *closed, *gone, *loose, bytes[16] = "";
	int fd, unused, removed, value;
	struct stat st;

	state_begin(argc, argv);
	common = make("common", &fd, 1);
	closed = make("closed", &unused, 2);
	MUST(close(unused));
	gone = make("gone", &removed, 3);
	MUST(shm_unlink(named("gone")));
	loose = make("loose", &unused, 4);
	MUST(fchown(unused, state_user(1000), state_group(1001)));
	MUST(fchmod(unused, 0604));
	MUST(close(unused));
	MUST(munmap(loose, SIZE));
	snprintf(folder, sizeof(folder), "/dev/shm%s", named("folder"));
	snprintf(inside, sizeof(inside), "%s/inside", folder);
	MUST(mkdir(folder, 0750));
	unused = MUST(open(inside, O_WRONLY | O_CREAT, 0600));
	EQUAL(write(unused, "inside", 6), 6);
	MUST(close(unused));
	sem_t *gate = sem_open(named("gate"), O_CREAT | O_EXCL, 0600, 0), *count = sem_open(named("count"), O_CREAT | O_EXCL, 0600, 5);

	CHECK(gate != SEM_FAILED && count != SEM_FAILED, "sem_open: %s", strerror(errno));
	MUST(lseek(fd, 8, SEEK_SET));
	pid_t child = state_fork();

	if (child == 0) {
		while (sem_wait(gate) != 0)
			EQUAL(errno, EINTR);
		MUST(sem_post(count));
		CHECK(common[0] == 0xaa, "%x", common[0]);
		common[SIZE - 1] = 0xbb;
		state_mark("written");
		_exit(0);
	}
	state_until_asleep(child);
	state_ready();
	state_wait_go();

	CHECK_FILL(common, SIZE, 1);
	CHECK_FILL(closed, SIZE, 2);
	CHECK_FILL(gone, SIZE, 3);
	EQUAL(read(fd, bytes, 8), 8);
	CHECK(memcmp(bytes, common + 8, 8) == 0, "the bytes at the offset");
	MUST(fstat(fd, &st));
	EQUAL(st.st_mode, S_IFREG | 0640);
	EQUAL(st.st_size, SIZE);
	MUST(fstat(removed, &st));
	EQUAL(st.st_nlink, 0);
	/* By name it is the same object. */
	unused = MUST(shm_open(named("common"), O_RDWR, 0));
	common[0] = 0xaa;
	EQUAL(pread(unused, bytes, 1, 0), 1);
	EQUAL(bytes[0], 0xaa);
	unused = MUST(shm_open(named("closed"), O_RDWR, 0));
	closed[7] = 0x77;
	EQUAL(pread(unused, bytes, 1, 7), 1);
	EQUAL(bytes[0], 0x77);
	unused = MUST(shm_open(named("loose"), O_RDWR, 0));
	MUST(fstat(unused, &st));
	EQUAL(st.st_mode, S_IFREG | 0604);
	EQUAL(st.st_uid, state_user(1000));
	EQUAL(st.st_gid, state_group(1001));
	loose = MUST(mmap(NULL, SIZE, PROT_READ, MAP_SHARED, unused, 0));
	CHECK_FILL(loose, SIZE, 4);
	MUST(stat(folder, &st));
	EQUAL(st.st_mode, S_IFDIR | 0750);
	EQUAL(state_read(inside, (char *)bytes, sizeof(bytes)), 6);
	CHECK(memcmp(bytes, "inside", 6) == 0, "it holds %.6s", bytes);
	MUST(sem_getvalue(count, &value));
	EQUAL(value, 5);
	CHECK(!state_exists("written"), "it did not wait");
	MUST(sem_post(gate));
	state_await("written");
	state_join(child);
	EQUAL(common[SIZE - 1], 0xbb);
	sem_t *again = sem_open(named("count"), 0);

	CHECK(again != SEM_FAILED, "sem_open: %s", strerror(errno));
	MUST(sem_getvalue(again, &value));
	EQUAL(value, 6);
	MUST(shm_unlink(named("common")));
	MUST(shm_unlink(named("closed")));
	MUST(shm_unlink(named("loose")));
	MUST(sem_unlink(named("gate")));
	MUST(sem_unlink(named("count")));
	MUST(unlink(inside));
	MUST(rmdir(folder));
	state_pass();
}
