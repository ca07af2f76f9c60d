// SPDX-License-Identifier: MIT
// Writes what stdio has buffered, while the application goes on.
#include "intercept.h"

#include <fcntl.h>
#include <poll.h>

#include "objects.h"

// The C library's own way through the list of streams, exported since ever and used by debuggers; not in its headers any more.
typedef void *iterator;
extern iterator _IO_iter_begin(void) __attribute__((weak));
extern iterator _IO_iter_end(void) __attribute__((weak));
extern iterator _IO_iter_next(iterator at) __attribute__((weak));
extern FILE *_IO_iter_file(iterator at) __attribute__((weak));
extern void _IO_list_lock(void) __attribute__((weak));
extern void _IO_list_unlock(void) __attribute__((weak));

#define MOST_SKIPPED 64

static atomic_uint flushing; // 0 free, 1 taken, 2 taken and waited for
static OF_THREAD unsigned int held;

void ckpt_flush_lock(void)
{
	unsigned int was = 0;

	// A signal handler that forks in the middle of a fork.
	if (held++)
		return;
	if (atomic_compare_exchange_strong(&flushing, &was, 1))
		return;
	while (atomic_exchange(&flushing, 2) != 0)
		wait_while(&flushing, 2, -1);
}

void ckpt_flush_unlock(bool in_child)
{
	if (in_child) {
		held = 0;
		atomic_store(&flushing, 0);
		return;
	}
	if (!held || --held)
		return;
	if (atomic_exchange(&flushing, 0) == 2)
		wake_all(&flushing);
}

// Output without locks: putc_unlocked(3) is compiled into the program, but for the case that the buffer is full.
static bool is_unlocked_output(const char *name)
{
	static const char *const all[] = {
		"__overflow", "__woverflow", "fwrite_unlocked", "fputs_unlocked", "fputc_unlocked", "putc_unlocked", "putchar_unlocked",
		"fputws_unlocked", "fputwc_unlocked", "putwc_unlocked", "putwchar_unlocked", "fflush_unlocked",
	};

	for (unsigned int i = 0; i < sizeof(all) / sizeof(*all); i++) {
		const char *a = all[i], *b = name;

		while (*a && *a == *b)
			a++, b++;
		if (*a == *b)
			return true;
	}
	return false;
}

// Whether writing to it would neither wait nor meet an end that is gone.
static bool takes_output(int fd)
{
	struct pollfd poll = { .fd = fd, .events = POLLOUT };
	long flags = sys2(SYS_fcntl, fd, F_GETFL);

	return flags >= 0 && !(flags & O_NONBLOCK) && sys3(SYS_poll, &poll, 1, 0) == 1 && poll.revents == POLLOUT;
}

static bool is_listed(FILE *const *list, int count, FILE *stream)
{
	for (int i = 0; i < count; i++)
		if (list[i] == stream)
			return true;
	return false;
}

// A stream that has output and is used by nobody, locked; null when there is none. *busy says that there are others.
static FILE *take_one(FILE *const *skipped, int count, bool *busy)
{
	FILE *found = NULL;

	_IO_list_lock();
	for (iterator at = _IO_iter_begin(); at != _IO_iter_end() && !found; at = _IO_iter_next(at)) {
		FILE *stream = _IO_iter_file(at);

		if (is_listed(skipped, count, stream) || __fsetlocking(stream, FSETLOCKING_QUERY) == FSETLOCKING_BYCALLER)
			continue;
		if (ftrylockfile(stream)) {
			// Only a hint, without its lock: who waits for input with it may do so for ever.
			*busy |= __fwriting(stream) && __fpending(stream);
			continue;
		}
		if (fileno_unlocked(stream) >= 0 && __fwriting(stream) && __fpending(stream))
			found = stream;
		else
			funlockfile(stream);
	}
	_IO_list_unlock();
	return found;
}

bool ckpt_flush(int64_t deadline)
{
	FILE *skipped[MOST_SKIPPED];
	int count = 0;

	if (!_IO_iter_begin || !_IO_iter_end || !_IO_iter_next || !_IO_iter_file || !_IO_list_lock || !_IO_list_unlock || !__fpending ||
	    !__fwriting || !__fsetlocking || !ftrylockfile || !funlockfile || !fflush_unlocked || !fileno_unlocked)
		return false;
	if (ckpt_anybody_uses(is_unlocked_output))
		return false;
	for (bool busy = false;; busy = false) {
		FILE *stream;

		ckpt_flush_lock();
		stream = take_one(skipped, count, &busy);
		if (stream) {
			// What is still there then has an error, and is its owner's.
			if (takes_output(fileno_unlocked(stream)))
				fflush_unlocked(stream);
			if (__fpending(stream) && count < MOST_SKIPPED)
				skipped[count++] = stream;
			funlockfile(stream);
		}
		ckpt_flush_unlock(false);
		if (!stream && !busy)
			return count == 0;
		if (now() >= deadline || count == MOST_SKIPPED)
			return false;
		if (!stream) {
			struct timespec moment = { 0, 2000000 };

			sys2(SYS_nanosleep, &moment, NULL);
		}
	}
}
