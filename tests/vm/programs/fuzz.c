// SPDX-License-Identifier: GPL-2.0
/*
 * fuzz SEED SECONDS: random and mutated calls on sessions that many threads
 * share, open and close, about processes that come and go. What it looks for
 * is a word in the kernel's log, and applications that do not run afterwards.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/user.h>
#include <time.h>
#include <unistd.h>

#include "../../../ckpt-kmod/uapi/ckpt.h"

#define PROCESSES 4
#define SESSIONS 4
#define THREADS 4
#define GROUP "/sys/fs/cgroup/fuzz"

static volatile pid_t pids[PROCESSES];
static volatile int sessions[SESSIONS], barriers[SESSIONS], rings[SESSIONS];
/* Of the last contexts of Linux AIO that victims have made; shared with them. */
static volatile uint64_t *contexts;
static volatile int freezer;
static int sockets[2];
static volatile int over;

struct random {
	uint64_t state;
};

static uint64_t number(struct random *random)
{
	random->state ^= random->state << 13;
	random->state ^= random->state >> 7;
	random->state ^= random->state << 17;
	return random->state;
}

static uint64_t below(struct random *random, uint64_t limit)
{
	return number(random) % limit;
}

static void victim(int seed)
{
	struct random random = { seed * 2654435761UL + 1 };
	int fd;

	/* No session may live on in here; and from the next write on it may stand. */
	close_range(3, ~0U, 0);
	fd = open(GROUP "/cgroup.procs", O_WRONLY | O_CLOEXEC);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (fd < 0 || write(fd, "0", 1) != 1)
		_exit(1);
	/* Maps, writes, unmaps, forks, ends. */
	for (;;) {
		aio_context_t context = 0;

		size_t size = (1 + below(&random, 300)) * 4096;
		uint8_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | (below(&random, 4) ? MAP_PRIVATE : MAP_SHARED), -1, 0);

		if (memory == MAP_FAILED)
			_exit(0);
		if (!below(&random, 3))
			madvise(memory, size, MADV_HUGEPAGE);
		for (int i = 0; i < 100; i++)
			memory[below(&random, size)]++;
		if (!below(&random, 4))
			mprotect(memory, size, PROT_NONE);
		switch (below(&random, 12)) {
		case 0:
			if (!fork())
				_exit(0);
			break;
		case 1:
			if (!below(&random, 10))
				_exit(0);
			break;
		case 2:
			if (contexts && !syscall(SYS_io_setup, 1 + below(&random, 200), &context)) {
				struct iocb request = { .aio_lio_opcode = IOCB_CMD_POLL, .aio_fildes = fd, .aio_buf = POLLIN }, *requests = &request;

				syscall(SYS_io_submit, context, below(&random, 2), &requests);
				contexts[below(&random, PROCESSES)] = context;
				if (below(&random, 2))
					syscall(SYS_io_destroy, context);
			}
			break;
		case 3:
			if (!below(&random, 20))
				execl("/proc/self/exe", "fuzz", "victim", "5", NULL);
			break;
		}
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		munmap(memory, below(&random, 2) ? size : size / 2 / 4096 * 4096 + 4096);
	}
}

static const uint32_t calls[] = {
	CKPT_VERSION, CKPT_ATTACH, CKPT_LIST, CKPT_FREEZE, CKPT_THAW, CKPT_STATE,
	CKPT_PAGES, CKPT_DIRTY, CKPT_SELECT, CKPT_PUT, CKPT_EVENTS, CKPT_REGISTERS, CKPT_KEEP, CKPT_READ,
	CKPT_BARRIER, CKPT_ARRIVE, CKPT_RING,
};
#define CALLS (sizeof(calls) / sizeof(*calls))
/* Behind the calls: open, read, write. */
#define OPEN CALLS
#define READ (CALLS + 1)
#define WRITE (CALLS + 2)
static uint64_t done[CALLS + 3], succeeded[CALLS + 3];

static uint64_t odd_pointer(struct random *random)
{
	static const uint64_t odd[] = { 0, 1, 4095, 0x7ffffffff000, 0x7fffffffefff, 0x800000000000, 0xffff888000000000,
					0xffffffff81000000, 0xffffffffffffffff, 0xfffffffffffff000 };

	return odd[below(random, sizeof(odd) / sizeof(*odd))];
}

