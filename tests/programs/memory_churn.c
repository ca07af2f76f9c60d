/*
 * Subject: memory that never rests: threads write to it, by themselves and by the kernel, while its areas are mapped anew, moved, grown, shrunk, dropped, split and
 * joined, and while children are forked and others execute programs; every page of every process is compared with a model kept beside it.
 * Cases: 1 2
 */
#include "state.h"
#include <sys/uio.h>

#define CELL_PAGES 32
#define CELL (CELL_PAGES * PAGE)
#define CELLS 48
#define HUGE_PAGES 1024
#define HEAP_PAGES 512
#define WRITERS 2
#define OF_FILE UINT64_MAX
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

/* What each page must be: zero, filled from a seed, or what the file has there. */
struct cell {
	pthread_mutex_t lock;
	int mapped, of_file;
	uint64_t pages[CELL_PAGES];
};

static unsigned char *const arena = (unsigned char *)0x200000000000;
static struct cell cells[CELLS];
static unsigned char *huge, *heap;
static uint64_t huge_model[HUGE_PAGES], heap_model[HEAP_PAGES];
static int heap_pages, file, ends[2], stop, child_count, is_child;
static pid_t children[3];

static unsigned char *at(int cell, int page)
{
	return arena + (size_t)cell * CELL + (size_t)page * PAGE;
}

static void check_page(const unsigned char *memory, uint64_t model, const char *what, int number)
{
	long differs = model == 0 ? state_nonzero(memory, PAGE) : state_differs(memory, PAGE, model);

	CHECK(differs < 0, "%s, page %d at %p: byte %ld is not that of seed %llx", what, number, (const void *)memory, differs, (unsigned long long)model);
}

static void verify(int cell)
{
	if (!cells[cell].mapped)
		return;
	for (int i = 0; i < CELL_PAGES; i++)
		check_page(at(cell, i), cells[cell].pages[i] == OF_FILE ? 1000 + (uint64_t)i : cells[cell].pages[i], "cell", cell * CELL_PAGES + i);
}

static void verify_all(void)
{
	for (int i = 0; i < CELLS; i++)
		verify(i);
	for (int i = 0; i < HUGE_PAGES; i++)
		check_page(huge + i * PAGE, huge_model[i], "huge", i);
	for (int i = 0; i < heap_pages; i++)
		check_page(heap + i * PAGE, heap_model[i], "heap", i);
}

static void map(int cell, int of_file)
{
	if (of_file)
		MUST(mmap(at(cell, 0), CELL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, file, 0));
	else
		MUST(mmap(at(cell, 0), CELL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0));
	cells[cell].mapped = 1;
	cells[cell].of_file = of_file;
	for (int i = 0; i < CELL_PAGES; i++)
		cells[cell].pages[i] = of_file ? OF_FILE : 0;
}

/* A page is written by this thread, by read(2), or by another process. */
static void write_page(unsigned char *page, uint64_t *model, uint64_t *chance)
{
	uint64_t seed = state_random(chance) % 6 ? state_random(chance) >> 1 | 1 : 0;
	unsigned char bytes[PAGE];

	if (seed)
		state_fill(bytes, PAGE, seed);
	else
		memset(bytes, 0, PAGE);
	if (!is_child && state_random(chance) % 4 == 0) {
		static pthread_mutex_t pipe_lock = PTHREAD_MUTEX_INITIALIZER;

		pthread_mutex_lock(&pipe_lock);
		EQUAL(write(ends[1], bytes, PAGE), (long)PAGE);
		for (size_t done = 0; done < PAGE;)
			done += (size_t)MUST(read(ends[0], page + done, PAGE - done));
		pthread_mutex_unlock(&pipe_lock);
	} else {
		memcpy(page, bytes, PAGE);
	}
	*model = seed;
}

static void write_some(int cell, uint64_t *chance)
{
	pthread_mutex_lock(&cells[cell].lock);
	for (int n = (int)(state_random(chance) % 4); cells[cell].mapped && n >= 0; n--) {
		int page = (int)(state_random(chance) % CELL_PAGES);

		write_page(at(cell, page), &cells[cell].pages[page], chance);
	}
	pthread_mutex_unlock(&cells[cell].lock);
}

static void *writer(void *argument)
{
	uint64_t chance = 0xabc + (uint64_t)(long)argument * 77 + (uint64_t)atoll(state_case);

	while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
		write_some((int)(state_random(&chance) % CELLS), &chance);
		usleep((useconds_t)(state_random(&chance) % 300));
	}
	return NULL;
}

static void *short_lived(void *argument)
{
	uint64_t chance = (uint64_t)(long)argument | 1;

	write_some((int)(state_random(&chance) % CELLS), &chance);
	return NULL;
}

