/*
 * Takes out what has been typed at a pseudo-terminal and not been read, and puts it back as it was, inside the process that has the
 * master (InjectedCalls.RunCode): everything in one go, so that it is complete whatever becomes of whoever started it. No interface
 * shows these bytes otherwise. They are left for the starter to read.
 *
 * Complete lines are read one by one, since where they end shows in nothing else; what is behind them when the terminal is not in
 * canonical mode. They are put back with settings under which a byte is taken as it is when VLNEXT comes before it. That all has
 * arrived shows by an output that the byte behind it (VSTOP) stops. Bytes for which the line discipline had no room yet (they follow
 * as soon as something is read) have not been processed: they are written last, with the settings of before.
 *
 * drivers/tty/n_tty.c, drivers/tty/pty.c, drivers/tty/tty_buffer.c; ioctl_tty(2). The layout is that of TerminalInput.cs.
 */
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/poll.h>

#include "freestanding.h"

enum { SET = 0x402c542b /* TCSETS2 */, PACKETS = 0x5420 /* TIOCPKT */, COUNT = 0x541b /* FIONREAD */ };

/* What a line discipline holds while there is a complete line in it: N_TTY_BUF_SIZE - 1. */
enum { CAPACITY = 4095 };

/* What fits behind it: pty.c sets a limit of 8192 for buffers that hold twice what they count as. Pieces of which two fit the smallest fill them best. */
enum { BEHIND = 16384, PIECE = 256, MOST = 65536 };

enum { LINES = 4352, BYTES = 24576, STREAM = 16384, STACK = 8192 };

/* Milliseconds: for what shows, and for what does not. */
enum { PATIENCE = 5000, ARRIVAL = 30 };

struct turn {
	s32 master;
	s32 slave;
	u32 packets;
	u32 canonical;
	/* Bytes of complete lines that are not read as such: 1 where more may follow than has room, since with no line left too much is thrown away. */
	u32 keep;
	/* VEOL and VEOL2; VLNEXT, VEOF and VSTOP of `put`. */
	u8 ends[2];
	u8 next;
	u8 eof;
	u8 stop;
	u8 unused[3];
	s32 error;
	/* struct termios2: as they are; without any processing; the same and not canonical; for putting back, and then without VSTOP. */
	u8 original[44];
	u8 quiet[44];
	u8 raw[44];
	u8 put[44];
	u8 going[44];
	/* What was found: complete lines, bytes in all of them, bytes behind them that have been processed, bytes in all. */
	u32 lines;
	u32 line_bytes;
	u32 processed;
	u32 total;
	u32 padding;
	u16 lengths[LINES];
	u8 bytes[BYTES];
	u8 stream[STREAM];
	u8 stack[STACK];
};

static void pause_for(u32 milliseconds)
{
	sc3(__NR_poll, 0, 0, milliseconds);
}

static long set(struct turn *t, const u8 *settings)
{
	return sc3(__NR_ioctl, t->master, SET, settings);
}

static u32 available(struct turn *t)
{
	s32 count = 0;

	sc3(__NR_ioctl, t->slave, COUNT, &count);
	return count < 0 ? 0 : (u32)count;
}

static int ends_line(const struct turn *t, u8 byte)
{
	return byte == '\n' || (byte != 0 && (byte == t->ends[0] || byte == t->ends[1]));
}

static void fail(struct turn *t, long error)
{
	if (t->error == 0)
		t->error = (s32)error;
}

static void put(struct turn *t, const u8 *bytes, u32 count, u32 piece)
{
	u32 waited = 0, done = 0;

	while (done < count) {
		u32 left = count - done;
		long n = sc3(__NR_write, t->master, bytes + done, left < piece || done >= BEHIND ? left : piece);

		if (n > 0) {
			done += (u32)n;
		} else if (n < 0 && n != -EAGAIN) {
			fail(t, n);
			return;
		} else if (waited++ == PATIENCE) {
			fail(t, -ETIME);
			return;
		} else {
			pause_for(1);
		}
	}
}

static void close_line(struct turn *t, u32 *open)
{
	t->lengths[t->lines++] = (u16)*open;
	*open = 0;
}

