/*
 * Subject: threads in poll, ppoll, select and pselect on a pipe, without a limit: none returns before there
 * is something to read, and then each says so.
 * Cases: poll ppoll select pselect
 */
#include "state.h"
#include <poll.h>
#include <sys/select.h>

static pid_t tid;
static int ends[2];

static void *body(void *argument)
{
	struct pollfd wanted = {.fd = ends[0], .events = POLLIN};
	fd_set set;
	int got;

	(void)argument;
	FD_ZERO(&set);
	FD_SET(ends[0], &set);
	__atomic_store_n(&tid, state_tid(), __ATOMIC_SEQ_CST);
	if (strcmp(state_case, "poll") == 0)
		got = poll(&wanted, 1, -1);
	else if (strcmp(state_case, "ppoll") == 0)
		got = ppoll(&wanted, 1, NULL, NULL);
	else if (strcmp(state_case, "select") == 0)
		got = select(ends[0] + 1, &set, NULL, NULL, NULL);
	else
		got = pselect(ends[0] + 1, &set, NULL, NULL, NULL, NULL);
	CHECK(got == 1, "%s gave %d: %s", state_case, got, got < 0 ? strerror(errno) : "no error");
	CHECK(state_exists("go"), "%s returned too early", state_case);
	if (strstr(state_case, "poll"))
		EQUAL(wanted.revents, POLLIN);
	else
		CHECK(FD_ISSET(ends[0], &set), "the set is empty");
	return NULL;
}

int main(int argc, char **argv)
{
	state_begin(argc, argv);
	MUST(pipe(ends));
	pthread_t thread = state_thread(body, NULL);

	UNTIL(__atomic_load_n(&tid, __ATOMIC_SEQ_CST) != 0);
	state_until_asleep(tid);
	state_ready();
	state_wait_go();
	state_until_asleep(tid);
	EQUAL(write(ends[1], "x", 1), 1);
	pthread_join(thread, NULL);
	state_pass();
}
