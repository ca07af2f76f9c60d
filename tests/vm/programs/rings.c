// SPDX-License-Identifier: GPL-2.0
/* RING: what rings of asynchronous input and output have in flight, what they have counted, and that a new one counts on from there. */
#include "kit.h"
#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <poll.h>

struct uring {
	int fd;
	uint8_t *rings;
	struct io_uring_sqe *requests;
	struct io_uring_params made;
};

static struct uring make_uring(uint32_t flags, uint32_t entries)
{
	struct uring ring = { .made.flags = flags };

	ring.fd = syscall(SYS_io_uring_setup, entries, &ring.made);
	CHECK(ring.fd >= 0);
	ring.rings = mmap(NULL, ring.made.sq_off.array + ring.made.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd, IORING_OFF_SQ_RING);
	ring.requests = mmap(NULL, ring.made.sq_entries * sizeof(*ring.requests), PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd, IORING_OFF_SQES);
	CHECK(ring.rings != MAP_FAILED && ring.requests != MAP_FAILED);
	return ring;
}

static volatile uint32_t *word(const struct uring *ring, uint32_t at)
{
	return (void *)(ring->rings + at);
}

/* Puts a request in. */
static void submit(const struct uring *ring, struct io_uring_sqe request)
{
	volatile uint32_t *tail = word(ring, ring->made.sq_off.tail);
	uint32_t index = *tail & (ring->made.sq_entries - 1);

	ring->requests[index] = request;
	*word(ring, ring->made.sq_off.array + index * 4) = index;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	CHECK(syscall(SYS_io_uring_enter, ring->fd, 1, 0, 0, NULL, 0) == 1);
}

