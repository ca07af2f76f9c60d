/*
 * Subject: the numbers of processes and threads, as the kernel gives them and as procfs lists them.
 */
#include "state.h"
#include <dirent.h>

#define THREADS 6

static pid_t tids[THREADS];

static void *body(void *argument)
{
	int i = (int)(long)argument;
	pid_t mine = state_tid();

	__atomic_store_n(&tids[i], mine, __ATOMIC_SEQ_CST);
	while (!state_going)
		state_pause();
	EQUAL(state_tid(), mine);
	EQUAL(syscall(SYS_tgkill, getpid(), mine, 0), 0);
	state_markf("done-%d", i);
	state_await("listed");
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];
	char path[64];
	int listed = 0;

	state_begin(argc, argv);
	pid_t self = getpid(), parent = getppid(), session = getsid(0), group = getpgrp();
	char link_before[64] = "", link_after[64] = "";

	MUST(readlink("/proc/self", link_before, sizeof(link_before) - 1));
	for (long i = 0; i < THREADS; i++)
		threads[i] = state_thread(body, (void *)i);
	for (int i = 0; i < THREADS; i++)
		UNTIL(__atomic_load_n(&tids[i], __ATOMIC_SEQ_CST) != 0);
	state_ready();
	state_wait_go();
	EQUAL(getpid(), self);
	EQUAL(state_tid(), self);
	EQUAL(getppid(), parent);
	EQUAL(getsid(0), session);
	EQUAL(getpgrp(), group);
	MUST(readlink("/proc/self", link_after, sizeof(link_after) - 1));
	CHECK(strcmp(link_before, link_after) == 0, "/proc/self is %s, was %s", link_after, link_before);
	for (int i = 0; i < THREADS; i++) {
		state_awaitf("done-%d", i);
		snprintf(path, sizeof(path), "/proc/self/task/%d", tids[i]);
		CHECK(access(path, F_OK) == 0, "%s is missing", path);
	}
	DIR *tasks = opendir("/proc/self/task");

	for (struct dirent *entry; (entry = readdir(tasks));)
		listed += entry->d_name[0] != '.';
	closedir(tasks);
	EQUAL(listed, THREADS + 1);
	state_mark("listed");
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	/* A thread that is born now is a thread of this process, with a number of its own. */
	pthread_t late;
	void *result;

	late = state_thread((void *(*)(void *))state_tid, NULL);
	pthread_join(late, &result);
	CHECK((pid_t)(long)result != self && (pid_t)(long)result > 0, "tid %ld", (long)result);
	state_pass();
}