/* A call that makes sense, about something that is there. */
static void sensible(struct random *random, int call, uint8_t *argument, uint8_t *buffer, size_t room, struct ckpt_range *ranges)
{
	pid_t pid = pids[below(random, PROCESSES)];
	uint64_t start = 0;
	uint32_t count = 1 + below(random, 4);

	for (uint32_t i = 0; i < count; i++) {
		ranges[i].start = start + below(random, 1UL << 44) / 4096 * 4096;
		ranges[i].end = start = ranges[i].start + 4096 + below(random, i ? 1UL << 44 : 1UL << 46) / 4096 * 4096;
	}
	memset(argument, 0, 256);
	*(uint32_t *)argument = _IOC_SIZE(calls[call]);
	switch (calls[call]) {
	case CKPT_ATTACH: {
		struct ckpt_attach *attach = (void *)argument;

		attach->pid = pid;
		attach->flags = below(random, 2);
		break;
	}
	case CKPT_LIST: {
		struct ckpt_list *list = (void *)argument;

		list->count = below(random, 100);
		list->pids = (uintptr_t)buffer;
		break;
	}
	case CKPT_FREEZE: {
		struct ckpt_freeze *freeze = (void *)argument;

		freeze->cgroup_freeze = freezer;
		freeze->timeout_ms = 1 + below(random, 200);
		freeze->flags = below(random, 2);
		break;
	}
	case CKPT_STATE: {
		struct ckpt_state *state = (void *)argument;

		state->pid = pid;
		state->buffer = (uintptr_t)buffer;
		state->length = below(random, room);
		state->flags = below(random, 2);
		break;
	}
	case CKPT_PAGES:
	case CKPT_DIRTY: {
		struct ckpt_pages *pages = (void *)argument;

		pages->pid = pid;
		pages->flags = below(random, 2);
		pages->count = count;
		pages->ranges = (uintptr_t)ranges;
		pages->buffer = (uintptr_t)buffer;
		pages->length = 4128 + below(random, room - 4128);
		break;
	}
	case CKPT_SELECT: {
		struct ckpt_select *select = (void *)argument;

		select->pid = pid;
		select->mode = below(random, 2);
		break;
	}
	case CKPT_PUT: {
		struct ckpt_put *put = (void *)argument;

		/* What an earlier call has left there may be page records. */
		put->pid = pid;
		put->buffer = (uintptr_t)buffer;
		put->length = below(random, room);
		break;
	}
	case CKPT_REGISTERS: {
		struct ckpt_registers *registers = (void *)argument;

		/* It crashes of them when it goes on; half of the time they are none at all. */
		if (below(random, 2)) {
			memset(buffer, 0, sizeof(struct user_regs_struct));
			((struct user_regs_struct *)buffer)->cs = 0x33;
			((struct user_regs_struct *)buffer)->ss = 0x2b;
		}
		registers->pid = registers->tid = pid;
		registers->note = 1;
		registers->length = sizeof(struct user_regs_struct);
		registers->buffer = (uintptr_t)buffer;
		break;
	}
	case CKPT_KEEP: {
		struct ckpt_keep *keep = (void *)argument;

		keep->fd = sockets[below(random, 2)];
		keep->flags = below(random, 2);
		break;
	}
	case CKPT_READ: {
		static const char *const files[] = { "status", "maps", "smaps", "fdinfo/0", "stat", "task", "environ", "nothing" };
		struct ckpt_read *read = (void *)argument;

		read->names_length = 1 + snprintf((char *)buffer, 64, "%c/proc/%d/%s", "flns"[below(random, 4)], pid, files[below(random, 8)]);
		read->names_length += 1 + snprintf((char *)buffer + read->names_length, 64, "l/proc/%d/exe", pid);
		read->count = 1 + below(random, 2);
		read->names = (uintptr_t)buffer;
		read->buffer = (uintptr_t)buffer + 128;
		read->length = below(random, room - 128);
		break;
	}
	case CKPT_BARRIER: {
		struct ckpt_barrier *barrier = (void *)argument;
		int32_t *expected = (int32_t *)buffer;

		if (!below(random, 4)) {
			barrier->flags = CKPT_BARRIER_OPEN;
			break;
		}
		expected[0] = getpid();
		expected[1] = pid;
		barrier->count = 1 + below(random, 2);
		barrier->pids = (uintptr_t)buffer;
		barrier->timeout_ms = 1 + below(random, 30);
		break;
	}
	case CKPT_RING: {
		struct ckpt_ring *ring = (void *)argument;

		ring->fd = rings[below(random, SESSIONS)];
		if (!below(random, 3)) {
			ring->fd = -1;
			ring->pid = pid;
			ring->address = contexts[below(random, PROCESSES)];
		} else if (!below(random, 3)) {
			ring->flags = CKPT_RING_SET;
			ring->sq_head = number(random);
			ring->cq_tail = below(random, 2) ? ring->sq_head : number(random);
		}
		break;
	}
	case CKPT_EVENTS: {
		struct ckpt_events *events = (void *)argument;

		events->count = below(random, 300);
		events->target = (uintptr_t)buffer;
		break;
	}
	}
}