/* Whether something could be read. */
static int read_all(struct turn *t)
{
	u32 left = available(t), open = 0, at, to;
	long n = 0;

	t->processed = left;
	while (t->canonical && t->lines < LINES - 8 && (!t->keep || left > t->keep)) {
		u32 room = t->keep ? left - t->keep : BYTES - t->total;

		n = sc3(__NR_read, t->slave, t->bytes + t->total, room);
		if (n < 0) {
			if (n != -EAGAIN)
				fail(t, n);
			break;
		}
		t->total += (u32)n;
		open += (u32)n;
		left -= (u32)n < left ? (u32)n : left;
		/* Only the last one can be cut. */
		if (!t->keep || (u32)n < room || ends_line(t, t->bytes[t->total - 1]))
			close_line(t, &open);
	}
	if (t->error != 0)
		return 0;
	t->line_bytes = t->total;
	fail(t, set(t, t->raw));
	while (t->total < BYTES && (n = sc3(__NR_read, t->slave, t->bytes + t->total, BYTES - t->total)) > 0)
		t->total += (u32)n;
	if (t->total == t->line_bytes && n < 0 && n != -EAGAIN) {
		fail(t, n);
		return 0;
	}
	if (!t->keep || !t->canonical)
		return 1;

	/* The last byte of the lines comes first now, and an end of file shows as a zero. */
	at = to = t->line_bytes;
	for (; at < t->total && t->bytes[at] == 0 && t->lines < LINES; at++)
		close_line(t, &open);
	if (at < t->total) {
		u8 last = t->bytes[to++] = t->bytes[at++];

		open++;
		close_line(t, &open);
		if (!ends_line(t, last) && at < t->total && t->bytes[at] == 0)
			at++;
	}
	for (; at < t->total && t->bytes[at] == 0 && t->lines < LINES; at++)
		close_line(t, &open);
	t->line_bytes = to;
	while (at < t->total)
		t->bytes[to++] = t->bytes[at++];
	t->total = to;
	return 1;
}

static void put_lines(struct turn *t)
{
	u32 at = 0, slots = t->line_bytes, length = 0, last = 0, i, waited, rest, full;
	struct pollfd poll = { t->slave, POLLOUT, 0 };

	for (i = 0; i < t->lines; i++) {
		u32 end = at + t->lengths[i];
		int by_byte = end > at && ends_line(t, t->bytes[end - 1]);

		for (; at < end; at++) {
			last = length;
			if (!by_byte || at + 1 < end)
				t->stream[length++] = t->next;
			t->stream[length++] = t->bytes[at];
		}
		if (!by_byte) {
			last = length;
			t->stream[length++] = t->eof;
			slots++;
		}
	}
	rest = t->total - at;
	t->processed = t->lines == 0 ? rest : slots >= CAPACITY ? 0 : rest < CAPACITY - slots ? rest : CAPACITY - slots;
	for (i = 0; i < t->processed; i++) {
		last = length;
		t->stream[length++] = t->next;
		t->stream[length++] = t->bytes[at++];
	}
	if (length == 0)
		return;

	/* Behind the last byte that has room, nothing is looked at any more: the one that stops comes before it. */
	full = t->lines > 0 && slots + t->processed >= CAPACITY;
	fail(t, set(t, t->put));
	put(t, t->stream, full ? last : length, MOST);
	put(t, &t->stop, 1, MOST);
	for (waited = 0; sc3(__NR_poll, &poll, 1, 0) > 0; waited++) {
		if (waited == PATIENCE) {
			fail(t, -ETIME);
			break;
		}
		pause_for(waited < 100 ? 0 : 1);
	}
	fail(t, set(t, t->going));
	if (full) {
		put(t, t->stream + last, length - last, MOST);
		pause_for(ARRIVAL);
	}
}

static void put_raw(struct turn *t)
{
	u32 waited;

	if (t->processed > t->total)
		t->processed = t->total;
	put(t, t->bytes, t->processed, MOST);
	for (waited = 0; available(t) < t->processed; waited++) {
		if (waited == PATIENCE) {
			fail(t, -ETIME);
			return;
		}
		pause_for(waited < 100 ? 0 : 1);
	}
}

static __attribute__((used)) void turn(struct turn *t)
{
	long flags = sc3(__NR_fcntl, t->master, F_GETFL, 0);
	struct pollfd poll = { t->slave, POLLIN, 0 };
	s32 off = 0, on = 1;
	u32 done;

	if (flags < 0) {
		fail(t, flags);
		return;
	}
	/* What was written last may be on its way: the kernel hands it over before it says that there is nothing, but not before it says that there is something. */
	if (sc3(__NR_poll, &poll, 1, 0) > 0)
		pause_for(ARRIVAL);
	if (!(flags & O_NONBLOCK))
		sc3(__NR_fcntl, t->master, F_SETFL, flags | O_NONBLOCK);
	if (t->packets)
		sc3(__NR_ioctl, t->master, PACKETS, &off);
	fail(t, set(t, t->quiet));
	if (t->error == 0 && read_all(t)) {
		if (t->canonical)
			put_lines(t);
		else
			put_raw(t);
	}
	fail(t, set(t, t->original));
	if (t->packets)
		sc3(__NR_ioctl, t->master, PACKETS, &on);
	done = t->line_bytes + t->processed;
	if (done < t->total)
		put(t, t->bytes + done, t->total - done, PIECE);
	if (!(flags & O_NONBLOCK))
		sc3(__NR_fcntl, t->master, F_SETFL, flags);
}

/* Called with a struct turn in rdi, and on a stack of which nothing may be used. */
__asm__(".section .text.start,\"ax\",@progbits\n"
	".globl _start\n"
	"_start:\n"
	"	mov %rsp, %rbx\n"
	"	lea turn_size(%rdi), %rsp\n"
	"	cld\n"
	"	call turn\n"
	"	mov %rbx, %rsp\n"
	"	ret\n");

__asm__(".globl turn_size\n.set turn_size, 58128\n");
_Static_assert(sizeof(struct turn) == 58128, "the assembly above says where the stack ends");