static void drop(int cell, uint64_t *chance)
{
	int first = (int)(state_random(chance) % CELL_PAGES), count = 1 + (int)(state_random(chance) % (uint64_t)(CELL_PAGES - first));

	MUST(madvise(at(cell, first), (size_t)count * PAGE, MADV_DONTNEED));
	for (int i = first; i < first + count; i++)
		cells[cell].pages[i] = cells[cell].of_file ? OF_FILE : 0;
}

static void move(int from, int to, int keep)
{
	int flags = MREMAP_MAYMOVE | MREMAP_FIXED | (keep ? MREMAP_DONTUNMAP : 0);

	MUST(mremap(at(from, 0), CELL, CELL, flags, at(to, 0)));
	cells[to].mapped = 1;
	cells[to].of_file = cells[from].of_file;
	memcpy(cells[to].pages, cells[from].pages, sizeof(cells[to].pages));
	if (keep)
		memset(cells[from].pages, 0, sizeof(cells[from].pages));
	else
		cells[from].mapped = 0;
}

/* One step in the areas of one cell, or of two. */
static void change(uint64_t *chance)
{
	int cell = (int)(state_random(chance) % CELLS), other = (int)(state_random(chance) % CELLS);
	int first = cell < other ? cell : other, second = cell < other ? other : cell;

	pthread_mutex_lock(&cells[first].lock);
	if (first != second)
		pthread_mutex_lock(&cells[second].lock);
	switch (cells[cell].mapped ? state_random(chance) % 10 : 0) {
	case 0:
		map(cell, state_random(chance) % 5 == 0);
		break;
	case 1:
		MUST(munmap(at(cell, 0), CELL));
		cells[cell].mapped = 0;
		break;
	case 2:
	case 3:
		drop(cell, chance);
		break;
	case 4:
		if (cell != other)
			move(cell, other, 0);
		break;
	case 5:
		if (cell != other && !cells[cell].of_file)
			move(cell, other, 1);
		break;
	case 6:		/* half of it goes, and comes back in place */
		if (!cells[cell].of_file) {
			MUST(mremap(at(cell, 0), CELL, CELL / 2, 0));
			MUST(mremap(at(cell, 0), CELL / 2, CELL, 0));
			memset(&cells[cell].pages[CELL_PAGES / 2], 0, CELL_PAGES / 2 * sizeof(uint64_t));
		}
		break;
	case 7: {	/* split, or joined again */
		int page = (int)(state_random(chance) % (CELL_PAGES - 1));

		MUST(mprotect(at(cell, page), 2 * PAGE, PROT_READ));
		verify(cell);
		MUST(mprotect(at(cell, page), 2 * PAGE, PROT_READ | PROT_WRITE));
		break;
	}
	case 8:		/* may be dropped at any time, until it is written again */
		if (!cells[cell].of_file) {
			MUST(madvise(at(cell, 0), 4 * PAGE, MADV_FREE));
			for (int i = 0; i < 4; i++)
				write_page(at(cell, i), &cells[cell].pages[i], chance);
		}
		break;
	default:
		verify(cell);
	}
	if (first != second)
		pthread_mutex_unlock(&cells[second].lock);
	pthread_mutex_unlock(&cells[first].lock);
}

static void change_huge(uint64_t *chance)
{
	switch (state_random(chance) % 4) {
	case 0: {
		int half = (int)(state_random(chance) % 2) * (HUGE_PAGES / 2);

		MUST(madvise(huge + half * PAGE, HUGE_PAGES / 2 * PAGE, MADV_DONTNEED));
		memset(huge_model + half, 0, HUGE_PAGES / 2 * sizeof(uint64_t));
		break;
	}
	case 1:		/* where the kernel can */
		madvise(huge, HUGE_PAGES * PAGE, MADV_COLLAPSE);
		break;
	default:
		for (int i = 0; i < 8; i++) {
			int page = (int)(state_random(chance) % HUGE_PAGES);

			write_page(huge + page * PAGE, &huge_model[page], chance);
		}
	}
}

static void change_heap(uint64_t *chance)
{
	if (heap_pages + 16 <= HEAP_PAGES && !is_child && sbrk(0) == heap + heap_pages * PAGE && state_random(chance) % 2) {
		CHECK(sbrk(16 * PAGE) != (void *)-1, "sbrk: %s", strerror(errno));
		heap_pages += 16;
	}
	for (int i = 0; i < 4 && heap_pages; i++) {
		int page = (int)(state_random(chance) % (uint64_t)heap_pages);

		write_page(heap + page * PAGE, &heap_model[page], chance);
	}
}

static void all_locks(int (*operation)(pthread_mutex_t *))
{
	for (int i = 0; i < CELLS; i++)
		operation(&cells[i].lock);
}

static void plan(uint64_t *chance, int steps);