static void mutate(struct random *random, uint8_t *argument, size_t size)
{
	for (uint64_t i = 1 + below(random, 3); i; i--)
		switch (below(random, 4)) {
		case 0:
			argument[below(random, size)] ^= 1 << below(random, 8);
			break;
		case 1:
			*(uint64_t *)(argument + below(random, size / 8) * 8) = odd_pointer(random);
			break;
		case 2:
			*(uint32_t *)(argument + below(random, size / 4) * 4) = number(random);
			break;
		case 3:
			*(uint32_t *)(argument + below(random, size / 4) * 4) = below(random, 64);
			break;
		}
}

static void count_call(int call, long ret)
{
	__atomic_fetch_add(&done[call], 1, __ATOMIC_RELAXED);
	if (ret >= 0)
		__atomic_fetch_add(&succeeded[call], 1, __ATOMIC_RELAXED);
}

/* A ring that is made, used, registered with and closed by whoever comes. */
static void use_ring(struct random *random, int slot)
{
	struct io_uring_params params = { .flags = below(random, 2) ? 0 : (1U << 7 | 1U << 8) };
	int ring = rings[slot];
	uint32_t workers[2] = { 1, 1 };

	switch (below(random, 4)) {
	case 0:
		ring = syscall(SYS_io_uring_setup, 1U << below(random, 5), &params);
		close(__atomic_exchange_n(&rings[slot], ring, __ATOMIC_SEQ_CST));
		break;
	case 1:
		syscall(SYS_io_uring_register, ring, IORING_REGISTER_PERSONALITY, NULL, 0);
		syscall(SYS_io_uring_register, ring, IORING_REGISTER_IOWQ_MAX_WORKERS, workers, 2);
		break;
	default: {
		/* Where its tail is differs between kernels: it is told, and what else is written there harms the ring alone. */
		struct ckpt_ring told = { .size = sizeof(told), .fd = ring };
		uint8_t *memory;
		struct io_uring_sqe *requests;

		if (ioctl(sessions[slot], CKPT_RING, &told))
			break;
		memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
		requests = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
		if (memory != MAP_FAILED && requests != MAP_FAILED && told.sq_tail_at < 4096) {
			requests->opcode = below(random, 2) ? IORING_OP_NOP : IORING_OP_POLL_ADD;
			requests->flags = below(random, 4) ? 0 : IOSQE_ASYNC;
			requests->fd = sockets[0];
			requests->poll32_events = POLLIN;
			*(volatile uint32_t *)(memory + told.sq_tail_at) += below(random, 4);
			syscall(SYS_io_uring_enter, ring, 3, 0, 0, NULL, 0);
		}
		if (memory != MAP_FAILED)
			munmap(memory, 4096);
		if (requests != MAP_FAILED)
			munmap(requests, 4096);
	}
	}
}

