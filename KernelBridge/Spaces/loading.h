/*
 * Memory that comes on demand, after a lazy restore: the init has the userfaultfd of every process that still lacks pages, and alone reads it and
 * fills it. A supervisor that dies changes nothing about that: faults wait for the next one.
 *
 * What a process lacks is its list of segments: addresses, and the place in the snapshot that belongs there. A fork copies the list, and mremap,
 * munmap and MADV_DONTNEED change it, in the order in which the kernel reports them. Addresses in no segment have nothing to come: they get zeros.
 * A feeder (a connection of the supervisor's) is told about faults in segments, hands over bytes in memory that it shares with us, and says which parts
 * of the snapshot are finished; those leave all lists. Whoever has an empty list is let go.
 *
 * The rule for those who wait: whenever a list changes, or a copy is refused for the moment, they are woken, and come again if they still lack the page.
 */
#ifndef HOLDFAST_LOADING_H
#define HOLDFAST_LOADING_H

#include <linux/errno.h>
#include <linux/eventpoll.h>
#include <linux/ioctl.h>
#include <linux/userfaultfd.h>

#include "freestanding.h"

#define PAGE 4096ull
#define ALL_ADDRESSES 0x7ffffffff000ull

struct segment {
	u64 start;
	u64 end;
	u64 source; /* where in the stream the byte at start lies */
	u32 stream;
	u32 padding;
};

struct memory {
	int fd; /* -1: free */
	int again; /* something was refused for the moment */
	u32 count;
	u32 room;
	struct segment *segments;
};

/* On the connection of the feeder, both ways. KernelBridge/Loading/FeedMessage.cs has the same. */
struct feed {
	u32 op;
	s32 error;
	u32 stream;
	u32 padding;
	u64 offset; /* in the stream */
	u64 length;
	u64 at;	  /* in the shared memory */
	u64 from; /* what of the stream is finished afterwards */
	u64 to;
};

enum {
	FEED_PLACE = 1, /* put bytes where they belong; answered when something is finished by it, or failed */
	FEED_NEXT = 2,	/* asks for the next part of the stream, from offset on, that is not finished: from and to; 0 for none */
	FEED_FAULT = 3, /* from the init: somebody waits for this byte */
};

static struct memory *memories;
static u32 memory_count, memory_room;
static u32 memories_in_use, memories_since_sweep;
static long memory_events; /* an epoll, -1 before there is any */
static int feeder;	   /* index of the connection, -1 for none */
static const u8 *feed_buffer;
static u64 feed_size;
static struct feed feed_pending;
static int feed_is_pending;

static __attribute__((noreturn)) void give_up(void);
static int feeder_descriptor(void);

static void loading_begin(void)
{
	memory_events = -1;
	feeder = -1;
}

static int is_loading(void)
{
	return memories_in_use > 0;
}

/* Room for more elements; what there is stays. */
static void *grow(void *old, u32 *room, u64 size)
{
	u64 had = (*room * size + PAGE - 1) & ~(PAGE - 1), bytes = had ? had * 2 : 4 * PAGE;
	/* PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS; MREMAP_MAYMOVE */
	long result = had ? sc4(__NR_mremap, old, had, bytes, 1) : sc6(__NR_mmap, 0, bytes, 3, 0x22, -1, 0);

	if (result < 0)
		give_up();
	*room = (u32)(bytes / size);
	return (void *)result;
}

static void insert_segment(struct memory *m, u32 at, struct segment segment)
{
	u32 i;

	if (m->count == m->room)
		m->segments = grow(m->segments, &m->room, sizeof *m->segments);
	for (i = m->count++; i > at; i--)
		m->segments[i] = m->segments[i - 1];
	m->segments[at] = segment;
}

static void remove_segment(struct memory *m, u32 at)
{
	m->count--;
	for (; at < m->count; at++)
		m->segments[at] = m->segments[at + 1];
}

/* Nothing is to come at these addresses any more. */
static void cut(struct memory *m, u64 start, u64 end)
{
	u32 j = 0;

	while (j < m->count) {
		struct segment *s = &m->segments[j];
		struct segment rest = *s;

		if (s->end <= start || s->start >= end) {
			j++;
			continue;
		}
		rest.start = end;
		rest.source += end - s->start;
		if (s->start < start) {
			s->end = start;
			j++;
			if (rest.end > end)
				insert_segment(m, j++, rest);
		} else if (s->end > end) {
			*s = rest;
			j++;
		} else {
			remove_segment(m, j);
		}
	}
}

