/*
 * Subject: contexts of Linux AIO: events that nobody has taken out of rings that have turned, a gap in their numbers, all slots of a
 * context, threads that wait for events with and without a time-out, an eventfd that is told of ends.
 * Cases: calls library
 */
#include "state.h"

#include <dlfcn.h>
#include <linux/aio_abi.h>
#include <sys/eventfd.h>

static int (*library_setup)(int, aio_context_t *), (*library_destroy)(aio_context_t), (*library_submit)(aio_context_t, long, struct iocb **);
static int (*library_getevents)(aio_context_t, long, long, struct io_event *, struct timespec *);
static int library;

static int zero;
static aio_context_t turned, wrapped, fresh, waited;
static struct iocb requests[1024];

/* The library returns errors, the call sets errno. */
static long result(long value)
{
	if (value < 0 && library) {
		errno = (int)-value;
		return -1;
	}
	return value;
}

static long setup(int count, aio_context_t *context)
{
	*context = 0;
	return result(library ? library_setup(count, context) : syscall(SYS_io_setup, count, context));
}

static long destroy(aio_context_t context)
{
	return result(library ? library_destroy(context) : syscall(SYS_io_destroy, context));
}

static long getevents(aio_context_t context, long least, long most, struct io_event *events, struct timespec *limit)
{
	return result(library ? library_getevents(context, least, most, events, limit) : syscall(SYS_io_getevents, context, least, most, events, limit));
}

/* Reads so many bytes that each request is known by its result. */
static long submit(aio_context_t context, int number, int event)
{
	static unsigned char into[4096];
	struct iocb *request = &requests[number % 1024];

	memset(request, 0, sizeof(*request));
	request->aio_data = 0xda7a0000u + (unsigned)number;
	request->aio_lio_opcode = IOCB_CMD_PREAD;
	request->aio_fildes = (unsigned)zero;
	request->aio_buf = (uintptr_t)into;
	request->aio_nbytes = 1 + number % 1000;
	if (event >= 0) {
		request->aio_flags = IOCB_FLAG_RESFD;
		request->aio_resfd = (unsigned)event;
	}
	return result(library ? library_submit(context, 1, &request) : syscall(SYS_io_submit, context, 1, &request));
}

static void take(aio_context_t context, int first, int count)
{
	struct io_event event;

	for (int i = first; i < first + count; i++) {
		EQUAL(getevents(context, 1, 1, &event, NULL), 1);
		EQUAL(event.data, 0xda7a0000u + (unsigned)i);
		EQUAL(event.obj, (uintptr_t)&requests[i % 1024]);
		EQUAL(event.res, 1 + i % 1000);
		EQUAL(event.res2, 0);
	}
}

static void is_empty(aio_context_t context)
{
	struct timespec none = { 0, 0 };
	struct io_event event;

	EQUAL(getevents(context, 0, 1, &event, &none), 0);
}

/* As many as the context has slots for; they are taken out again. */
static int fill(aio_context_t context)
{
	int count = 0;

	while (submit(context, count, -1) == 1)
		count++;
	EQUAL(errno, EAGAIN);
	take(context, 0, count);
	is_empty(context);
	return count;
}

static void *wait_for_event(void *argument)
{
	struct timespec limit = { 7200, 0 };
	struct io_event event;

	EQUAL(getevents(waited, 1, 1, &event, argument ? &limit : NULL), 1);
	return (void *)(uintptr_t)event.data;
}

int main(int argc, char **argv)
{
	aio_context_t gone;
	pthread_t threads[2];
	uint64_t told = 0;
	cpu_set_t all, one;
	int event;
	uintptr_t sum = 0;

	state_begin(argc, argv);
	if (strcmp(state_case, "library") == 0) {
		void *found = dlopen("libaio.so.1", RTLD_NOW);

		library = 1;
		if (!found)
			state_skip("there is no libaio");
		library_setup = (int (*)(int, aio_context_t *))dlsym(found, "io_setup");
		library_destroy = (int (*)(aio_context_t))dlsym(found, "io_destroy");
		library_submit = (int (*)(aio_context_t, long, struct iocb **))dlsym(found, "io_submit");
		library_getevents = (int (*)(aio_context_t, long, long, struct io_event *, struct timespec *))dlvsym(found, "io_getevents", "LIBAIO_0.4");
		CHECK(library_setup && library_destroy && library_submit && library_getevents, "the library lacks a function");
	}
	zero = MUST(open("/dev/zero", O_RDONLY | O_CLOEXEC));
	event = MUST(eventfd(0, EFD_CLOEXEC));
	if (setup(8, &turned) < 0 && errno == ENOSYS)
		state_skip("this kernel has no AIO");
	MUST(setup(8, &gone));
	MUST(setup(8, &wrapped));
	MUST(setup(500, &fresh));
	MUST(setup(8, &waited));
	MUST(destroy(gone));
	/* The kernel sets slots aside for each processor: some for all that there are, and from here on only the last one is used. */
	MUST(sched_getaffinity(0, sizeof(all), &all));
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &all)) {
			CPU_ZERO(&one);
			CPU_SET(cpu, &one);
			MUST(sched_setaffinity(0, sizeof(one), &one));
			EQUAL(submit(turned, 0, -1), 1);
			take(turned, 0, 1);
		}
	CHECK(fill(turned) >= 8, "a context has fewer slots than it was made with");
	for (int i = 0; i < 300; i++) {
		EQUAL(submit(turned, i, -1), 1);
		take(turned, i, 1);
	}
	for (int i = 300; i < 305; i++)
		EQUAL(submit(turned, i, event), 1);
	for (int i = 0; i < 120; i++) {
		EQUAL(submit(wrapped, i, -1), 1);
		take(wrapped, i, 1);
	}
	for (int i = 120; i < 140; i++)
		EQUAL(submit(wrapped, i, -1), 1);
	MUST(pthread_create(&threads[0], NULL, wait_for_event, NULL));
	MUST(pthread_create(&threads[1], NULL, wait_for_event, threads));
	state_ready();
	state_wait_go();
	EQUAL(read(event, &told, sizeof(told)), 8);
	EQUAL(told, 5);
	take(turned, 300, 2);
	EQUAL(submit(turned, 305, event), 1);
	take(turned, 302, 4);
	EQUAL(read(event, &told, sizeof(told)), 8);
	EQUAL(told, 1);
	is_empty(turned);
	/* More than that the kernel does not promise: some are set aside for other processors. */
	CHECK(fill(turned) >= 8, "a context has fewer slots than it was made with");
	take(wrapped, 120, 20);
	is_empty(wrapped);
	is_empty(fresh);
	CHECK(fill(fresh) >= 500, "a context has fewer slots than it was made with");
	for (int i = 1; i <= 2; i++)
		EQUAL(submit(waited, i, -1), 1);
	for (int i = 0; i < 2; i++) {
		void *value;

		pthread_join(threads[i], &value);
		sum += (uintptr_t)value;
	}
	EQUAL(sum, 2 * 0xda7a0000ul + 3);
	is_empty(waited);
	MUST(destroy(fresh));
	CHECK(submit(fresh, 0, -1) < 0 && errno == EINVAL, "a context is there after its end");
	MUST(destroy(turned));
	state_pass();
}
