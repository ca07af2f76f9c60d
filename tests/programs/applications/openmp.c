/* openmp WORK: four processes, each with a team of threads, fill a table in memory that they share, one round after the other, with a barrier that they
 * share between rounds. After each round the first adds it up: line i of `out` is "i i*i+7*i+1" only when every element is right. */
#include <omp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROCESSES = 4, THREADS = 3, COUNT = 1 << 16 };

struct shared {
	pthread_barrier_t barrier;
	int end;
	uint64_t table[COUNT];
};

static uint64_t element(uint64_t round, uint64_t place)
{
	return round * 0x9e3779b97f4a7c15u ^ (place * 0xff51afd7ed558ccdu + round);
}

static int fail(const char *work, const char *why)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/result", work);
	FILE *result = fopen(path, "w");

	fprintf(result, "FAIL: %s\n", why);
	fclose(result);
	return 1;
}

static void compute(struct shared *shared, uint64_t round, int part)
{
#pragma omp parallel for num_threads(THREADS) schedule(dynamic, 512)
	for (int i = part; i < COUNT; i += PROCESSES)
		shared->table[i] = element(round, (uint64_t)i);
}

static int work_on(struct shared *shared, int part)
{
	for (uint64_t round = 0; !shared->end; round++) {
		compute(shared, round, part);
		pthread_barrier_wait(&shared->barrier);
		/* The first adds up. */
		pthread_barrier_wait(&shared->barrier);
	}
	return 0;
}

int main(int count, char **arguments)
{
	const char *work = arguments[1];
	char path[4096], go[4096];
	pthread_barrierattr_t attribute;
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t children[PROCESSES] = { 0 };

	if (count < 2 || shared == MAP_FAILED)
		return 2;
	pthread_barrierattr_init(&attribute);
	pthread_barrierattr_setpshared(&attribute, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&shared->barrier, &attribute, PROCESSES);
	for (int part = 1; part < PROCESSES; part++) {
		children[part] = fork();
		if (children[part] == 0)
			return work_on(shared, part);
	}
	snprintf(path, sizeof(path), "%s/out", work);
	snprintf(go, sizeof(go), "%s/go", work);
	FILE *out = fopen(path, "wx");

	if (out == NULL)
		return fail(work, "out is there already");
	setvbuf(out, NULL, _IOLBF, 4096);
	for (uint64_t round = 0; !shared->end; round++) {
		int wrong = 0;

		compute(shared, round, 0);
		pthread_barrier_wait(&shared->barrier);
#pragma omp parallel for num_threads(THREADS) reduction(+ : wrong)
		for (int i = 0; i < COUNT; i++)
			wrong += shared->table[i] != element(round, (uint64_t)i);
		if (wrong)
			return fail(work, "the table is wrong");
		fprintf(out, "%llu %llu\n", (unsigned long long)round, (unsigned long long)(round * round + 7 * round + 1));
		if (round == 5) {
			snprintf(path, sizeof(path), "%s/ready", work);
			fclose(fopen(path, "w"));
		}
		shared->end = access(go, F_OK) == 0;
		usleep(2000);
		pthread_barrier_wait(&shared->barrier);
	}
	fprintf(out, "end\n");
	fclose(out);
	for (int part = 1; part < PROCESSES; part++) {
		int status;

		if (waitpid(children[part], &status, 0) < 0 || status != 0)
			return fail(work, "a process did not end with 0");
	}
	snprintf(path, sizeof(path), "%s/result", work);
	FILE *result = fopen(path, "w");

	fprintf(result, "PASS\n");
	fclose(result);
	return 0;
}