/* mremap(2) moved pages, and what is missing among them. */
static void move(struct memory *m, u64 from, u64 to, u64 length)
{
	u32 j = 0;

	cut(m, to, to + length);
	while (j < m->count) {
		struct segment s = m->segments[j];
		u64 start = s.start > from ? s.start : from, end = s.end < from + length ? s.end : from + length;

		if (start >= end) {
			j++;
			continue;
		}
		s.source += start - s.start;
		s.start = start + (to - from);
		s.end = end + (to - from);
		cut(m, start, end);
		insert_segment(m, m->count, s);
	}
}

static void wake(struct memory *m, u64 start, u64 end)
{
	struct uffdio_range range = { start, end - start };

	if (end > start)
		sc3(__NR_ioctl, m->fd, UFFDIO_WAKE, &range);
}

static void wake_all(struct memory *m)
{
	m->again = 0;
	/* From the lowest address that may be mapped. */
	wake(m, 0x10000, ALL_ADDRESSES);
}

/* The process is complete, or gone. Closing the last descriptor takes the registrations back and lets everybody who waits go on. */
static void forget(struct memory *m)
{
	sc1(__NR_close, m->fd);
	m->fd = -1;
	m->count = 0;
	if (m->room)
		sc2(__NR_munmap, m->segments, (m->room * sizeof *m->segments + PAGE - 1) & ~(PAGE - 1));
	m->room = 0;
	m->again = 0;
	memories_in_use--;
}

/* Takes over a userfaultfd. */
static struct memory *add_memory(s32 fd)
{
	struct epoll_event event = { 0 };
	struct memory *m;
	u32 i;

	for (i = 0; i < memory_count && memories[i].fd >= 0; i++)
		;
	if (i == memory_room)
		memories = grow(memories, &memory_room, sizeof *memories);
	if (i == memory_count)
		memory_count++;
	m = &memories[i];
	memset(m, 0, sizeof *m);
	m->fd = fd;
	memories_in_use++;
	if (memory_events < 0)
		memory_events = sc1(__NR_epoll_create1, 02000000 /* EPOLL_CLOEXEC */);
	event.events = EPOLLIN;
	event.data = i;
	if (memory_events < 0 || sc4(__NR_epoll_ctl, memory_events, EPOLL_CTL_ADD, fd, &event) < 0)
		give_up();
	return m;
}

/* Lets go of processes that have ended: their number tells nothing else. A copy from nowhere changes nothing in those that live. */
static void sweep(void)
{
	u32 i;

	memories_since_sweep = 0;
	for (i = 0; i < memory_count; i++) {
		struct uffdio_copy copy = { ALL_ADDRESSES - PAGE, 0, PAGE, 0, 0 };

		if (memories[i].fd >= 0 && sc3(__NR_ioctl, memories[i].fd, UFFDIO_COPY, &copy) == -ESRCH)
			forget(&memories[i]);
	}
}

static void forked(u32 parent, s32 fd)
{
	struct memory *m;
	u32 j;

	if (++memories_since_sweep >= 64 + memories_in_use / 2)
		sweep();
	m = add_memory(fd);
	/* The table may have moved. The child lacks what its parent lacks. */
	for (j = 0; j < memories[parent].count; j++)
		insert_segment(m, j, memories[parent].segments[j]);
}

static int tell_feeder(const struct feed *message)
{
	int fd = feeder_descriptor();

	/* MSG_DONTWAIT | MSG_NOSIGNAL */
	return fd < 0 ? 0 : (int)sc6(__NR_sendto, fd, message, sizeof *message, 0x4040, 0, 0);
}

static void fault(struct memory *m, u64 address)
{
	struct uffdio_zeropage zero = { { address, PAGE }, 0, 0 };
	struct feed message = { 0 };
	u32 j;

	for (j = 0; j < m->count; j++)
		if (m->segments[j].start <= address && address < m->segments[j].end) {
			message.op = FEED_FAULT;
			message.stream = m->segments[j].stream;
			message.offset = m->segments[j].source + (address - m->segments[j].start);
			/* Without a feeder it waits until there is one. */
			if (tell_feeder(&message) < 0)
				m->again = 1;
			return;
		}
	switch (sc3(__NR_ioctl, m->fd, UFFDIO_ZEROPAGE, &zero)) {
	case 0:
		return;
	case -EEXIST:
	case -ENOENT:
		wake(m, address, address + PAGE);
		return;
	case -ESRCH:
		forget(m);
		return;
	default:
		m->again = 1;
	}
}

