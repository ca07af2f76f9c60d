// SPDX-License-Identifier: GPL-2.0
/* BARRIER and ARRIVE: who comes, who waits, and what lets them go. */
#include "kit.h"
#include <sys/socket.h>
#include <sys/time.h>

#define PARTIES 20

struct party {
	int barrier;
	volatile int go;	/* it may arrive */
	volatile int result;	/* errno of ARRIVE, -1 while it has not returned */
	volatile uint32_t arrived, count;
};

static int open_barrier(int session, const pid_t *pids, uint32_t count, uint32_t timeout_ms)
{
	struct ckpt_barrier call = { .size = sizeof(call), .count = count, .timeout_ms = timeout_ms, .pids = (uintptr_t)pids };

	return ioctl(session, CKPT_BARRIER, &call) ? -1 : call.fd;
}

static int release_barrier(int session)
{
	struct ckpt_barrier call = { .size = sizeof(call), .flags = CKPT_BARRIER_OPEN };

	return ioctl(session, CKPT_BARRIER, &call);
}

static int arrive(int barrier, struct ckpt_arrive *call)
{
	*call = (struct ckpt_arrive){ .size = sizeof(*call) };
	return ioctl(barrier, CKPT_ARRIVE, call);
}

/* Children that arrive when they may; the descriptor is sent to them as a supervisor would, over a socket. */
static void make_parties(struct party *parties, pid_t *pids, int sockets[][2], int count)
{
	for (int i = 0; i < count; i++) {
		CHECK(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets[i]));
		parties[i].result = -1;
		pids[i] = fork();
		if (!pids[i]) {
			char control[CMSG_SPACE(sizeof(int))], byte;
			struct iovec data = { &byte, 1 };
			struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
			struct ckpt_arrive call;
			int barrier;

			prctl(PR_SET_PDEATHSIG, SIGKILL);
			CHECK(recvmsg(sockets[i][1], &message, 0) == 1 && CMSG_FIRSTHDR(&message));
			memcpy(&barrier, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(barrier));
			while (!parties[i].go)
				usleep(500);
			parties[i].result = arrive(barrier, &call) ? errno : 0;
			parties[i].arrived = call.arrived;
			parties[i].count = call.count;
			for (;;)
				pause();
		}
	}
}

static void hand_out(int barrier, int sockets[][2], int count)
{
	for (int i = 0; i < count; i++) {
		char control[CMSG_SPACE(sizeof(int))] = "", byte = 0;
		struct iovec data = { &byte, 1 };
		struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
		struct cmsghdr *rights = CMSG_FIRSTHDR(&message);

		*rights = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int)) };
		memcpy(CMSG_DATA(rights), &barrier, sizeof(barrier));
		CHECK(sendmsg(sockets[i][0], &message, 0) == 1);
	}
}

static void await_result(struct party *parties, int count, int result)
{
	for (int i = 0; i < count; i++) {
		while (parties[i].result == -1)
			usleep(1000);
		CHECK(parties[i].result == result);
	}
}

