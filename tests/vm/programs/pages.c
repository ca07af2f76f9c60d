// SPDX-License-Identifier: GPL-2.0
/* Pages out and in, held against /proc/PID/mem and /proc/PID/pagemap. */
#include "kit.h"

#define USER_END ((1UL << 47) - PAGE)

/* Told by a victim of its memory. */
struct told {
	uint8_t *start;
	size_t size;
	volatile uint64_t word;
};

static uint64_t random_state;

static uint64_t random_number(void)
{
	random_state = random_state * 6364136223846793005UL + 1442695040888963407UL;
	return random_state >> 16;
}

static void fill(uint8_t *page)
{
	for (size_t i = 0; i < PAGE; i += 8)
		*(uint64_t *)(page + i) = random_number() | 1;
}

static uint8_t *map(size_t size, int rights, int flags)
{
	uint8_t *memory = mmap(NULL, size, rights, MAP_ANONYMOUS | flags, -1, 0);

	CHECK(memory != MAP_FAILED);
	return memory;
}

static int memory_of(pid_t pid)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0);
	return fd;
}

/* Every record has the bytes that the process has there. */
static size_t compare(const struct pages *pages, pid_t pid)
{
	const struct ckpt_page *page = NULL;
	int memory = memory_of(pid);
	uint64_t before = 0;
	size_t count = 0;

	while ((page = next_page(pages, page))) {
		uint8_t there[PAGE];

		CHECK(!count++ || page->address > before);
		before = page->address;
		CHECK(!(page->flags & CKPT_PAGE_UNREADABLE));
		CHECK(pread(memory, there, PAGE, page->address) == (ssize_t)PAGE);
		CHECK(!memcmp(contents_of(page), there, PAGE));
	}
	close(memory);
	return count;
}

static bool has_page(const struct pages *pages, uint64_t address)
{
	const struct ckpt_page *page = NULL;

	while ((page = next_page(pages, page)))
		if (page->address == address)
			return true;
	return false;
}