/* A child has what its parent had, goes on by itself for a while, and ends; one in two executes a program that does the same with its own memory. */
static void bear(uint64_t *chance)
{
	uint64_t own = state_random(chance);
	int executes = state_random(chance) % 2 != 0;

	if (child_count == 3) {
		state_join(children[0]);
		memmove(children, children + 1, sizeof(children) - sizeof(children[0]));
		child_count--;
	}
	all_locks(pthread_mutex_lock);
	pid_t pid = state_fork();

	if (pid == 0) {
		for (int i = 0; i < CELLS; i++)
			pthread_mutex_init(&cells[i].lock, NULL);
		is_child = 1;
		child_count = 0;
		verify_all();
		plan(&own, 20);
		verify_all();
		if (executes) {
			execl("/proc/self/exe", "memory_churn", state_dir, state_case, "leaf", NULL);
			state_fail("execl: %s", strerror(errno));
		}
		plan(&own, 60);
		verify_all();
		_exit(0);
	}
	all_locks(pthread_mutex_unlock);
	children[child_count++] = pid;
}

/* Another process writes into this one's memory. */
static void written_from_outside(uint64_t *chance)
{
	int cell = (int)(state_random(chance) % CELLS), page = (int)(state_random(chance) % CELL_PAGES);
	uint64_t seed = state_random(chance) >> 1 | 1;

	pthread_mutex_lock(&cells[cell].lock);
	if (cells[cell].mapped) {
		pid_t parent = getpid(), pid = state_fork();

		if (pid == 0) {
			unsigned char bytes[PAGE];
			struct iovec local = {bytes, PAGE}, remote = {at(cell, page), PAGE};

			state_fill(bytes, PAGE, seed);
			_exit(process_vm_writev(parent, &local, 1, &remote, 1, 0) == (long)PAGE ? 0 : 1);
		}
		int status;

		EQUAL(waitpid(pid, &status, 0), pid);
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
			cells[cell].pages[page] = seed;
	}
	pthread_mutex_unlock(&cells[cell].lock);
}

static void plan(uint64_t *chance, int steps)
{
	for (int step = 0; step < steps; step++) {
		switch (state_random(chance) % 16) {
		case 0:
			change_huge(chance);
			break;
		case 1:
			change_heap(chance);
			break;
		case 2:
			if (!is_child)
				pthread_join(state_thread(short_lived, (void *)(long)(state_random(chance) >> 1)), NULL);
			break;
		case 3:
			if (!is_child && state_random(chance) % 4 == 0)
				bear(chance);
			break;
		case 4:
			if (!is_child && state_random(chance) % 4 == 0)
				written_from_outside(chance);
			break;
		case 5:
		case 6:
		case 7:
		case 8:
			change(chance);
			break;
		default:
			write_some((int)(state_random(chance) % CELLS), chance);
		}
		usleep((useconds_t)(state_random(chance) % 200));
	}
}

static void prepare(void)
{
	unsigned char bytes[PAGE];

	for (int i = 0; i < CELLS; i++)
		pthread_mutex_init(&cells[i].lock, NULL);
	MUST(pipe2(ends, O_CLOEXEC));
	file = MUST(open(state_path("mapped"), is_child ? O_RDONLY | O_CLOEXEC : O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	for (int i = 0; i < CELL_PAGES && !is_child; i++) {
		state_fill(bytes, PAGE, 1000 + (uint64_t)i);
		EQUAL(pwrite(file, bytes, PAGE, i * (long)PAGE), (long)PAGE);
	}
	huge = MUST(mmap(arena + (1ul << 32), HUGE_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	madvise(huge, HUGE_PAGES * PAGE, MADV_HUGEPAGE);
	heap = sbrk(0);
	CHECK(sbrk((long)(PAGE - (uintptr_t)heap % PAGE)) != (void *)-1, "sbrk: %s", strerror(errno));
	heap = sbrk(0);
}

int main(int argc, char **argv)
{
	pthread_t writers[WRITERS];
	uint64_t chance;

	if (argc == 4) {	/* what a child executes */
		snprintf(state_dir, sizeof(state_dir), "%s", argv[1]);
		state_case = argv[2];
		is_child = 1;
		chance = (uint64_t)getpid();
		prepare();
		plan(&chance, 150);
		verify_all();
		_exit(0);
	}
	state_begin(argc, argv);
	chance = 0xc4u + (uint64_t)atoll(state_case) * 1000003;
	prepare();
	plan(&chance, 100);
	for (long i = 0; i < WRITERS; i++)
		writers[i] = state_thread(writer, (void *)i);
	plan(&chance, 100);
	state_ready();
	while (!state_exists("go"))
		plan(&chance, 10);
	plan(&chance, 50);
	__atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < WRITERS; i++)
		pthread_join(writers[i], NULL);
	verify_all();
	while (child_count)
		state_join(children[--child_count]);
	state_pass();
}
