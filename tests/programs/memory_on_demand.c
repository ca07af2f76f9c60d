/*
 * Subject: private memory that is used in every way right after a restore, while it may still be loaded: by children of fork, after
 * MADV_DONTNEED, mremap, munmap and mmap, mprotect, by system calls, by threads. No byte is lost, and no old one comes back.
 * Suite: lazy
 * Cases: children discarded moved unmapped protected calls threads random deep
 */
#include "state.h"

#define AREAS 8
#define PAGES 256
#define MOST (PAGES * 2)

/* What each page holds: the seed that it was filled with, 0 for zeros. */
static struct area {
	unsigned char *at;
	size_t pages;
	uint32_t seeds[MOST];
} areas[AREAS];
static uint32_t next_seed = 1;

static void fill(struct area *area, size_t page)
{
	area->seeds[page] = next_seed++;
	state_fill(area->at + page * PAGE, PAGE, area->seeds[page]);
}

static void check_page(const struct area *area, size_t page)
{
	if (area->seeds[page])
		CHECK_FILL(area->at + page * PAGE, PAGE, area->seeds[page]);
	else
		CHECK_ZERO(area->at + page * PAGE, PAGE);
}

static void check_area(const struct area *area)
{
	for (size_t page = 0; page < area->pages; page++)
		check_page(area, page);
}

static void check_all(void)
{
	/* The last first: what is loaded in order comes to it last. */
	for (int i = AREAS; i-- > 0;)
		check_area(&areas[i]);
}

static void discard(struct area *area, size_t from, size_t count)
{
	MUST(madvise(area->at + from * PAGE, count * PAGE, MADV_DONTNEED));
	memset(area->seeds + from, 0, count * sizeof(*area->seeds));
}

static void move(struct area *area, size_t pages)
{
	/* Somewhere else, for sure. */
	unsigned char *to = MUST(mmap(NULL, MOST * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));

	area->at = MUST(mremap(area->at, area->pages * PAGE, pages * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to));
	MUST(munmap(to + pages * PAGE, (MOST - pages) * PAGE));
	for (size_t page = area->pages; page < pages; page++)
		area->seeds[page] = 0;
	area->pages = pages;
}