/* Areas of every kind, at random used or not. */
static void random_memory(void *unused)
{
	uint8_t *hidden, *read_only, *shared, *large;

	(void)unused;
	for (int i = 0; i < 40; i++) {
		size_t pages = 1 + random_number() % 700;
		uint8_t *memory = map(pages * PAGE, PROT_READ | PROT_WRITE, random_number() % 4 ? MAP_PRIVATE : MAP_SHARED);

		for (size_t page = 0; page < pages; page++)
			switch (random_number() % 5) {
			case 0:
				fill(memory + page * PAGE);
				break;
			case 1:
				memory[page * PAGE] = 0;
				break;
			case 2:
				/* Only read: the page of zeros. */
				CHECK(*(volatile uint8_t *)(memory + page * PAGE) == 0);
				break;
			}
	}
	hidden = map(8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	fill(hidden + PAGE);
	CHECK(!mprotect(hidden, 8 * PAGE, PROT_NONE));
	read_only = map(8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	fill(read_only + PAGE);
	CHECK(!mprotect(read_only, 8 * PAGE, PROT_READ));
	shared = map(8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	fill(shared + 3 * PAGE);
	large = map(8UL << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	madvise(large, 8UL << 20, MADV_HUGEPAGE);
	for (size_t at = 0; at < 8UL << 20; at += 64 * PAGE)
		fill(large + at);
	idle(NULL);
}

/* What pagemap calls the process's own (bit 61 clear), present or swapped (63, 62), must be there. */
static void nothing_is_missing(const struct pages *pages, pid_t pid)
{
	char path[64], line[4400];
	const struct ckpt_page *page = next_page(pages, NULL);
	int pagemap, memory = memory_of(pid);
	static const uint8_t zeros[PAGE];
	uint8_t there[PAGE];
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	pagemap = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "re");
	CHECK(pagemap >= 0 && maps);
	while (fgets(line, sizeof(line), maps)) {
		unsigned long start, end;

		CHECK(sscanf(line, "%lx-%lx", &start, &end) == 2);
		if (strstr(line, "[v"))
			continue;
		for (uint64_t address = start; address < end; address += PAGE) {
			uint64_t entry;

			CHECK(pread(pagemap, &entry, 8, address / PAGE * 8) == 8);
			while (page && page->address < address)
				page = next_page(pages, page);
			if ((page && page->address == address) || !(entry >> 62) || (entry & 1UL << 61))
				continue;
			/* Nothing but the page of zeros may be left out. */
			CHECK(pread(memory, there, PAGE, address) == (ssize_t)PAGE);
			CHECK(!memcmp(there, zeros, PAGE));
		}
	}
	fclose(maps);
	close(pagemap);
	close(memory);
}

TEST(pages_are_those_of_the_process_and_none_is_missing)
{
	for (int seed = 1; seed <= 3; seed++) {
		random_state = seed;
		pid_t pid = victim(random_memory, NULL);
		int session = frozen_session(pid);
		struct pages pages = take_pages(session, CKPT_PAGES, pid, 0, USER_END, 4 << 20);

		CHECK(compare(&pages, pid) > 2000);
		nothing_is_missing(&pages, pid);
		close(session);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
}

TEST(a_small_buffer_gives_the_same_in_more_calls)
{
	random_state = 4;
	pid_t pid = victim(random_memory, NULL);
	int session = frozen_session(pid);
	struct pages large = take_pages(session, CKPT_PAGES, pid, 0, USER_END, 8 << 20);
	struct pages small = take_pages(session, CKPT_PAGES, pid, 0, USER_END, 3 * (sizeof(struct ckpt_page) + PAGE) + 17);

	CHECK(large.length == small.length && !memcmp(large.data, small.data, large.length));
}

static void sparse_memory(void *argument)
{
	struct told *told = argument;

	told->size = 4UL << 40;
	told->start = map(told->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE);
	/* A huge page would be used as a whole. */
	madvise(told->start, told->size, MADV_NOHUGEPAGE);
	fill(told->start);
	fill(told->start + told->size / 2);
	fill(told->start + told->size - PAGE);
	idle(NULL);
}

TEST(four_tebibytes_of_holes_cost_nothing)
{
	struct told *told = shared_memory(PAGE);
	pid_t pid = victim(sparse_memory, told);
	int session = frozen_session(pid);
	uint64_t start = (uintptr_t)told->start;
	struct pages pages = take_pages(session, CKPT_PAGES, pid, start, start + told->size, 1 << 20);

	CHECK(compare(&pages, pid) == 3);
	CHECK(has_page(&pages, start) && has_page(&pages, start + told->size / 2) && has_page(&pages, start + told->size - PAGE));
}

static void only_read(void *argument)
{
	struct told *told = argument;

	told->size = 16UL << 20;
	told->start = map(told->size, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	madvise(told->start, told->size, MADV_HUGEPAGE);
	for (size_t at = 0; at < told->size; at += PAGE)
		CHECK(!*(volatile uint8_t *)(told->start + at));
	idle(NULL);
}

TEST(memory_that_was_only_read_is_not_used_huge_or_not)
{
	struct told *told = shared_memory(PAGE);
	pid_t pid = victim(only_read, told);
	int session = frozen_session(pid);
	uint64_t start = (uintptr_t)told->start;

	CHECK(!take_pages(session, CKPT_PAGES, pid, start, start + told->size, 1 << 20).length);
}

static void huge_pages(void *argument)
{
	struct told *told = argument;

	told->size = 6UL << 20;
	told->start = mmap(NULL, told->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	CHECK(told->start != MAP_FAILED);
	/* The one in the middle stays a hole. */
	fill(told->start + PAGE);
	fill(told->start + told->size - PAGE);
	idle(NULL);
}

TEST(reserved_huge_pages_are_taken_where_they_are_used)
{
	struct told *told = shared_memory(PAGE);

	write_file("/proc/sys/vm/nr_hugepages", "8");
	pid_t pid = victim(huge_pages, told);
	int session = frozen_session(pid);
	uint64_t start = (uintptr_t)told->start;
	struct pages pages = take_pages(session, CKPT_PAGES, pid, start, start + told->size, 1 << 20);

	CHECK(compare(&pages, pid) == 1024);
	CHECK(has_page(&pages, start + PAGE) && has_page(&pages, start + told->size - PAGE));
	CHECK(!has_page(&pages, start + (2UL << 20)));
	write_file("/proc/sys/vm/nr_hugepages", "0");
}

static void some_memory(void *argument)
{
	struct told *told = argument;

	told->size = 64 * PAGE;
	told->start = map(told->size, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	random_state = 9;
	for (size_t at = 0; at < told->size; at += PAGE)
		fill(told->start + at);
	ready();
	for (;;) {
		/* Writes to the pages that it is told, one bit each. */
		uint64_t which = told->word;

		for (int i = 0; i < 64; i++)
			if (which & 1UL << i)
				told->start[i * PAGE + i]++;
		if (which)
			told->word = 0;
	}
}

TEST(dirty_pages_are_those_that_were_written_since_the_reset)
{
	struct told *told = shared_memory(PAGE);
	pid_t pid = victim(some_memory, told);
	int session = open_session();
	struct ckpt_freeze call;
	char path[64];

	CHECK(!attach(session, pid, 0));
	snprintf(path, sizeof(path), "/proc/%d/clear_refs", pid);
	random_state = 77;
	for (int round = 0; round < 10; round++) {
		uint64_t which = (random_number() ^ random_number() << 32) | 1, start = (uintptr_t)told->start;

		write_file(path, "4");
		told->word = which;
		while (told->word)
			sched_yield();
		CHECK(!freeze(session, &call, 20000));
		struct pages dirty = take_pages(session, CKPT_DIRTY, pid, start, start + told->size, 1 << 20);
		struct pages all = take_pages(session, CKPT_PAGES, pid, start, start + told->size, 1 << 20);

		CHECK(compare(&dirty, pid) == (size_t)__builtin_popcountl(which));
		CHECK(compare(&all, pid) == 64);
		for (int i = 0; i < 64; i++)
			CHECK(has_page(&dirty, start + i * PAGE) == !!(which & 1UL << i));
		CHECK(!thaw(session));
		free(dirty.data);
		free(all.data);
	}
}

static void damage(const struct pages *pages, pid_t pid)
{
	const struct ckpt_page *page = NULL;
	uint8_t other[PAGE];
	int memory = memory_of(pid);

	memset(other, 0xee, PAGE);
	while ((page = next_page(pages, page)))
		CHECK(pwrite(memory, other, PAGE, page->address) == (ssize_t)PAGE);
	close(memory);
}

TEST(pages_that_are_put_back_are_what_they_were)
{
	struct told *told = shared_memory(PAGE);
	pid_t pid = victim(some_memory, told);
	int session = frozen_session(pid);
	uint64_t start = (uintptr_t)told->start;
	struct pages pages = take_pages(session, CKPT_PAGES, pid, start, start + told->size, 1 << 20);
	struct ckpt_put put = { .size = sizeof(put), .pid = pid, .buffer = (uintptr_t)pages.data, .length = pages.length };

	CHECK(compare(&pages, pid) == 64);
	damage(&pages, pid);
	CHECK(!ioctl(session, CKPT_PUT, &put));
	CHECK(put.length == pages.length);
	CHECK(compare(&pages, pid) == 64);
}

TEST(a_record_that_cannot_be_put_is_named_and_those_before_it_are_in)
{
	struct told *told = shared_memory(PAGE);
	pid_t pid = victim(some_memory, told);
	int session = frozen_session(pid);
	uint64_t start = (uintptr_t)told->start;
	struct pages pages = take_pages(session, CKPT_PAGES, pid, start, start + told->size, 1 << 20);
	size_t record = sizeof(struct ckpt_page) + PAGE;
	struct ckpt_page *second = (struct ckpt_page *)(pages.data + record), good = *second;
	struct ckpt_put put = { .size = sizeof(put), .pid = pid, .buffer = (uintptr_t)pages.data };

#define WRONG(error, change)                                                                  \
	do {                                                                                  \
		put.length = pages.length;                                                    \
		*second = good;                                                               \
		second->change;                                                               \
		FAILS(error, ioctl(session, CKPT_PUT, &put));                                 \
		CHECK(put.length == record);                                                  \
	} while (0)
	WRONG(EFAULT, address = 4096);
	WRONG(EINVAL, address = good.address + 1);
	WRONG(EINVAL, address = -4096UL);
	WRONG(EINVAL, address = 1UL << 56);
	WRONG(EINVAL, size = 0);
	WRONG(EINVAL, size = 31);
	WRONG(EINVAL, size = good.size + 8);
	WRONG(EINVAL, flags |= CKPT_PAGE_ZERO);
	WRONG(EINVAL, flags |= CKPT_PAGE_END);
	WRONG(EINVAL, flags |= 1U << 31);
	WRONG(EINVAL, reserved = 1);
	*second = good;
	for (put.length = 1; put.length < 2 * record; put.length = put.length + 1000) {
		uint64_t length = put.length;

		if (length % record == 0)
			continue;
		FAILS(EINVAL, ioctl(session, CKPT_PUT, &put));
		CHECK(put.length == length / record * record);
		put.length = length;
	}
	put.length = (uint64_t)CKPT_BUFFER_MAX + 1;
	FAILS(EINVAL, ioctl(session, CKPT_PUT, &put));
}

static void run_session(const char *how, pid_t pid, const char *file)
{
	char command[1024], directory[512];
	ssize_t length = readlink("/proc/self/exe", directory, sizeof(directory) - 1);

	CHECK(length > 0);
	directory[length] = 0;
	*strrchr(directory, '/') = 0;
	/* Small and odd pieces too: the stream does not depend on them. */
	snprintf(command, sizeof(command), "%s/ckpt-session %s %d %s dd bs=%s %s=%s status=none", directory, how, pid, group,
		 *how == 'r' ? "70001" : "1M", *how == 'r' ? "of" : "if", file);
	CHECK(system(command) == 0);
}

TEST(dd_takes_the_pages_of_a_process_and_puts_them_back)
{
	struct told *told = shared_memory(PAGE);
	pid_t pid = victim(some_memory, told);
	uint64_t start = (uintptr_t)told->start;
	char path[64];
	int session;

	snprintf(path, sizeof(path), "/run/pages-%d", getpid());
	run_session("read", pid, path);

	session = frozen_session(pid);
	struct pages before = take_pages(session, CKPT_PAGES, pid, start, start + told->size, 1 << 20);

	damage(&before, pid);
	CHECK(!close(session));
	run_session("write", pid, path);

	session = frozen_session(pid);
	struct pages after = take_pages(session, CKPT_PAGES, pid, start, start + told->size, 1 << 20);

	CHECK(after.length == before.length && !memcmp(after.data, before.data, after.length));
	CHECK(compare(&after, pid) == 64);
	CHECK(!close(session));
	CHECK(!unlink(path));
	/* It still does what it did. */
	told->word = 1;
	while (told->word)
		sched_yield();
}

/* The whole stream, in pieces of this size. */
static struct pages take_stream(int session, pid_t pid, size_t piece)
{
	struct pages stream = { 0 };
	ssize_t got;

	CHECK(!choose(session, pid, CKPT_SELECT_READ, 0));
	do {
		stream.data = realloc(stream.data, stream.length + piece);
		CHECK(stream.data != NULL);
		got = read(session, stream.data + stream.length, piece);
		CHECK(got >= 0);
		stream.length += got;
	} while (got);
	return stream;
}

TEST(a_stream_has_a_header_the_used_pages_and_their_number)
{
	random_state = 5;
	pid_t pid = victim(random_memory, NULL);
	int session = frozen_session(pid);
	struct pages stream = take_stream(session, pid, 1 << 20), odd = take_stream(session, pid, 4099);
	struct pages pages = take_pages(session, CKPT_PAGES, pid, 0, USER_END, 8 << 20);
	const struct ckpt_stream *header = (const void *)stream.data;
	const struct ckpt_page *end = (const void *)(stream.data + stream.length - sizeof(*end));

	CHECK(odd.length == stream.length && !memcmp(odd.data, stream.data, odd.length));
	CHECK(header->size == sizeof(*header) && header->magic == CKPT_STREAM_MAGIC && header->version == CKPT_ABI_VERSION);
	CHECK(header->page_size == PAGE && header->pid == pid);
	CHECK(stream.length == sizeof(*header) + pages.length + sizeof(*end));
	CHECK(!memcmp(stream.data + sizeof(*header), pages.data, pages.length));
	CHECK(end->flags == CKPT_PAGE_END && end->address == compare(&pages, pid) && header->pages >= end->address);
}

TEST(splice_gives_what_read_gives)
{
	struct told *told = shared_memory(PAGE);
	pid_t pid = victim(some_memory, told);
	int session = frozen_session(pid), ends[2];
	struct pages stream = take_stream(session, pid, 1 << 20);
	uint8_t *copy = malloc(stream.length);
	size_t length = 0;
	ssize_t got;

	CHECK(copy && !pipe(ends));
	CHECK(!choose(session, pid, CKPT_SELECT_READ, 0));
	while ((got = splice(session, NULL, ends[1], NULL, 60000, 0)) > 0)
		for (ssize_t left = got; left;) {
			CHECK(length + left <= stream.length);
			got = read(ends[0], copy + length, left);
			CHECK(got > 0);
			length += got;
			left -= got;
		}
	CHECK(!got);
	CHECK(length == stream.length && !memcmp(copy, stream.data, length));
}

TEST(a_damaged_stream_is_refused_and_stays_refused)
{
	struct told *told = shared_memory(PAGE);
	pid_t pid = victim(some_memory, told);
	int session = frozen_session(pid);
	struct pages stream = take_stream(session, pid, 1 << 20);
	struct ckpt_stream *header = (void *)stream.data, good = *header;
	struct ckpt_page *end = (void *)(stream.data + stream.length - sizeof(*end));
	const struct ckpt_page *first = (const void *)(stream.data + sizeof(*header));

	CHECK(!choose(session, pid, CKPT_SELECT_WRITE, 0));
	CHECK(write(session, stream.data, stream.length) == (ssize_t)stream.length);
	FAILS(ENOSPC, write(session, stream.data, 1));
#define REFUSED(error)                                                                        \
	do {                                                                                  \
		CHECK(!choose(session, pid, CKPT_SELECT_WRITE, 0));                           \
		FAILS(error, write(session, stream.data, stream.length));                     \
		FAILS(error, write(session, stream.data, stream.length));                     \
		*header = good;                                                               \
	} while (0)
	header->magic++;
	REFUSED(EINVAL);
	header->version++;
	REFUSED(EINVAL);
	header->page_size *= 2;
	REFUSED(EINVAL);
	header->size++;
	REFUSED(EINVAL);
	header->flags = 1U << 30;
	REFUSED(EINVAL);
	end->address--;
	REFUSED(EBADMSG);
	end->address++;
	end->vma_flags = 1;
	REFUSED(EINVAL);
	end->vma_flags = 0;
	/* A page is missing. */
	CHECK(!choose(session, pid, CKPT_SELECT_WRITE, 0));
	CHECK(write(session, stream.data, sizeof(*header)) == sizeof(*header));
	FAILS(EBADMSG, write(session, (const uint8_t *)first + first->size, stream.length - sizeof(*header) - first->size));
}

static void leave_at_once(void *argument)
{
	struct told *told = argument;

	told->size = 2048 * PAGE;
	told->start = map(told->size, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	for (size_t at = 0; at < told->size; at += PAGE)
		fill(told->start + at);
	idle(NULL);
}

static void *kill_soon(void *pid)
{
	for (int i = 0; i < 50; i++)
		sched_yield();
	kill((pid_t)(intptr_t)pid, SIGKILL);
	return NULL;
}

TEST(a_process_that_vanishes_under_a_call_is_only_gone)
{
	static uint8_t buffer[1 << 20];
	struct told *told = shared_memory(PAGE);

	for (int i = 0; i < 20; i++) {
		pid_t pid = victim(leave_at_once, told);
		int session = frozen_session(pid);
		ssize_t got = 1;
		pthread_t thread;

		CHECK(!pthread_create(&thread, NULL, kill_soon, (void *)(intptr_t)pid));
		while (got > 0) {
			if (choose(session, pid, CKPT_SELECT_READ, 0)) {
				CHECK(errno == ESRCH);
				break;
			}
			while ((got = read(session, buffer, sizeof(buffer))) > 0)
				;
			if (!got)
				got = 1;
			else
				CHECK(errno == ESRCH || errno == EBUSY);
		}
		CHECK(!pthread_join(thread, NULL));
		CHECK(waitpid(pid, NULL, 0) == pid);
		close(session);
	}
}
