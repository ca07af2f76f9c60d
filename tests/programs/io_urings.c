/*
 * Subject: rings of io_uring in which nothing is in flight: completions that nobody has taken out, requests that are prepared and not submitted, counters that have
 * gone round, kinds of rings; an epoll set that watches one; a worker of the kernel's that is still there.
 * Cases: plain single wide disabled separate
 * Suite: device
 */
#include "state.h"

#include <linux/io_uring.h>
#include <sys/epoll.h>

struct ring {
	int fd;
	struct io_uring_params made;
	uint8_t *submissions, *completions, *requests;
	uint32_t submitted, taken;	/* as liburing, copies of its own */
};

static uint32_t *in(uint8_t *rings, uint32_t at)
{
	return (uint32_t *)(rings + at);
}

static uint8_t *map(const struct ring *ring, size_t length, off_t offset)
{
	void *at = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->fd, offset);

	CHECK(at != MAP_FAILED, "mapping a ring: %s", strerror(errno));
	return at;
}

static size_t request_size(const struct ring *ring)
{
	return ring->made.flags & IORING_SETUP_SQE128 ? 128 : 64;
}

static size_t completion_size(const struct ring *ring)
{
	return ring->made.flags & IORING_SETUP_CQE32 ? 32 : 16;
}

static void make(struct ring *ring, uint32_t flags, uint32_t entries, int separate)
{
	size_t length;

	memset(ring, 0, sizeof(*ring));
	ring->made.flags = flags;
	ring->fd = (int)syscall(SYS_io_uring_setup, entries, &ring->made);
	if (ring->fd < 0)
		state_skip("io_uring_setup: %s", strerror(errno));
	length = ring->made.sq_off.array + ring->made.sq_entries * 4;
	if (length < ring->made.cq_off.cqes + ring->made.cq_entries * completion_size(ring))
		length = ring->made.cq_off.cqes + ring->made.cq_entries * completion_size(ring);
	ring->submissions = map(ring, length, IORING_OFF_SQ_RING);
	ring->completions = ring->submissions;
	if (separate)
		ring->completions = map(ring, length, IORING_OFF_CQ_RING);
	ring->requests = map(ring, ring->made.sq_entries * request_size(ring), IORING_OFF_SQES);
}

static void prepare(struct ring *ring, struct io_uring_sqe request)
{
	uint32_t index = ring->submitted & (ring->made.sq_entries - 1);

	memset(ring->requests + index * request_size(ring), 0, request_size(ring));
	memcpy(ring->requests + index * request_size(ring), &request, sizeof(request));
	*in(ring->submissions, ring->made.sq_off.array + index * 4) = index;
	__atomic_store_n(in(ring->submissions, ring->made.sq_off.tail), ++ring->submitted, __ATOMIC_RELEASE);
}

static void submit(struct ring *ring, uint32_t count, uint32_t completions)
{
	CHECK(syscall(SYS_io_uring_enter, ring->fd, count, completions, IORING_ENTER_GETEVENTS, NULL, 0) == (long)count, "submitting: %s", strerror(errno));
}

static void nothing(struct ring *ring, uint64_t number, uint8_t flags)
{
	prepare(ring, (struct io_uring_sqe){ .opcode = IORING_OP_NOP, .flags = flags, .user_data = number });
}

static void expect(struct ring *ring, uint64_t number, int32_t result)
{
	const struct io_uring_cqe *found = (void *)(ring->completions + ring->made.cq_off.cqes + (ring->taken & (ring->made.cq_entries - 1)) * completion_size(ring));

	CHECK(*in(ring->completions, ring->made.cq_off.head) == ring->taken, "its head is %u, not %u", *in(ring->completions, ring->made.cq_off.head), ring->taken);
	CHECK(__atomic_load_n(in(ring->completions, ring->made.cq_off.tail), __ATOMIC_ACQUIRE) != ring->taken, "no completion of %llu", (unsigned long long)number);
	CHECK(found->user_data == number && found->res == result, "completion %llu: %d instead of %llu: %d", (unsigned long long)found->user_data, found->res, (unsigned long long)number, result);
	__atomic_store_n(in(ring->completions, ring->made.cq_off.head), ++ring->taken, __ATOMIC_RELEASE);
}

/* Round and round, and some completions more than are taken out. */
static void turn(struct ring *ring, int times, int left)
{
	for (int i = 0; i < times; i++) {
		nothing(ring, 1000 + (uint64_t)i, 0);
		submit(ring, 1, 1);
		expect(ring, 1000 + (uint64_t)i, 0);
	}
	for (int i = 0; i < left; i++) {
		nothing(ring, 5000 + (uint64_t)i, 0);
		submit(ring, 1, 1);
	}
}