static void end_parties(pid_t *pids, int count)
{
	for (int i = 0; i < count; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
}

/* Takes so many arrivals, in the order in which they are counted. */
static void await_arrivals(int session, const pid_t *pids, int count)
{
	int seen = 0;

	while (seen < count) {
		struct pollfd poller = { session, POLLPRI, 0 };
		struct ckpt_event events[8];
		struct ckpt_events call = { .size = sizeof(call), .count = 8, .target = (uintptr_t)events };

		CHECK(poll(&poller, 1, 30000) == 1 && poller.revents == POLLPRI);
		CHECK(!ioctl(session, CKPT_EVENTS, &call) && !call.lost);
		for (uint32_t i = 0; i < call.count; i++) {
			bool known = false;

			CHECK(events[i].type == CKPT_EVENT_ARRIVED && events[i].other == ++seen);
			for (int j = 0; j < PARTIES; j++)
				known |= events[i].pid == pids[j];
			CHECK(known);
		}
	}
}

TEST(all_wait_until_the_last_has_come_and_each_is_told)
{
	struct party *parties = shared_memory(PAGE);
	int sockets[PARTIES][2], session, barrier;
	pid_t pids[PARTIES];

	make_parties(parties, pids, sockets, PARTIES);
	session = open_session();
	barrier = open_barrier(session, pids, PARTIES, 60000);
	CHECK(barrier >= 0);
	hand_out(barrier, sockets, PARTIES);
	for (int i = 0; i < PARTIES - 1; i++)
		parties[i].go = 1;
	await_arrivals(session, pids, PARTIES - 1);
	usleep(50000);
	for (int i = 0; i < PARTIES; i++)
		CHECK(parties[i].result == -1);
	parties[PARTIES - 1].go = 1;
	await_result(parties, PARTIES, 0);
	for (int i = 0; i < PARTIES; i++)
		CHECK(parties[i].arrived == PARTIES && parties[i].count == PARTIES);
	end_parties(pids, PARTIES);
}

TEST(the_deadline_lets_those_go_who_came)
{
	struct party *parties = shared_memory(PAGE);
	int sockets[2][2];
	pid_t pids[2];

	make_parties(parties, pids, sockets, 2);
	hand_out(open_barrier(open_session(), pids, 2, 300), sockets, 2);
	parties[0].go = 1;
	await_result(parties, 1, ETIMEDOUT);
	CHECK(parties[0].arrived == 1 && parties[0].count == 2);
	/* Who is late is told at once. */
	parties[1].go = 1;
	await_result(parties, 2, ETIMEDOUT);
	end_parties(pids, 2);
}

TEST(a_supervisor_lets_all_go_when_it_wants_and_when_it_ends)
{
	for (int how = 0; how < 3; how++) {
		struct party *parties = shared_memory(PAGE);
		int sockets[3][2], session, barrier;
		pid_t pids[PARTIES] = { 0 };

		/* Before there is a session, which they would keep. */
		make_parties(parties, pids, sockets, 3);
		session = open_session();
		barrier = open_barrier(session, pids, 3, 60000);
		hand_out(barrier, sockets, 3);
		parties[0].go = parties[1].go = 1;
		await_arrivals(session, pids, 2);
		switch (how) {
		case 0:
			CHECK(!release_barrier(session));
			FAILS(ENOENT, release_barrier(session));
			break;
		case 1:
			/* Its own descriptor of the barrier does not keep it. */
			CHECK(!close(session));
			break;
		case 2:
			/* One that follows takes its place. */
			CHECK(open_barrier(session, pids, 1, 1000) >= 0);
			break;
		}
		await_result(parties, 2, how ? ECANCELED : 0);
		parties[2].go = 1;
		await_result(parties, 3, how ? ECANCELED : 0);
		close(barrier);
		end_parties(pids, 3);
	}
}

TEST(who_is_not_expected_does_not_come_in_and_calls_that_make_no_sense_are_refused)
{
	int session = open_session(), barrier;
	pid_t stranger = fork(), pids[3] = { stranger, stranger, -1 };
	struct ckpt_barrier call = { .size = sizeof(call), .count = 1, .timeout_ms = 1000, .pids = (uintptr_t)pids };
	struct ckpt_arrive arrived = { .size = sizeof(arrived), .flags = 1 };
	struct ckpt_barrier wrong;

	if (!stranger)
		for (;;)
			pause();
	barrier = open_barrier(session, pids, 1, 60000);
	CHECK(barrier >= 0 && fcntl(barrier, F_GETFD) == FD_CLOEXEC);
	FAILS(EINVAL, ioctl(barrier, CKPT_ARRIVE, &arrived));
	FAILS(EPERM, arrive(barrier, &arrived));
	arrived.size = 4;
	FAILS(EINVAL, ioctl(barrier, CKPT_ARRIVE, &arrived));
	FAILS(EFAULT, ioctl(barrier, CKPT_ARRIVE, NULL));
	FAILS(ENOTTY, ioctl(barrier, CKPT_THAW, &arrived));
	FAILS(ENOTTY, ioctl(session, CKPT_ARRIVE, &(struct ckpt_arrive){ .size = sizeof(arrived) }));
	FAILS(EINVAL, open_barrier(session, pids, 0, 1000));
	FAILS(EINVAL, open_barrier(session, pids, 2, 1000));
	FAILS(EINVAL, open_barrier(session, pids + 2, 1, 1000));
	FAILS(EINVAL, open_barrier(session, pids, 1, 0));
	FAILS(EINVAL, open_barrier(session, pids, 1, CKPT_FREEZE_TIMEOUT_MAX + 1));
	FAILS(E2BIG, open_barrier(session, pids, CKPT_BARRIER_MAX + 1, 1000));
	FAILS(EFAULT, open_barrier(session, NULL, 1, 1000));
	wrong = call, wrong.flags = 2;
	FAILS(EINVAL, ioctl(session, CKPT_BARRIER, &wrong));
	wrong = call, wrong.flags = CKPT_BARRIER_OPEN;
	FAILS(EINVAL, ioctl(session, CKPT_BARRIER, &wrong));
	wrong = call, wrong.fd = 1;
	FAILS(EINVAL, ioctl(session, CKPT_BARRIER, &wrong));
	kill(stranger, SIGKILL);
	waitpid(stranger, NULL, 0);
	FAILS(ESRCH, open_barrier(session, pids, 1, 1000));
}

static void nothing(int signal)
{
	(void)signal;
}

TEST(who_is_interrupted_comes_again_and_is_counted_once)
{
	struct sigaction action = { .sa_handler = nothing };
	struct itimerval timer = { .it_value.tv_usec = 100000 };
	pid_t pids[PARTIES] = { getpid(), fork() };
	int session = open_session(), barrier;
	struct ckpt_arrive call;

	if (!pids[1])
		for (;;)
			pause();
	barrier = open_barrier(session, pids, 2, 60000);
	CHECK(barrier >= 0 && !sigaction(SIGALRM, &action, NULL));
	for (int i = 0; i < 3; i++) {
		CHECK(!setitimer(ITIMER_REAL, &timer, NULL));
		FAILS(EINTR, arrive(barrier, &call));
	}
	await_arrivals(session, pids, 1);
	CHECK(!release_barrier(session));
	CHECK(!arrive(barrier, &call) && call.arrived == 1 && call.count == 2);
	kill(pids[1], SIGKILL);
}

TEST(without_the_capability_there_is_no_barrier_and_the_module_stays_while_one_is_open)
{
	pid_t self = getpid(), child;
	int session = open_session(), barrier = open_barrier(session, &self, 1, 60000), status;
	struct ckpt_arrive call;

	CHECK(barrier >= 0);
	child = fork();
	if (!child) {
		CHECK(!setresuid(1000, 1000, 1000));
		FAILS(EPERM, open_barrier(session, &self, 1, 1000));
		FAILS(EPERM, release_barrier(session));
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && !status);
	CHECK(!close(session));
	if (access("/run/vm/ckpt.ko", F_OK) == 0)
		FAILS(EWOULDBLOCK, syscall(SYS_delete_module, "ckpt", O_NONBLOCK));
	FAILS(ECANCELED, arrive(barrier, &call));
}
