/*
 * Subject: a hundred megabytes of random bytes, with a checksum, some of them rewritten while it waits.
 * Build: -static
 */
#include "state.h"

#define SIZE (100UL * 1024 * 1024)

static uint64_t checksum(const unsigned char *bytes, size_t length)
{
	uint64_t sum = 14695981039346656037ULL, word;

	for (size_t i = 0; i < length; i += 8) {
		memcpy(&word, bytes + i, 8);
		sum = (sum ^ word) * 1099511628211ULL;
	}
	return sum;
}

int main(int argc, char **argv)
{
	uint64_t seed = 77, rewrites = 0;

	state_begin(argc, argv);
	unsigned char *memory = MUST(mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	state_fill(memory, SIZE, 1);
	uint64_t sum = checksum(memory + SIZE / 2, SIZE / 2);

	state_ready();
	/* The first half changes all the time; how often is remembered in the same memory. */
	while (!state_exists("go")) {
		for (int i = 0; i < 200; i++) {
			uint64_t at = state_random(&seed) % (SIZE / 2 / PAGE) * PAGE, value = ++rewrites;

			memcpy(memory + at, &value, 8);
		}
		state_pause();
	}
	state_wait_go();
	EQUAL(checksum(memory + SIZE / 2, SIZE / 2), sum);
	/* What the first half must be now is computed again from the start. */
	unsigned char *expected = MUST(mmap(NULL, SIZE / 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	state_fill(expected, SIZE / 2, 1);
	seed = 77;
	for (uint64_t i = 1; i <= rewrites; i++) {
		uint64_t at = state_random(&seed) % (SIZE / 2 / PAGE) * PAGE;

		memcpy(expected + at, &i, 8);
	}
	for (size_t at = 0; at < SIZE / 2; at += PAGE)
		CHECK(memcmp(expected + at, memory + at, PAGE) == 0, "page %zu differs after %lu rewrites", at / PAGE, (long)rewrites);
	state_pass();
}