static void check_turned(struct ring *ring, int left)
{
	for (int i = 0; i < left; i++)
		expect(ring, 5000 + (uint64_t)i, 0);
	CHECK(*in(ring->completions, ring->made.cq_off.tail) == ring->taken, "more completions than there were");
	CHECK(!*in(ring->submissions, ring->made.sq_off.dropped) && !*in(ring->completions, ring->made.cq_off.overflow), "something was dropped");
	turn(ring, 40, 0);
	/* Waits for all that came before. */
	nothing(ring, 1, 0);
	nothing(ring, 2, IOSQE_IO_DRAIN);
	submit(ring, 2, 2);
	expect(ring, 1, 0);
	expect(ring, 2, 0);
}

static void check_file(struct ring *ring, int file, const char *text)
{
	char bytes[64] = "";

	prepare(ring, (struct io_uring_sqe){ .opcode = IORING_OP_READ, .fd = file, .addr = (uintptr_t)bytes, .len = sizeof(bytes), .off = 0, .user_data = 9 });
	submit(ring, 1, 1);
	expect(ring, 9, (int32_t)strlen(text));
	CHECK(strcmp(bytes, text) == 0, "it read '%s'", bytes);
}

int main(int argc, char **argv)
{
	static const char text[] = "what a ring reads";
	struct ring ring, other;
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = 0xeb011 };
	int file, set, again;
	uint32_t flags;

	state_begin(argc, argv);
	flags = strcmp(state_case, "single") == 0 ? IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN
		: strcmp(state_case, "wide") == 0 ? IORING_SETUP_SQE128 | IORING_SETUP_CQE32
		: strcmp(state_case, "disabled") == 0 ? IORING_SETUP_R_DISABLED : IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CLAMP | IORING_SETUP_COOP_TASKRUN;
	file = MUST(memfd_create("read", MFD_CLOEXEC));
	MUST(pwrite(file, text, strlen(text), 0));
	make(&ring, flags, 16, strcmp(state_case, "separate") == 0);
	again = MUST(fcntl(ring.fd, F_DUPFD, 0));
	make(&other, 0, 4, 0);
	turn(&other, 12345, 1);
	set = MUST(epoll_create1(EPOLL_CLOEXEC));
	MUST(epoll_ctl(set, EPOLL_CTL_ADD, other.fd, &event));
	if (strcmp(state_case, "disabled") != 0) {
		turn(&ring, 333, 7);
		/* By a worker, which stays for some seconds. */
		nothing(&ring, 5007, IOSQE_ASYNC);
		submit(&ring, 1, 8);
		/* What it leaves behind to be put away, whoever has deferred that does when he comes again. */
		for (int i = 0; i < 10; i++) {
			usleep(10000);
			submit(&ring, 0, 0);
		}
		/* Prepared, and not submitted. */
		nothing(&ring, 5008, 0);
	}
	state_ready();
	state_wait_go();

	if (strcmp(state_case, "disabled") != 0) {
		CHECK(*in(ring.submissions, ring.made.sq_off.tail) == ring.submitted, "its tail is %u, not %u", *in(ring.submissions, ring.made.sq_off.tail), ring.submitted);
		CHECK(*in(ring.submissions, ring.made.sq_off.head) == ring.submitted - 1, "its head is %u, not %u", *in(ring.submissions, ring.made.sq_off.head), ring.submitted - 1);
		submit(&ring, 1, 9);
		check_turned(&ring, 9);
	} else {
		CHECK(syscall(SYS_io_uring_enter, ring.fd, 0, 0, 0, NULL, 0) < 0 && errno == EBADFD, "it is not disabled");
		MUST(syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0));
		check_turned(&ring, 0);
	}
	check_file(&ring, file, text);
	CHECK(MUST(epoll_wait(set, &event, 1, 0)) == 1 && event.data.u64 == 0xeb011, "the set does not tell of a completion");
	check_turned(&other, 1);
	CHECK(MUST(epoll_wait(set, &event, 1, 0)) == 0, "the set tells of a completion that was taken out");
	/* By the other descriptor. */
	MUST(close(ring.fd));
	ring.fd = again;
	check_turned(&ring, 0);
	if (strcmp(state_case, "plain") == 0) {
		/* What follows a faulty request is submitted too: so it was made. */
		prepare(&ring, (struct io_uring_sqe){ .opcode = 250, .user_data = 1 });
		nothing(&ring, 2, 0);
		submit(&ring, 2, 2);
		expect(&ring, 1, -EINVAL);
		expect(&ring, 2, 0);
	}
	state_pass();
}