/* What a supervisor does, while all others disturb it. */
static void checkpoint(struct random *random, int session)
{
	struct ckpt_range range = { 0, 1UL << 46 };
	struct ckpt_attach attach = { .size = sizeof(attach), .pid = pids[below(random, PROCESSES)], .flags = 1 };
	struct ckpt_freeze freeze = { .size = sizeof(freeze), .cgroup_freeze = freezer, .timeout_ms = 500 };
	struct ckpt_state state = { .size = sizeof(state), .pid = attach.pid, .length = 1 << 20 };
	struct ckpt_pages pages = { .size = sizeof(pages), .pid = attach.pid, .count = 1, .ranges = (uintptr_t)&range, .length = 1 << 20 };
	struct ckpt_select select = { .size = sizeof(select), .pid = attach.pid };
	struct ckpt_put put = { .size = sizeof(put), .pid = attach.pid };
	uint8_t *buffer = malloc(1 << 20);
	long got;

	state.buffer = pages.buffer = put.buffer = (uintptr_t)buffer;
	count_call(1, ioctl(session, CKPT_ATTACH, &attach));
	count_call(3, ioctl(session, CKPT_FREEZE, &freeze));
	count_call(5, ioctl(session, CKPT_STATE, &state));
	got = ioctl(session, CKPT_PAGES, &pages);
	count_call(6, got);
	if (!got) {
		put.length = pages.length;
		if (!below(random, 3))
			buffer[below(random, pages.length)]++;
		count_call(9, ioctl(session, CKPT_PUT, &put));
	}
	count_call(8, ioctl(session, CKPT_SELECT, &select));
	got = read(session, buffer, 1 << 20);
	count_call(READ, got);
	if (got > 0 && below(random, 2)) {
		select.mode = CKPT_SELECT_WRITE;
		count_call(8, ioctl(session, CKPT_SELECT, &select));
		count_call(WRITE, write(session, buffer, got));
	}
	free(buffer);
}