/* Reads what the kernel reports about one process: in order, and each event takes effect here before anything is filled again. */
static void read_memory(u32 i)
{
	struct uffd_msg message;
	long n;
	int bound;

	for (bound = 0; bound < 64 && memories[i].fd >= 0; bound++) {
		n = sc3(__NR_read, memories[i].fd, &message, sizeof message);
		if (n == -EINTR)
			continue;
		if (n == -EMFILE || n == -ENFILE || n == -ENOMEM) {
			/* A child waits to be born; the kernel keeps the report. */
			sweep();
			n = memories[i].fd < 0 ? -EAGAIN : sc3(__NR_read, memories[i].fd, &message, sizeof message);
			if (n == -EMFILE || n == -ENFILE || n == -ENOMEM)
				give_up();
		}
		if (n != sizeof message)
			return;
		switch (message.event) {
		case UFFD_EVENT_PAGEFAULT:
			fault(&memories[i], message.arg.pagefault.address & ~(PAGE - 1));
			break;
		case UFFD_EVENT_FORK:
			forked(i, (s32)message.arg.fork.ufd);
			break;
		case UFFD_EVENT_REMAP:
			move(&memories[i], message.arg.remap.from, message.arg.remap.to, message.arg.remap.len);
			wake(&memories[i], message.arg.remap.from, message.arg.remap.from + message.arg.remap.len);
			break;
		case UFFD_EVENT_REMOVE:
		case UFFD_EVENT_UNMAP:
			cut(&memories[i], message.arg.remove.start, message.arg.remove.end);
			wake(&memories[i], message.arg.remove.start, message.arg.remove.end);
			break;
		default:
			give_up();
		}
	}
}

static void read_memories(void)
{
	struct epoll_event events[32];
	long n = sc6(__NR_epoll_pwait, memory_events, events, 32, 0, 0, 8);
	long i;

	for (i = 0; i < n; i++)
		if (events[i].data < memory_count && memories[events[i].data].fd >= 0)
			read_memory((u32)events[i].data);
}

/* Fills addresses that lack their pages; those that have them by now are left as they are. */
static long fill(struct memory *m, u64 to, const u8 *bytes, u64 length)
{
	u64 part = length;

	while (length) {
		struct uffdio_copy copy = { to, (u64)bytes, part < length ? part : length, 0, 0 };
		long result = sc3(__NR_ioctl, m->fd, UFFDIO_COPY, &copy);
		u64 done = result == 0 ? copy.len : copy.copy > 0 ? (u64)copy.copy : 0;

		if (result == -ENOENT && !done && copy.len > PAGE) {
			/* It refuses what lies in several areas, into which mprotect(2) for one may have parted this. */
			part = copy.len / PAGE / 2 * PAGE;
			continue;
		}
		part = length;
		if (result != 0 && !done) {
			/* EEXIST: there already. ENOENT of a page: what a child of fork did not inherit (MADV_DONTFORK). */
			if (result != -EEXIST && result != -ENOENT)
				return result;
			wake(m, to, to + PAGE);
			done = PAGE;
		}
		to += done;
		bytes += done;
		length -= done;
	}
	return 0;
}

static long place(const struct feed *message)
{
	u64 end = message->offset + message->length;
	u32 i, j;

	for (i = 0; i < memory_count; i++) {
		struct memory *m = &memories[i];

		for (j = 0; m->fd >= 0 && j < m->count; j++) {
			struct segment *s = &m->segments[j];
			u64 low = s->source > message->offset ? s->source : message->offset;
			u64 high = s->source + (s->end - s->start);
			long result;

			high = high < end ? high : end;
			if (s->stream != message->stream || low >= high)
				continue;
			result = fill(m, s->start + (low - s->source), feed_buffer + message->at + (low - message->offset), high - low);
			if (result == -ESRCH)
				forget(m);
			else if (result != 0)
				return result;
		}
	}
	return 0;
}

