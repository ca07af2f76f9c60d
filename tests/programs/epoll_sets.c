/*
 * Subject: epoll: events and data of every entry, level- and edge-triggered, one-shot armed and reported, exclusive, nested sets, one set
 * shared by two processes, entries whose number was closed or names another file, and a thread that waits.
 */
#include "state.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>

static int set;

static void add(int epoll, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event event = {.events = events, .data.u64 = data};

	MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
}

/* Exactly one event, with this data. */
static void expect(int epoll, uint32_t events, uint64_t data)
{
	struct epoll_event event[4];

	EQUAL(epoll_wait(epoll, event, 4, 5000), 1);
	EQUAL(event[0].data.u64, data);
	EQUAL(event[0].events, events);
}

static void expect_none(int epoll)
{
	struct epoll_event event[4];

	EQUAL(epoll_wait(epoll, event, 4, 0), 0);
}

static void *waiter(void *argument)
{
	struct epoll_event event;
	int epoll = *(int *)argument;

	EQUAL(epoll_wait(epoll, &event, 1, -1), 1);
	EQUAL(event.data.u64, 0xfeed);
	return NULL;
}

/* A pipe whose ends are high, so that low numbers stay free for what is done with them. */
static void pipe_at(int at, int *ends)
{
	int low[2];

	MUST(pipe(low));
	ends[0] = MUST(fcntl(low[0], F_DUPFD, at));
	ends[1] = MUST(fcntl(low[1], F_DUPFD, at));
	close(low[0]);
	close(low[1]);
}