static void *worker(void *argument)
{
	/*
	 * Far from all that this program has itself, by more bits than are changed at once: the kernel writes to where it is told, and what lay
	 * there would be no fault of the module's.
	 */
	static uint64_t places = 0x155500000000;
	struct random random = { (uintptr_t)argument };
	size_t room = 1 << 20;
	uint8_t *buffer = mmap((void *)__atomic_fetch_add(&places, 1UL << 32, __ATOMIC_RELAXED), room + 4096, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	struct ckpt_range *ranges = malloc(4 * sizeof(*ranges));
	uint64_t words[64];
	uint8_t *call_argument = (uint8_t *)words;

	/* The page behind the buffer is not to be written to, and stays so. */
	mprotect(buffer + room, 4096, PROT_NONE);
	while (!over) {
		int slot = below(&random, SESSIONS), call = below(&random, CALLS);
		uint32_t command = calls[call];
		int session = sessions[slot];
		long ret = -1;

		switch (below(&random, 40)) {
		case 0:
			/* Under whatever others do with it. */
			ret = open("/dev/ckpt", O_RDWR | O_CLOEXEC);
			close(__atomic_exchange_n(&sessions[slot], ret, __ATOMIC_SEQ_CST));
			call = OPEN;
			break;
		case 1:
		case 2:
		case 3:
			ret = read(session, buffer + below(&random, 4096), below(&random, room));
			call = READ;
			break;
		case 4:
			ret = write(session, buffer + below(&random, 64), below(&random, room));
			call = WRITE;
			break;
		case 5: {
			struct pollfd poller = { session, POLLIN | POLLPRI, 0 };

			poll(&poller, 1, 0);
			continue;
		}
		case 6:
			kill(pids[below(&random, PROCESSES)], below(&random, 8) ? SIGCONT : SIGKILL);
			continue;
		case 7:
			checkpoint(&random, session);
			continue;
		case 8:
		case 9:
			use_ring(&random, slot);
			continue;
		default:
			sensible(&random, call, call_argument, buffer, room, ranges);
			if (!below(&random, 3))
				mutate(&random, call_argument, _IOC_SIZE(command));
			if (!below(&random, 30)) {
				command ^= 1U << below(&random, 32);
				mutate(&random, call_argument, 256);
			}
			ret = ioctl(calls[call] == CKPT_ARRIVE ? barriers[slot] : session, command, below(&random, 100) ? call_argument : (void *)odd_pointer(&random));
			/* What is not among the arguments that came back is closed by nobody, which a limit bounds. */
			if (!ret && command == CKPT_BARRIER && ((struct ckpt_barrier *)call_argument)->fd > 2)
				close(__atomic_exchange_n(&barriers[slot], ((struct ckpt_barrier *)call_argument)->fd, __ATOMIC_SEQ_CST));
		}
		count_call(call, ret);
	}
	return NULL;
}

static void interrupted(int signal)
{
	(void)signal;
}

/* Keeps so many processes there. */
static void keep_processes(int *seed)
{
	for (int i = 0; i < PROCESSES; i++) {
		if (pids[i] && waitpid(pids[i], NULL, WNOHANG) == 0)
			continue;
		pid_t pid = fork();

		if (!pid)
			victim(*seed);
		pids[i] = pid;
		++*seed;
	}
}

static const char *const names[] = { "VERSION", "ATTACH", "LIST", "FREEZE", "THAW", "STATE", "PAGES", "DIRTY", "SELECT", "PUT", "EVENTS",
				     "REGISTERS", "KEEP", "READ", "BARRIER", "ARRIVE", "RING", "open", "read", "write" };
#define NAMES (sizeof(names) / sizeof(*names))
_Static_assert(NAMES == sizeof(done) / sizeof(*done), "a name for each");

/* Every call has succeeded and has failed: otherwise little was tried. Opening always succeeds. */
static int all_tried(void)
{
	for (size_t i = 0; i < NAMES; i++)
		if (i != OPEN && (!succeeded[i] || succeeded[i] == done[i]))
			return 0;
	return 1;
}

int main(int argc, char **argv)
{
	int seed = argc > 1 ? atoi(argv[1]) : 1, seconds = argc > 2 ? atoi(argv[2]) : 10, frozen;
	struct timespec now, end;
	pthread_t threads[THREADS];
	struct sigaction action = { .sa_handler = interrupted };
	int rounds = 0;
	char value = 0;

	sigaction(SIGUSR1, &action, NULL);
	if (argc == 3 && !strcmp(argv[1], "victim"))
		victim(getpid());
	mkdir(GROUP, 0755);
	freezer = open(GROUP "/cgroup.freeze", O_RDWR | O_CLOEXEC);
	if (freezer < 0)
		return perror(GROUP), 1;
	for (int i = 0; i < SESSIONS; i++) {
		sessions[i] = open("/dev/ckpt", O_RDWR | O_CLOEXEC);
		barriers[i] = -1;
		rings[i] = -1;
	}
	contexts = mmap(NULL, PROCESSES * sizeof(*contexts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (contexts == MAP_FAILED)
		return perror("mmap"), 1;
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += seconds;
	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets))
		return perror("socketpair"), 1;
	keep_processes(&seed);
	for (long i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, worker, (void *)(uintptr_t)((seed + i) * 0x9e3779b97f4a7c15UL | 1)))
			return 1;
	do {
		keep_processes(&seed);
		usleep(5000);
		/* A mutated deadline may be a minute away. */
		if (++rounds % 10 == 0)
			pthread_kill(threads[rounds / 10 % THREADS], SIGUSR1);
		clock_gettime(CLOCK_MONOTONIC, &now);
		/* On a busy machine that takes longer. */
	} while (now.tv_sec < end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec) || !all_tried());
	over = 1;
	for (int i = 0; i < THREADS; i++)
		while (pthread_tryjoin_np(threads[i], NULL)) {
			pthread_kill(threads[i], SIGUSR1);
			usleep(1000);
		}

	/* Whatever was held is let go by the end of the sessions. */
	for (int i = 0; i < SESSIONS; i++)
		close(sessions[i]);
	frozen = open(GROUP "/cgroup.freeze", O_RDONLY | O_CLOEXEC);
	if (read(frozen, &value, 1) != 1 || value != '0')
		return printf("fail fuzz: the group is still frozen\n"), 1;
	for (int i = 0; i < PROCESSES; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	for (size_t i = 0; i < NAMES; i++)
		printf("%s %lu of %lu\n", names[i], (unsigned long)succeeded[i], (unsigned long)done[i]);
	printf("pass fuzz\n");
	return 0;
}