/* Nothing of this part of the snapshot is to come any more, to nobody. */
static void finish(u32 stream, u64 from, u64 to)
{
	u32 i, j;

	for (i = 0; i < memory_count; i++) {
		struct memory *m = &memories[i];

		if (m->fd < 0)
			continue;
		for (j = 0; j < m->count;) {
			struct segment s = m->segments[j];
			u64 low = s.source > from ? s.source : from, high = s.source + (s.end - s.start);

			high = high < to ? high : to;
			if (s.stream != stream || low >= high) {
				j++;
				continue;
			}
			cut(m, s.start + (low - s.source), s.start + (high - s.source));
			wake(m, s.start + (low - s.source), s.start + (high - s.source));
		}
		if (m->count == 0)
			forget(m);
	}
}

/* Carries out the feeder's message; one that has to wait for a report of the kernel's is tried again. */
static void run_feed(void)
{
	struct feed *message = &feed_pending;

	message->error = (s32)-place(message);
	if (message->error == EAGAIN)
		return;
	feed_is_pending = 0;
	if (!message->error && message->to > message->from)
		finish(message->stream, message->from, message->to);
	if (message->error || message->to > message->from)
		tell_feeder(message);
}

static void next_part(struct feed *message)
{
	u32 i, j;

	message->from = message->to = 0;
	for (i = 0; i < memory_count; i++)
		for (j = 0; memories[i].fd >= 0 && j < memories[i].count; j++) {
			struct segment *s = &memories[i].segments[j];
			u64 low = s->source > message->offset ? s->source : message->offset, high = s->source + (s->end - s->start);

			if (s->stream == message->stream && low < high && (message->to == 0 || low < message->from)) {
				message->from = low;
				message->to = high;
			}
		}
	tell_feeder(message);
}

static void serve_feed(const struct feed *message)
{
	if (message->op == FEED_NEXT) {
		struct feed answer = *message;

		next_part(&answer);
		return;
	}
	feed_pending = *message;
	feed_is_pending = 1;
	if (message->op != FEED_PLACE || (message->length | message->at | message->offset) % PAGE || message->length > feed_size ||
	    message->at > feed_size - message->length || message->offset + message->length < message->offset) {
		feed_is_pending = 0;
		feed_pending.error = EINVAL;
		tell_feeder(&feed_pending);
		return;
	}
	run_feed();
}

/* Whether something has to be tried again soon. */
static int loading_waits(void)
{
	u32 i;

	if (feed_is_pending)
		return 1;
	for (i = 0; i < memory_count; i++)
		if (memories[i].fd >= 0 && memories[i].again)
			return 1;
	return 0;
}

static void loading_retry(void)
{
	u32 i;

	if (feed_is_pending)
		run_feed();
	for (i = 0; i < memory_count; i++)
		if (memories[i].fd >= 0 && memories[i].again)
			wake_all(&memories[i]);
}

static void feeder_gone(void)
{
	if (feed_buffer)
		sc2(__NR_munmap, feed_buffer, feed_size);
	feed_buffer = 0;
	feed_size = 0;
	feed_is_pending = 0;
	feeder = -1;
}

/* A supervisor offers to feed: memory that we share with it came along. Those who wait say so again. */
static s32 attach_feeder(int connection, s32 fd, u64 size)
{
	long result;
	u32 i;

	if (size == 0 || size % PAGE || size > (1ull << 30))
		return EINVAL;
	/* PROT_READ, MAP_SHARED */
	result = sc6(__NR_mmap, 0, size, 1, 1, fd, 0);
	if (result < 0)
		return (s32)-result;
	feeder = connection;
	feed_buffer = (const u8 *)result;
	feed_size = size;
	for (i = 0; i < memory_count; i++)
		if (memories[i].fd >= 0)
			wake_all(&memories[i]);
	return 0;
}

/* A process that lacks pages: its userfaultfd, and address ranges in pairs, which stand at the beginning of the shared memory. */
static s32 load_memory(s32 *fd, u32 stream, u32 ranges)
{
	const u64 *range = (const u64 *)feed_buffer;
	struct memory *m;
	u32 j;

	if (!feed_buffer || ranges == 0 || ranges > feed_size / 16)
		return EINVAL;
	for (j = 0; j < ranges; j++)
		if ((range[2 * j] | range[2 * j + 1]) % PAGE || range[2 * j] >= range[2 * j + 1] || range[2 * j + 1] > ALL_ADDRESSES)
			return EINVAL;
	m = add_memory(*fd);
	*fd = -1;
	for (j = 0; j < ranges; j++) {
		struct segment s = { range[2 * j], range[2 * j + 1], range[2 * j], stream, 0 };

		insert_segment(m, j, s);
	}
	return 0;
}

#endif
