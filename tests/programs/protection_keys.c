/*
 * Subject: protection keys of memory: allocated ones with one given back in between, those of areas, one of an area whose key was given
 * back, memory that may only be executed, and what threads may do with them.
 */
#include "state.h"
#include <setjmp.h>

enum { READABLE, HIDDEN, SPARE, ORPHAN, KEYS };

static int keys[KEYS];
static unsigned char *areas[KEYS], *code;
static pthread_barrier_t barrier;
static sigjmp_buf back;
static volatile int key_of_fault;

static void fault(int signal STATE_UNUSED, siginfo_t *info, void *context STATE_UNUSED)
{
	key_of_fault = info->si_code == 4 /* SEGV_PKUERR */ ? (int)info->si_pkey : -1;
	siglongjmp(back, 1);
}

/* The key that forbids an access; 0 for none. */
static int forbidden(volatile unsigned char *memory, int writing)
{
	key_of_fault = 0;
	if (sigsetjmp(back, 1) == 0) {
		unsigned char byte = *memory;

		if (writing)
			*memory = byte;
	}
	return key_of_fault;
}

static int key_of(const void *memory)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	char line[1024];
	unsigned long start, end;
	int inside = 0, key = -1;

	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			inside = start <= (unsigned long)memory && (unsigned long)memory < end;
		else if (inside && strncmp(line, "ProtectionKey:", 14) == 0)
			key = atoi(line + 14);
	}
	fclose(file);
	return key;
}

static void *other(void *unused STATE_UNUSED)
{
	MUST(pkey_set(keys[READABLE], PKEY_DISABLE_ACCESS));
	MUST(pkey_set(keys[HIDDEN], 0));
	pthread_barrier_wait(&barrier);
	state_wait_go();
	EQUAL(pkey_get(keys[READABLE]), PKEY_DISABLE_ACCESS);
	EQUAL(pkey_get(keys[HIDDEN]), 0);
	CHECK_FILL(areas[HIDDEN], PAGE, HIDDEN);
	return NULL;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_sigaction = fault, .sa_flags = SA_SIGINFO};
	static const unsigned char returning[] = {0xb8, 42, 0, 0, 0, 0xc3};
	pthread_t thread;
	int executable, freed;

	state_begin(argc, argv);
	MUST(sigaction(SIGSEGV, &action, NULL));
	freed = pkey_alloc(0, 0);
	if (freed < 0)
		state_skip("no protection keys: %s", strerror(errno));
	code = MUST(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	memcpy(code, returning, sizeof(returning));
	MUST(mprotect(code, PAGE, PROT_EXEC));
	executable = key_of(code);
	CHECK(executable > 0, "%d", executable);
	for (int i = 0; i < KEYS; i++) {
		keys[i] = MUST(pkey_alloc(0, 0));
		areas[i] = MUST(mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		state_fill(areas[i], PAGE, i);
		MUST(mprotect(areas[i] + PAGE, PAGE, PROT_NONE));
		if (i != SPARE)
			MUST(pkey_mprotect(areas[i], PAGE, PROT_READ | PROT_WRITE, keys[i]));
	}
	MUST(pkey_free(freed));
	MUST(pkey_free(keys[ORPHAN]));
	EQUAL(pthread_barrier_init(&barrier, NULL, 2), 0);
	thread = state_thread(other, NULL);
	pthread_barrier_wait(&barrier);
	MUST(pkey_set(keys[READABLE], PKEY_DISABLE_WRITE));
	MUST(pkey_set(keys[HIDDEN], PKEY_DISABLE_ACCESS));
	state_ready();
	state_wait_go();
	EQUAL(pkey_get(keys[READABLE]), PKEY_DISABLE_WRITE);
	EQUAL(pkey_get(keys[HIDDEN]), PKEY_DISABLE_ACCESS);
	for (int i = 0; i < KEYS; i++)
		EQUAL(key_of(areas[i]), i == SPARE ? 0 : keys[i]);
	CHECK_FILL(areas[READABLE], PAGE, READABLE);
	EQUAL(forbidden(areas[READABLE], 0), 0);
	EQUAL(forbidden(areas[READABLE], 1), keys[READABLE]);
	EQUAL(forbidden(areas[HIDDEN], 0), keys[HIDDEN]);
	MUST(pkey_set(keys[HIDDEN], 0));
	CHECK_FILL(areas[HIDDEN], PAGE, HIDDEN);
	CHECK_FILL(areas[ORPHAN], PAGE, ORPHAN);
	EQUAL(key_of(code), executable);
	EQUAL(forbidden(code, 0), executable);
	EQUAL(((int (*)(void))code)(), 42);
	/* The lowest that is free, and then the one that was given back. */
	EQUAL(pkey_alloc(0, 0), freed);
	EQUAL(pkey_alloc(0, 0), keys[ORPHAN]);
	MUST(pkey_free(keys[SPARE]));
	pthread_join(thread, NULL);
	state_pass();
}