static void replace(struct area *area, size_t from, size_t count)
{
	unsigned char *at = area->at + from * PAGE;

	MUST(munmap(at, count * PAGE));
	MUST(mmap(at, count * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
	memset(area->seeds + from, 0, count * sizeof(*area->seeds));
}

static void in_child(void (*check)(void))
{
	pid_t child = state_fork();

	if (child == 0) {
		check();
		_exit(0);
	}
	state_join(child);
}

static void child_and_grandchild(void)
{
	fill(&areas[3], 7);
	in_child(check_all);
	discard(&areas[2], 100, 20);
	check_all();
}

static void children(void)
{
	pid_t beside = state_fork();

	if (beside == 0) {
		child_and_grandchild();
		_exit(0);
	}
	/* What the parent does now is not the child's to see. */
	fill(&areas[1], 0);
	discard(&areas[4], 0, PAGES);
	check_area(&areas[7]);
	state_join(beside);
	check_all();
}

static void discarded(void)
{
	for (int i = 0; i < AREAS; i++) {
		discard(&areas[i], 3, 1);
		discard(&areas[i], 50, 120);
	}
	fill(&areas[0], 60);
	in_child(check_all);
	check_all();
}

static void moved(void)
{
	move(&areas[0], PAGES);
	move(&areas[1], PAGES + 40);
	move(&areas[2], PAGES - 40);
	fill(&areas[1], PAGES + 3);
	in_child(check_all);
	move(&areas[0], PAGES);
	check_all();
}

static void unmapped(void)
{
	for (int i = 0; i < AREAS; i += 2)
		replace(&areas[i], 20 + i, 100);
	in_child(check_all);
	check_all();
}

/* Parts areas into many: bytes that come for several of them at once must reach each. */
static void parted(void)
{
	for (int i = 0; i < AREAS; i++)
		for (size_t page = i; page < PAGES; page += 3 + i)
			MUST(mprotect(areas[i].at + page * PAGE, PAGE, i % 2 ? PROT_READ : PROT_NONE));
	for (int i = 0; i < AREAS; i++)
		for (size_t page = 0; page < PAGES; page += 7) {
			MUST(mprotect(areas[i].at + page * PAGE, PAGE, PROT_READ | PROT_WRITE));
			check_page(&areas[i], page);
		}
	for (int i = 0; i < AREAS; i++)
		MUST(mprotect(areas[i].at, PAGES * PAGE, PROT_READ | PROT_WRITE));
	check_all();
}

/* What state_fill would have made of a page. */
static void expect_page(unsigned char *expected, uint32_t seed)
{
	memset(expected, 0, PAGE);
	if (seed)
		state_fill(expected, PAGE, seed);
}

/* System calls read from and write to pages that may be missing; what they do not write stays. */
static void calls(void)
{
	unsigned char bytes[PAGE], expected[PAGE];
	int fds[2];

	MUST(pipe(fds));
	for (int i = 0; i < AREAS; i++)
		for (size_t page = 0; page < PAGES; page += 5) {
			unsigned char *at = areas[i].at + page * PAGE;

			if (page % 2) {
				CHECK(write(fds[1], at, PAGE) == (ssize_t)PAGE, "write");
				CHECK(read(fds[0], bytes, PAGE) == (ssize_t)PAGE, "read");
				expect_page(expected, areas[i].seeds[page]);
				CHECK(memcmp(bytes, expected, PAGE) == 0, "area %d, page %zu, as write(2) sees it", i, page);
			} else {
				CHECK(write(fds[1], "0123456789", 10) == 10, "write");
				CHECK(read(fds[0], at + 1000, 10) == 10, "read");
				expect_page(expected, areas[i].seeds[page]);
				memcpy(expected + 1000, "0123456789", 10);
				CHECK(memcmp(at, expected, PAGE) == 0, "area %d, page %zu, after read(2)", i, page);
				expect_page(at, areas[i].seeds[page]);
			}
		}
	MUST(close(fds[0]));
	MUST(close(fds[1]));
	check_all();
}

static void *use_pages(void *argument)
{
	struct area *area = argument;

	for (size_t page = area->pages; page-- > 0;) {
		check_page(area, page);
		if (page % 3 == 0) {
			uint32_t seed = area->seeds[page] ^ 0x80000000u;

			area->seeds[page] = seed;
			state_fill(area->at + page * PAGE, PAGE, seed);
		}
		if (page % 64 == 1)
			discard(area, page, 1);
	}
	check_area(area);
	return NULL;
}

static void threads(void)
{
	pthread_t all[AREAS];

	for (int i = 1; i < AREAS; i++)
		CHECK(pthread_create(&all[i], NULL, use_pages, &areas[i]) == 0, "pthread_create");
	for (int round = 0; round < 5; round++) {
		pid_t child = state_fork();

		/* The others are in the middle of theirs; this one is nobody else's. */
		if (child == 0) {
			check_area(&areas[0]);
			_exit(0);
		}
		move(&areas[0], PAGES);
		state_join(child);
	}
	for (int i = 1; i < AREAS; i++)
		pthread_join(all[i], NULL);
	check_all();
}

static void random_steps(void)
{
	/* As different as the moment. */
	srandom((unsigned)state_now());
	for (int step = 0; step < 400; step++) {
		struct area *area = &areas[random() % AREAS];
		size_t from = (size_t)random() % area->pages, count = 1 + (size_t)random() % 40;

		if (count > area->pages - from)
			count = area->pages - from;
		switch (random() % 16) {
		case 0:
			discard(area, from, count);
			break;
		case 1:
		case 2:
			/* What was mapped anew is an area of its own, and mremap moves only one. */
			if ((area - areas) % 2)
				move(area, PAGES / 2 + (size_t)random() % PAGES);
			else
				replace(area, from, count);
			break;
		case 3:
			if (random() % 4 == 0)
				in_child(check_all);
			break;
		case 4:
			MUST(mprotect(area->at + from * PAGE, count * PAGE, PROT_READ));
			check_page(area, from);
			MUST(mprotect(area->at + from * PAGE, count * PAGE, PROT_READ | PROT_WRITE));
			break;
		case 5:
			fill(area, from);
			break;
		default:
			check_page(area, from);
		}
	}
	in_child(check_all);
	check_all();
}

/* Waits far below its arguments. */
static void deep(void)
{
	unsigned char room[64 * PAGE];

	state_fill(room, sizeof(room), 1);
	state_ready();
	state_wait_go();
	CHECK_FILL(room, sizeof(room), 1);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} cases[] = {
		{ "children", children }, { "discarded", discarded }, { "moved", moved },   { "unmapped", unmapped },
		{ "protected", parted },  { "calls", calls },	      { "threads", threads },	  { "random", random_steps },
	};

	state_begin(argc, argv);
	for (int i = 0; i < AREAS; i++) {
		areas[i].at = MUST(mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		areas[i].pages = PAGES;
		for (size_t page = 0; page < PAGES; page++)
			if (page % 11 != 4)
				fill(&areas[i], page);
	}
	if (strcmp(state_case, "deep") == 0) {
		deep();
		check_all();
	} else {
		state_ready();
		state_wait_go();
	}
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		if (strcmp(cases[i].name, state_case) == 0)
			cases[i].run();
	state_pass();
}