int main(int argc, char **argv)
{
	int level[2], edge[2], shot[2], hung[2], gone[2], other[2], copy, copies[2], inner, edges, shots, exclusive, wait_set, counter, wake, signals, moved;
	struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.u64 = 33};
	uint64_t one = 1;
	sigset_t mask;
	char byte;

	state_begin(argc, argv);
	pipe_at(20, level);
	pipe_at(30, edge);
	pipe_at(40, shot);
	pipe_at(50, hung);
	pipe_at(60, gone);
	pipe_at(70, other);
	set = MUST(epoll_create1(EPOLL_CLOEXEC));
	edges = MUST(epoll_create1(0));
	shots = MUST(epoll_create1(0));
	exclusive = MUST(epoll_create1(0));
	inner = MUST(epoll_create1(0));
	wait_set = MUST(epoll_create1(0));
	counter = MUST(eventfd(0, EFD_NONBLOCK));
	wake = MUST(eventfd(0, EFD_NONBLOCK));
	add(set, level[0], EPOLLIN | EPOLLRDHUP, 0x1111222233334444ULL);
	add(edges, edge[0], EPOLLIN | EPOLLET, 22);
	add(exclusive, counter, EPOLLIN | EPOLLEXCLUSIVE, 55);
	add(wait_set, wake, EPOLLIN, 0xfeed);
	/* A set in a set. */
	add(inner, other[0], EPOLLIN, 66);
	add(set, inner, EPOLLIN, 77);
	/* One-shot: the first is armed, the second and third have reported; of the third the writer goes while it waits. */
	add(shots, counter, EPOLLIN | EPOLLONESHOT, 44);
	add(shots, shot[0], EPOLLIN | EPOLLONESHOT, 33);
	add(shots, hung[0], EPOLLIN | EPOLLONESHOT, 34);
	EQUAL(write(shot[1], "s", 1), 1);
	expect(shots, EPOLLIN, 33);
	EQUAL(read(shot[0], &byte, 1), 1);
	EQUAL(write(hung[1], "s", 1), 1);
	expect(shots, EPOLLIN, 34);
	EQUAL(read(hung[0], &byte, 1), 1);
	/* The number is closed while a copy of the file lives on; and it names another file, which has an entry as well. */
	copies[0] = MUST(fcntl(gone[0], F_DUPFD, 90));
	add(set, gone[0], EPOLLIN, 88);
	MUST(close(gone[0]));
	moved = MUST(dup2(edge[0], gone[0]));
	add(set, moved, EPOLLOUT, 99);
	copy = MUST(fcntl(level[1], F_DUPFD, 95));
	add(set, copy, EPOLLONESHOT, 98);
	MUST(close(copy));
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2);
	MUST(sigprocmask(SIG_BLOCK, &mask, NULL));
	signals = MUST(signalfd(-1, &mask, SFD_NONBLOCK));
	add(set, signals, EPOLLIN, 12);
	pthread_t thread = state_thread(waiter, &wait_set);
	pid_t child = state_fork();

	if (child == 0) {
		state_mark("child");
		state_wait_go();
		/* The set is the parent's: what is done to it here is seen there. */
		add(set, wake, EPOLLOUT | EPOLLET, 11);
		state_mark("added");
		_exit(0);
	}
	state_await("child");
	state_ready();
	state_wait_go();
	EQUAL(fcntl(set, F_GETFD), FD_CLOEXEC);
	state_await("added");
	state_join(child);
	expect(set, EPOLLOUT, 11);
	expect_none(set);
	EQUAL(write(level[1], "l", 1), 1);
	expect(set, EPOLLIN, 0x1111222233334444ULL);
	expect(set, EPOLLIN, 0x1111222233334444ULL);
	EQUAL(read(level[0], &byte, 1), 1);
	/* An edge. */
	EQUAL(write(edge[1], "e", 1), 1);
	expect(edges, EPOLLIN, 22);
	expect_none(edges);
	EQUAL(read(edge[0], &byte, 1), 1);
	/* By way of the other set. */
	EQUAL(write(other[1], "o", 1), 1);
	expect(set, EPOLLIN, 77);
	expect(inner, EPOLLIN, 66);
	EQUAL(read(other[0], &byte, 1), 1);
	expect_none(set);
	EQUAL(write(gone[1], "g", 1), 1);
	expect(set, EPOLLIN, 88);
	EQUAL(read(copies[0], &byte, 1), 1);
	expect_none(set);
	MUST(kill(getpid(), SIGUSR2));
	expect(set, EPOLLIN, 12);
	/* Reported ones stay silent, a hang-up included, until they are armed again. */
	EQUAL(write(shot[1], "s", 1), 1);
	MUST(close(hung[1]));
	expect_none(shots);
	MUST(epoll_ctl(shots, EPOLL_CTL_MOD, shot[0], &event));
	expect(shots, EPOLLIN, 33);
	expect_none(shots);
	event.data.u64 = 34;
	MUST(epoll_ctl(shots, EPOLL_CTL_MOD, hung[0], &event));
	expect(shots, EPOLLHUP, 34);
	EQUAL(write(counter, &one, 8), 8);
	expect(shots, EPOLLIN, 44);
	expect(exclusive, EPOLLIN, 55);
	EQUAL(read(counter, &one, 8), 8);
	/* Entries answer to the numbers by which they were added. */
	MUST(epoll_ctl(set, EPOLL_CTL_DEL, moved, NULL));
	EQUAL(epoll_ctl(set, EPOLL_CTL_DEL, copies[0], NULL), -1);
	EQUAL(errno, ENOENT);
	MUST(dup2(copies[0], gone[0]));
	MUST(epoll_ctl(set, EPOLL_CTL_DEL, gone[0], NULL));
	MUST(dup2(level[1], copy));
	event.events = EPOLLOUT;
	MUST(epoll_ctl(set, EPOLL_CTL_MOD, copy, &event));
	MUST(epoll_ctl(set, EPOLL_CTL_DEL, copy, NULL));
	MUST(epoll_ctl(set, EPOLL_CTL_DEL, level[0], NULL));
	EQUAL(write(wake, &one, 8), 8);
	EQUAL(pthread_join(thread, NULL), 0);
	state_pass();
}
