/*
 * Subject: memory of huge pages (hugetlb): private with holes and parts of several protections, not set aside, changed by a child, shared
 * with a child, in a memfd that is mapped shared and private.
 * Huge: 32
 */
#include "state.h"

#define HUGE (2UL << 20)

static unsigned char *own, *loose, *common, *file, *changed;

static unsigned char *map(size_t pages, int flags, int fd)
{
	unsigned char *memory = mmap(NULL, pages * HUGE, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (memory == MAP_FAILED && errno == ENOMEM)
		state_skip("there are no %zu huge pages", pages);
	MUST((long)memory);
	return memory;
}

static int is_there(const void *memory)
{
	uint64_t entry = 0;
	int fd = MUST(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));

	EQUAL(pread(fd, &entry, 8, (off_t)((unsigned long)memory / PAGE * 8)), 8);
	close(fd);
	return entry >> 63;
}

static void check(int child, int again)
{
	struct state_map found;

	CHECK_FILL(own, HUGE, child ? 2 : 1);
	EQUAL(is_there(own + HUGE), again);
	CHECK_ZERO(own + HUGE, PAGE);
	CHECK_FILL(own + 2 * HUGE + 7 * PAGE, PAGE, 3);
	CHECK_ZERO(own + 2 * HUGE + 8 * PAGE, HUGE - 8 * PAGE);
	CHECK(state_map_of(own + 2 * HUGE, &found) && strcmp(found.permissions, "r--p") == 0, "%s", found.permissions);
	CHECK(state_has_flag(own, "ht") && !state_has_flag(own, "nr") && state_has_flag(loose, "nr"), "other flags");
	CHECK_FILL(loose + HUGE, PAGE, 4);
	EQUAL(is_there(loose), 0);
	CHECK_FILL(common, HUGE, 5);
	CHECK_FILL(file, PAGE, 6);
	CHECK_FILL(changed, PAGE, child ? 8 : 7);
	CHECK_ZERO(changed + PAGE, HUGE - PAGE);
}

int main(int argc, char **argv)
{
	struct stat st;
	pid_t child;
	int fd;

	state_begin(argc, argv);
	own = map(3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1);
	loose = map(2, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_NORESERVE, -1);
	common = map(2, MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1);
	fd = MUST(memfd_create("huge", MFD_HUGETLB | MFD_CLOEXEC | MFD_ALLOW_SEALING));
	MUST(ftruncate(fd, 2 * HUGE));
	file = map(2, MAP_SHARED, fd);
	state_fill(own, HUGE, 1);
	state_fill(own + 2 * HUGE + 7 * PAGE, PAGE, 3);
	MUST(mprotect(own + 2 * HUGE, HUGE, PROT_READ));
	state_fill(loose + HUGE, PAGE, 4);
	state_fill(common, HUGE, 5);
	state_fill(file, PAGE, 6);
	changed = map(1, MAP_PRIVATE, fd);
	state_fill(changed, PAGE, 7);
	MUST(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
	child = state_fork();
	if (child == 0) {
		state_fill(own, HUGE, 2);
		state_fill(changed, PAGE, 8);
		state_mark("child");
		state_wait_go();
		check(1, 0);
		/* Both are the same memory still, on which the other waits. */
		file[HUGE + 1] = 1;
		while (!*(volatile unsigned char *)(common + HUGE))
			state_pause();
		check(1, 1);
		_exit(0);
	}
	state_await("child");
	state_ready();
	state_wait_go();
	check(0, 0);
	UNTIL(*(volatile unsigned char *)(file + HUGE + 1) == 1);
	EQUAL(fcntl(fd, F_GET_SEALS), F_SEAL_GROW);
	MUST(fstat(fd, &st));
	EQUAL(st.st_size, 2 * HUGE);
	EQUAL(st.st_blksize, HUGE);
	/* All of it can be used: what was set aside is. */
	state_fill(own + HUGE, HUGE, 9);
	CHECK_FILL(own + HUGE, HUGE, 9);
	common[HUGE] = 1;
	state_join(child);
	state_pass();
}