/* Takes a completion out, of that request. */
static void take(const struct uring *ring, uint64_t request)
{
	volatile uint32_t *head = word(ring, ring->made.cq_off.head);
	const struct io_uring_cqe *all = (void *)(ring->rings + ring->made.cq_off.cqes);

	CHECK(syscall(SYS_io_uring_enter, ring->fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 0);
	CHECK(*word(ring, ring->made.cq_off.tail) != *head);
	CHECK(all[*head & (ring->made.cq_entries - 1)].user_data == request);
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
}

static void nothing(const struct uring *ring, uint64_t number)
{
	submit(ring, (struct io_uring_sqe){ .opcode = IORING_OP_NOP, .user_data = number });
	take(ring, number);
}

static struct ckpt_ring look(int session, const struct uring *ring)
{
	struct ckpt_ring call = { .size = sizeof(call), .fd = ring->fd };

	CHECK(!ioctl(session, CKPT_RING, &call));
	return call;
}

/* A request is in flight until whoever has answered it has put it away, a moment after its completion can be seen. */
static struct ckpt_ring look_when_quiet(int session, const struct uring *ring)
{
	struct ckpt_ring now = look(session, ring);

	for (int i = 0; i < 1000 && now.in_flight; i++) {
		usleep(1000);
		now = look(session, ring);
	}
	CHECK(!now.in_flight);
	return now;
}

static int set(int session, const struct uring *ring, uint32_t sq_head, uint32_t cq_tail)
{
	struct ckpt_ring call = { .size = sizeof(call), .flags = CKPT_RING_SET, .fd = ring->fd, .sq_head = sq_head, .cq_tail = cq_tail };

	return ioctl(session, CKPT_RING, &call);
}

TEST(a_ring_tells_how_it_was_made_and_what_it_has_counted)
{
	struct uring ring = make_uring(IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CLAMP, 8);
	int session = open_session();
	struct ckpt_ring now = look(session, &ring);

	CHECK(now.setup == (IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CLAMP) && now.sq_entries == 8 && now.cq_entries == 16);
	CHECK(!now.in_flight && !now.has && !now.sq_head && !now.cq_tail && !now.issuer);
	/* Its descriptor and two mappings. */
	CHECK(now.references == 3);
	CHECK(now.sq_head_at == ring.made.sq_off.head && now.sq_tail_at == ring.made.sq_off.tail && now.sq_mask_at == ring.made.sq_off.ring_mask);
	CHECK(now.sq_entries_at == ring.made.sq_off.ring_entries && now.sq_flags_at == ring.made.sq_off.flags && now.sq_dropped_at == ring.made.sq_off.dropped);
	CHECK(now.sq_array_at == ring.made.sq_off.array && now.cq_head_at == ring.made.cq_off.head && now.cq_tail_at == ring.made.cq_off.tail);
	CHECK(now.cq_mask_at == ring.made.cq_off.ring_mask && now.cq_entries_at == ring.made.cq_off.ring_entries && now.cq_overflow_at == ring.made.cq_off.overflow);
	CHECK(now.cq_flags_at == ring.made.cq_off.flags && now.cqes_at == ring.made.cq_off.cqes);
	for (int i = 0; i < 100; i++)
		nothing(&ring, i);
	now = look(session, &ring);
	CHECK(!now.in_flight && now.sq_head == 100 && now.cq_tail == 100);
}

TEST(requests_in_flight_are_counted_until_they_end)
{
	struct uring ring = make_uring(0, 8);
	int session = open_session(), pipes[2];
	struct ckpt_ring now;
	char bytes[8];

	CHECK(!pipe(pipes));
	submit(&ring, (struct io_uring_sqe){ .opcode = IORING_OP_READ, .fd = pipes[0], .addr = (uintptr_t)bytes, .len = 1, .user_data = 1 });
	submit(&ring, (struct io_uring_sqe){ .opcode = IORING_OP_READ, .fd = pipes[0], .addr = (uintptr_t)bytes, .len = 1, .user_data = 2 });
	now = look(session, &ring);
	CHECK(now.in_flight == 2 && now.sq_head == 2 && !now.cq_tail);
	nothing(&ring, 3);
	CHECK(look(session, &ring).in_flight == 2);
	/* In whichever order. */
	CHECK(write(pipes[1], "ab", 2) == 2);
	CHECK(syscall(SYS_io_uring_enter, ring.fd, 0, 2, IORING_ENTER_GETEVENTS, NULL, 0) == 0);
	*word(&ring, ring.made.cq_off.head) += 2;
	now = look_when_quiet(session, &ring);
	CHECK(now.sq_head == 3 && now.cq_tail == 3);
	/* One that ends more than once. */
	submit(&ring, (struct io_uring_sqe){ .opcode = IORING_OP_POLL_ADD, .fd = pipes[0], .poll32_events = POLLIN, .len = IORING_POLL_ADD_MULTI, .user_data = 4 });
	CHECK(look(session, &ring).in_flight == 1);
	CHECK(write(pipes[1], "c", 1) == 1);
	take(&ring, 4);
	now = look(session, &ring);
	CHECK(now.in_flight == 1 && now.sq_head == 4 && now.cq_tail == 4);
	submit(&ring, (struct io_uring_sqe){ .opcode = IORING_OP_POLL_REMOVE, .addr = 4, .user_data = 5 });
	CHECK(syscall(SYS_io_uring_enter, ring.fd, 0, 2, IORING_ENTER_GETEVENTS, NULL, 0) == 0);
	now = look_when_quiet(session, &ring);
	CHECK(now.sq_head == 5 && now.cq_tail == 6);
}

TEST(a_request_that_a_worker_has_is_in_flight)
{
	struct uring ring = make_uring(0, 8);
	int session = open_session(), pipes[2];
	char byte;

	CHECK(!pipe(pipes));
	submit(&ring, (struct io_uring_sqe){ .opcode = IORING_OP_READ, .flags = IOSQE_ASYNC, .fd = pipes[0], .addr = (uintptr_t)&byte, .len = 1, .user_data = 1 });
	usleep(50000);
	CHECK(look(session, &ring).in_flight == 1);
	CHECK(write(pipes[1], "a", 1) == 1);
	take(&ring, 1);
	look_when_quiet(session, &ring);
}

TEST(what_was_registered_with_a_ring_is_told)
{
	struct {
		uint32_t has, opcode;
	} kinds[] = {
		{ CKPT_RING_FILES, IORING_REGISTER_FILES }, { CKPT_RING_BUFFERS, IORING_REGISTER_BUFFERS },
		{ CKPT_RING_EVENTFD, IORING_REGISTER_EVENTFD }, { CKPT_RING_PERSONALITIES, IORING_REGISTER_PERSONALITY },
		{ CKPT_RING_WORKERS, IORING_REGISTER_IOWQ_MAX_WORKERS }, { CKPT_RING_RESTRICTIONS, IORING_REGISTER_RESTRICTIONS },
	};
	static char buffer[PAGE] __attribute__((aligned(PAGE)));
	struct io_uring_restriction restriction = { .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_NOP };
	struct iovec vector = { buffer, sizeof(buffer) };
	int session = open_session(), zero = 0;
	uint32_t workers[2] = { 2, 2 };

	for (unsigned int i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		struct uring ring = make_uring(kinds[i].has == CKPT_RING_RESTRICTIONS ? IORING_SETUP_R_DISABLED : 0, 4);
		const void *argument = kinds[i].has == CKPT_RING_BUFFERS ? &vector : kinds[i].has == CKPT_RING_WORKERS ? (void *)workers :
				       kinds[i].has == CKPT_RING_RESTRICTIONS ? (void *)&restriction : kinds[i].has == CKPT_RING_PERSONALITIES ? NULL : &zero;

		if (kinds[i].has == CKPT_RING_EVENTFD)
			zero = syscall(SYS_eventfd2, 0, 0);
		CHECK(!look(session, &ring).has);
		CHECK(syscall(SYS_io_uring_register, ring.fd, kinds[i].opcode, argument,
			      kinds[i].has == CKPT_RING_PERSONALITIES ? 0 : kinds[i].has == CKPT_RING_WORKERS ? 2 : 1) >= 0);
		CHECK(look(session, &ring).has == kinds[i].has);
	}
}

TEST(a_thread_that_alone_may_submit_is_named)
{
	struct uring ring = make_uring(IORING_SETUP_SINGLE_ISSUER, 4);
	int session = open_session();

	CHECK(look(session, &ring).issuer == getpid());
}

static void counts_on(int session, uint32_t sq_head, uint32_t cq_tail)
{
	struct uring ring = make_uring(0, 4);
	struct ckpt_ring now;

	CHECK(!set(session, &ring, sq_head, cq_tail));
	CHECK(*word(&ring, ring.made.sq_off.head) == sq_head && *word(&ring, ring.made.cq_off.tail) == cq_tail);
	/* The two that are the program's own. */
	*word(&ring, ring.made.sq_off.tail) = sq_head;
	*word(&ring, ring.made.cq_off.head) = cq_tail;
	for (int i = 0; i < 21; i++)
		nothing(&ring, i);
	/* Waits for all before it: the sums must fit. */
	submit(&ring, (struct io_uring_sqe){ .opcode = IORING_OP_NOP, .flags = IOSQE_IO_DRAIN, .user_data = 77 });
	take(&ring, 77);
	now = look_when_quiet(session, &ring);
	CHECK(now.sq_head == sq_head + 22 && now.cq_tail == cq_tail + 22);
}

TEST(a_new_ring_counts_on_from_where_it_is_told_to)
{
	int session = open_session();

	counts_on(session, 0, 0);
	counts_on(session, 1, 1);
	counts_on(session, 4000000007U, 12);
	counts_on(session, 0xfffffffdU, 0xfffffff0U);
	counts_on(session, 5, 4000000006U);
}

TEST(a_ring_that_was_used_cannot_be_set)
{
	struct uring ring = make_uring(0, 4);
	int session = open_session(), pipes[2];
	char byte;

	nothing(&ring, 1);
	FAILS(EBUSY, set(session, &ring, 5, 5));
	CHECK(look(session, &ring).sq_head == 1);
	ring = make_uring(0, 4);
	CHECK(!set(session, &ring, 5, 5));
	FAILS(EBUSY, set(session, &ring, 6, 6));
	ring = make_uring(0, 4);
	CHECK(!pipe(pipes));
	submit(&ring, (struct io_uring_sqe){ .opcode = IORING_OP_READ, .fd = pipes[0], .addr = (uintptr_t)&byte, .len = 1 });
	FAILS(EBUSY, set(session, &ring, 5, 5));
}

TEST(what_is_no_ring_is_refused)
{
	struct ckpt_ring call = { .size = sizeof(call), .fd = 0 };
	struct uring ring = make_uring(0, 4);
	int session = open_session();

	FAILS(EOPNOTSUPP, ioctl(session, CKPT_RING, &call));
	call.fd = session;
	FAILS(EOPNOTSUPP, ioctl(session, CKPT_RING, &call));
	call.fd = 4000;
	FAILS(EBADF, ioctl(session, CKPT_RING, &call));
	call = (struct ckpt_ring){ .size = sizeof(call), .fd = ring.fd, .pid = getpid() };
	FAILS(EINVAL, ioctl(session, CKPT_RING, &call));
	call = (struct ckpt_ring){ .size = sizeof(call), .fd = ring.fd, .sq_head = 1 };
	FAILS(EINVAL, ioctl(session, CKPT_RING, &call));
	call = (struct ckpt_ring){ .size = sizeof(call), .fd = ring.fd, .flags = 2 };
	FAILS(EINVAL, ioctl(session, CKPT_RING, &call));
	call = (struct ckpt_ring){ .size = sizeof(call), .fd = ring.fd, .reserved = 1 };
	FAILS(EINVAL, ioctl(session, CKPT_RING, &call));
	call = (struct ckpt_ring){ .size = sizeof(call), .fd = -1, .pid = getpid() };
	FAILS(ESRCH, ioctl(session, CKPT_RING, &call));
}

struct aio {
	volatile aio_context_t context;
	int pipes[2];
};

static void poll_by_aio(void *argument)
{
	struct aio *aio = argument;
	struct iocb request = { .aio_lio_opcode = IOCB_CMD_POLL, .aio_fildes = aio->pipes[0], .aio_buf = POLLIN }, *requests = &request;
	aio_context_t context = 0;

	CHECK(!syscall(SYS_io_setup, 16, &context));
	CHECK(syscall(SYS_io_submit, context, 1, &requests) == 1);
	aio->context = context;
	idle(NULL);
}

static int look_at_context(int session, pid_t pid, uint64_t address, uint64_t *in_flight)
{
	struct ckpt_ring call = { .size = sizeof(call), .fd = -1, .pid = pid, .address = address };
	int ret = ioctl(session, CKPT_RING, &call);

	*in_flight = call.in_flight;
	return ret;
}

TEST(requests_of_linux_aio_in_flight_are_counted)
{
	struct aio *aio = shared_memory(sizeof(*aio));
	struct ckpt_freeze call;
	uint64_t in_flight;
	int session;
	pid_t pid;

	CHECK(!pipe(aio->pipes));
	pid = victim(poll_by_aio, aio);
	session = open_session();
	CHECK(!attach(session, pid, 0));
	FAILS(EBUSY, look_at_context(session, pid, aio->context, &in_flight));
	CHECK(!freeze(session, &call, 5000));
	CHECK(!look_at_context(session, pid, aio->context, &in_flight) && in_flight == 1);
	FAILS(ENOENT, look_at_context(session, pid, aio->context + PAGE, &in_flight));
	FAILS(ENOENT, look_at_context(session, pid, 0, &in_flight));
	CHECK(write(aio->pipes[1], "a", 1) == 1);
	for (int i = 0; i < 1000 && !look_at_context(session, pid, aio->context, &in_flight) && in_flight; i++)
		usleep(1000);
	CHECK(!in_flight);
	CHECK(!thaw(session));
}

static void leave_a_worker(void *unused)
{
	struct uring ring = make_uring(0, 4);

	(void)unused;
	/* The worker that did it stays for a while. */
	submit(&ring, (struct io_uring_sqe){ .opcode = IORING_OP_NOP, .flags = IOSQE_ASYNC, .user_data = 1 });
	take(&ring, 1);
	idle(NULL);
}

TEST(workers_of_a_ring_are_no_threads_of_the_process)
{
	static uint8_t records[1 << 20];
	pid_t pid = victim(leave_a_worker, NULL);
	int session = frozen_session(pid);
	struct ckpt_state call = { .size = sizeof(call), .pid = pid, .buffer = (uintptr_t)records, .length = sizeof(records) };
	const struct ckpt_record *record;
	char path[64];
	int threads = 0;

	sprintf(path, "/proc/%d/status", pid);
	CHECK(read_number(path, "Threads:") == 2);
	CHECK(!ioctl(session, CKPT_STATE, &call));
	for (record = (void *)records; (uint8_t *)record < records + call.length; record = (void *)((uint8_t *)record + record->size))
		threads += record->type == CKPT_RECORD_THREAD;
	CHECK(threads == 1);
}
