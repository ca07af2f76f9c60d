/*
 * Subject: memory that parents, children, grandchildren and orphans share copy-on-write, after each has written to some of it, dropped, unmapped or protected some.
 * Cases: family 1 2 3 4
 */
#include "state.h"

#define WINDOWS 4
#define MOST 40

static struct window {
	unsigned char *start;
	size_t length;
} windows[WINDOWS];
static unsigned char data[128 * PAGE] __attribute__((aligned(4096)));
static uint64_t seed;

static uint64_t below(uint64_t limit)
{
	return state_random(&seed) % limit;
}

static void stamp(unsigned char *page, uint64_t value)
{
	state_fill(page, PAGE, value | 1);
}

/* What is in the windows, page by page: protection and bytes. */
static uint64_t digest(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	uint64_t sum = 14695981039346656037ULL;
	char line[512], permissions[8];
	unsigned long start, end;

	CHECK(maps != NULL, "maps: %s", strerror(errno));
	/* Window by window, since the kernel may join areas of two of them to one line. */
	for (int i = 0; i < WINDOWS; i++, rewind(maps))
		while (fgets(line, sizeof(line), maps)) {
			if (sscanf(line, "%lx-%lx %7s", &start, &end, permissions) != 3)
				continue;
			unsigned long from = (unsigned long)windows[i].start, to = from + windows[i].length;

			from = start > from ? start : from;
			to = end < to ? end : to;
			if (from >= to)
				continue;
			size_t length = to - from;

			if (permissions[0] != 'r')
				MUST(mprotect((void *)from, length, PROT_READ));
			for (; from < to; from += PAGE) {
				sum = (sum ^ from ^ (uint64_t)permissions[0] << 48 ^ (uint64_t)permissions[1] << 56 ^ (uint64_t)permissions[2] << 40) * 1099511628211ULL;
				for (size_t at = 0; at < PAGE; at += 8) {
					uint64_t word;

					memcpy(&word, (unsigned char *)from + at, 8);
					sum = (sum ^ word) * 1099511628211ULL;
				}
			}
			if (permissions[0] != 'r')
				MUST(mprotect((void *)(to - length), length, PROT_NONE));
		}
	fclose(maps);
	return sum;
}

