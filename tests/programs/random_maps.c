/*
 * Subject: a random plan of maps, unmaps, protections, moves, writes and forks from a seed (the case);
 * every byte and every protection of every process is compared with a model kept beside it.
 * Cases: 1 2 3
 */
#include "state.h"

#define SLOTS 512			/* pages of the arena */
#define STEPS 400

/* The model: what each page of the arena must be. */
struct page {
	char mapped, protection, filled;
	uint64_t seed;
};

static unsigned char *arena;
static struct page model[SLOTS];
static uint64_t chance;
static pid_t forked[8];
static int fork_count;

static void protect(int first, int count, int protection)
{
	MUST(mprotect(arena + first * PAGE, count * PAGE, protection));
}

static void step(void)
{
	int first = state_random(&chance) % SLOTS, count = 1 + state_random(&chance) % 24;

	if (first + count > SLOTS)
		count = SLOTS - first;
	switch (state_random(&chance) % 8) {
	case 0:		/* map anew, over whatever is there */
	case 1: {
		int protection = state_random(&chance) % 8;

		MUST(mmap(arena + first * PAGE, count * PAGE, protection,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0));
		for (int i = first; i < first + count; i++)
			model[i] = (struct page){1, (char)protection, 0, 0};
		break;
	}
	case 2:
		count = count > 6 ? 6 : count;
		MUST(munmap(arena + first * PAGE, count * PAGE));
		for (int i = first; i < first + count; i++)
			model[i] = (struct page){0};
		break;
	case 3: {	/* protections of what is mapped */
		int protection = state_random(&chance) % 8;

		for (int i = first; i < first + count; i++)
			if (model[i].mapped) {
				protect(i, 1, protection);
				model[i].protection = (char)protection;
			}
		break;
	}
	case 4: {	/* move one mapped page to elsewhere */
		int to = state_random(&chance) % SLOTS;

		if (model[first].mapped && to != first) {
			MUST(mremap(arena + first * PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, arena + to * PAGE));
			model[to] = model[first];
			model[first] = (struct page){0};
		}
		break;
	}
	case 5:		/* drop contents */
		for (int i = first; i < first + count; i++)
			if (model[i].mapped) {
				MUST(madvise(arena + i * PAGE, PAGE, MADV_DONTNEED));
				model[i].filled = 0;
			}
		break;
	default:
		for (int i = first; i < first + count; i++)
			if (model[i].mapped) {
				protect(i, 1, PROT_READ | PROT_WRITE);
				model[i].seed = state_random(&chance);
				model[i].filled = state_random(&chance) % 5 ? 1 : 2;
				if (model[i].filled == 1)
					state_fill(arena + i * PAGE, PAGE, model[i].seed);
				else	/* written, but zero */
					memset(arena + i * PAGE, 0, PAGE);
				protect(i, 1, model[i].protection);
			}
	}
}

static void compare(void)
{
	char found[SLOTS];
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512], permissions[8];
	unsigned long start, end;

	memset(found, -1, sizeof(found));
	while (fgets(line, sizeof(line), maps)) {
		CHECK(sscanf(line, "%lx-%lx %7s", &start, &end, permissions) == 3, "%s", line);
		for (unsigned long at = start; at < end; at += PAGE) {
			if (at < (unsigned long)arena || at >= (unsigned long)arena + SLOTS * PAGE)
				continue;
			CHECK(permissions[3] == 'p', "shared");
			found[(at - (unsigned long)arena) / PAGE] = (permissions[0] == 'r' ? PROT_READ : 0) |
				(permissions[1] == 'w' ? PROT_WRITE : 0) | (permissions[2] == 'x' ? PROT_EXEC : 0);
		}
	}
	fclose(maps);
	for (int i = 0; i < SLOTS; i++) {
		CHECK(found[i] == (model[i].mapped ? model[i].protection : -1), "page %d: protection %d, expected %d", i, found[i],
		      model[i].mapped ? model[i].protection : -1);
		if (!model[i].mapped)
			continue;
		protect(i, 1, PROT_READ | PROT_WRITE);
		if (model[i].filled == 1)
			CHECK_FILL(arena + i * PAGE, PAGE, model[i].seed);
		else
			CHECK_ZERO(arena + i * PAGE, PAGE);
		protect(i, 1, model[i].protection);
	}
}

int main(int argc, char **argv)
{
	int generation = 0;

	state_begin(argc, argv);
	chance = 0x5eed0000 + (uint64_t)atoll(state_case);
	arena = MUST(mmap(NULL, SLOTS * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
	MUST(munmap(arena, SLOTS * PAGE));
	for (int i = 0; i < STEPS; i++) {
		step();
		if (generation < 3 && fork_count < 3 && state_random(&chance) % 60 == 0) {
			pid_t pid = state_fork();

			if (pid == 0) {
				/* Goes on with a plan of its own from here. */
				chance ^= 0x1234567 * (uint64_t)(fork_count + 1);
				fork_count = 0;
				generation++;
			} else {
				forked[fork_count++] = pid;
			}
		}
	}
	/* Theirs before its own: the first process must not be ready while one of another generation writes. */
	for (int i = 0; i < fork_count; i++)
		state_awaitf("built-%d", forked[i]);
	state_markf("built-%d", getpid());
	if (generation == 0)
		state_ready();
	state_wait_go();
	compare();
	for (int i = 0; i < fork_count; i++)
		state_join(forked[i]);
	if (generation)
		_exit(0);
	state_pass();
}