/* Does something to some pages of a window other than the first, of which pages are only written to or dropped. */
static void change(int gentle)
{
	int which = gentle ? 0 : (int)below(WINDOWS);
	struct window *window = &windows[which];
	size_t pages = window->length / PAGE;
	size_t count = 1 + below(gentle ? 64 : pages / 4), first = below(pages - count);
	unsigned char *start = window->start + first * PAGE;

	switch (below(which == 0 ? 3 : 8)) {
	case 0:
	case 3:
		/* What is unmapped or protected is made writable again. */
		if (which)
			MUST(mmap(start, count * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
		for (size_t i = 0; i < count; i++)
			stamp(start + i * PAGE, state_random(&seed));
		break;
	case 1:
		if (madvise(start, count * PAGE, MADV_DONTNEED) && errno != ENOMEM)
			state_fail("madvise: %s", strerror(errno));
		break;
	case 2:
		/* Every third page. */
		if (which)
			MUST(mmap(start, count * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0));
		for (size_t i = 0; i < count; i += 3)
			start[i * PAGE + 17] ^= 0x5a;
		break;
	case 4:
		MUST(munmap(start, count * PAGE));
		break;
	case 5:
		(void)mprotect(start, count * PAGE, below(2) ? PROT_READ : PROT_READ | PROT_WRITE | PROT_EXEC);
		break;
	case 6:
		(void)mprotect(start, count * PAGE, PROT_NONE);
		break;
	default:
		/* From somewhere else in the window, to another address. */
		if (below(2) && mprotect(window->start, count * PAGE, PROT_READ | PROT_WRITE) == 0)
			(void)mremap(window->start, count * PAGE, count * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, window->start + (pages - count) * PAGE);
		break;
	}
}

/* Says what this process has, and checks it when it is told to go. */
static void settle(int number, int gentle)
{
	char name[64], text[64], expected[64];
	unsigned char *memory = windows[0].start;
	size_t pages = windows[0].length / PAGE;

	snprintf(name, sizeof(name), "digest-%d", getpid());
	snprintf(expected, sizeof(expected), "%016llx", (unsigned long long)digest());
	state_put(name, expected, 0);
	state_markf("settled-%d", number);
	if (number == 0) {
		for (int i = 1; state_exists("pid-1") && i < MOST; i++) {
			snprintf(name, sizeof(name), "pid-%d", i);
			if (state_exists(name))
				state_awaitf("settled-%d", i);
		}
		state_ready();
	}
	state_wait_go();
	snprintf(name, sizeof(name), "digest-%d", getpid());
	state_read(state_path(name), expected, sizeof(expected));
	snprintf(text, sizeof(text), "%016llx", (unsigned long long)digest());
	CHECK(strcmp(text, expected) == 0, "process %d (%d): memory is %s, was %s", number, getpid(), text, expected);
	state_markf("checked-%d", number);
	for (int i = 0; i < MOST; i++) {
		snprintf(name, sizeof(name), "pid-%d", i);
		if (i == 0 || state_exists(name))
			state_awaitf("checked-%d", i);
	}

	/* It was one area, and is: otherwise the kernel does not move it in one go. */
	unsigned char *moved = MUST(mremap(memory, windows[0].length, windows[0].length + PAGE, MREMAP_MAYMOVE));

	for (size_t i = 0; i < pages; i += gentle ? 7 : 1)
		stamp(moved + i * PAGE, (uint64_t)(number + 1) << 32 | i);
	state_markf("wrote-%d", number);
	for (int i = 0; i < MOST; i++) {
		snprintf(name, sizeof(name), "pid-%d", i);
		if (i == 0 || state_exists(name))
			state_awaitf("wrote-%d", i);
	}
	for (size_t i = 0; i < pages; i += gentle ? 7 : 1)
		CHECK(state_differs(moved + i * PAGE, PAGE, (((uint64_t)(number + 1) << 32) | i) | 1) < 0, "process %d, page %zu is another's", number, i);
	state_markf("done-%d", number);
	if (number)
		_exit(0);
	for (int i = 1; i < MOST; i++) {
		snprintf(name, sizeof(name), "pid-%d", i);
		if (state_exists(name))
			state_awaitf("done-%d", i);
	}
	state_pass();
}

static void prepare(size_t pages)
{
	windows[0] = (struct window){MUST(mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)), pages * PAGE};
	/* Something lies between, so that the areas do not become one. */
	MUST(mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	windows[1] = (struct window){MUST(mmap(NULL, 256 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)), 256 * PAGE};
	unsigned char *heap = sbrk(260 * PAGE);

	windows[2] = (struct window){heap + (PAGE - (uintptr_t)heap % PAGE), 256 * PAGE};
	windows[3] = (struct window){data, sizeof(data)};
	for (int i = 0; i < WINDOWS; i++)
		for (size_t page = 0; page < windows[i].length / PAGE; page++)
			stamp(windows[i].start + page * PAGE, state_random(&seed));
}

/* Makes children, and goes on changing in between, so that each begins with something else. */
static void beget(int number, int depth, int gentle)
{
	int children = depth == 0 ? 8 : depth == 1 ? (number % 4 == 1 ? 2 : (int)below(2)) : 0;

	for (int i = 0; i < children; i++) {
		int child = depth == 0 ? i + 1 : number * 2 + 8 + i;

		for (int k = (int)below(4); k > 0; k--)
			change(gentle);
		state_markf("pid-%d", child);
		if (state_fork() == 0) {
			seed = seed * 31 + (uint64_t)child;
			for (int k = (int)below(4); k > 0; k--)
				change(gentle);
			if (child == 8) {
				char text[32];

				snprintf(text, sizeof(text), "%s", state_case);
				execl("/proc/self/exe", "fork_family", state_dir, text, "executed", NULL);
				state_fail("execl: %s", strerror(errno));
			}
			beget(child, depth + 1, gentle);
			for (int k = (int)below(4); k > 0; k--)
				change(gentle);
			/* Leaves its children to the init. */
			if (child == 5) {
				for (int mark = 18; mark < 20; mark++) {
					char name[32];

					snprintf(name, sizeof(name), "pid-%d", mark);
					if (state_exists(name))
						state_awaitf("settled-%d", mark);
				}
				for (const char *const *step = (const char *const[]){"settled-5", "checked-5", "wrote-5", "done-5", NULL}; *step; step++)
					state_mark(*step);
				_exit(0);
			}
			settle(child, gentle);
		}
	}
}

int main(int argc, char **argv)
{
	int executed = argc > 3;
	int gentle;

	if (executed) {
		snprintf(state_dir, sizeof(state_dir), "%s", argv[1]);
		state_case = argv[2];
	} else {
		state_begin(argc, argv);
	}
	gentle = strcmp(state_case, "family") == 0;
	seed = gentle ? 7 : (uint64_t)atoi(state_case) * 1000003;
	prepare(executed ? 64 : gentle ? 8192 : 512);
	if (executed)
		settle(8, gentle);
	beget(0, 0, gentle);
	if (gentle) {
		/* Children share what the parent has no more. */
		for (size_t i = 0; i < 1024; i++)
			stamp(windows[0].start + i * PAGE, i + 5);
		MUST(madvise(windows[0].start + 2048 * PAGE, 512 * PAGE, MADV_DONTNEED));
		MUST(munmap(windows[1].start, windows[1].length));
	}
	for (int k = 0; k < 4; k++)
		change(gentle);
	int status;

	waitpid(state_children[4], &status, 0);
	settle(0, gentle);
}
