// SPDX-License-Identifier: MIT
// The checkpoint thread: one in every process that is intercepted, asleep until the board changes.
#include "intercept.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#define STACK (256 * 1024)

enum {
	NONE,
	RUNNING,
	ENDING,
};

const volatile struct ckpt_board *ckpt_the_board;
OF_THREAD bool ckpt_is_ours;

static struct {
	atomic_uint lock; // guards state, thread, aside, wanted; never held while anything is waited for
	atomic_uint state;
	pthread_t thread;
	int owner; // the process that has it: memory may be shared (vfork) or a copy (fork by a bare system call)
	unsigned int aside;
	bool wanted;
	atomic_uint quit;
	atomic_uint ended;
	atomic_int tid;
	uint32_t bit;
	// Only the checkpoint thread and, when there is none, who makes it.
	uint32_t seen;
	bool holding;
	int64_t hold_until;
} own;

static void lock(sigset_t *before)
{
	sigset_t all;
	unsigned int was = 0;

	// A handler that comes in between and forks or enters a namespace would wait for itself.
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, before);
	if (atomic_compare_exchange_strong(&own.lock, &was, 1))
		return;
	while (atomic_exchange(&own.lock, 2) != 0)
		wait_while(&own.lock, 2, -1);
}

static void unlock(const sigset_t *before)
{
	if (atomic_exchange(&own.lock, 0) == 2)
		wake_all(&own.lock);
	pthread_sigmask(SIG_SETMASK, before, NULL);
}

static bool make_thread(pthread_t *thread, void *(*start)(void *))
{
	sigset_t all, before;
	pthread_attr_t attributes;
	int result;

	// pthread_sigmask leaves 32 and 33 open, which the C library needs for setuid(2) and pthread_cancel(3).
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK);
	result = pthread_create(thread, &attributes, start, NULL);
	// Thread-local memory that is larger than that.
	if (result == EINVAL)
		result = pthread_create(thread, NULL, start, NULL);
	pthread_attr_destroy(&attributes);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return result == 0;
}

static bool prepare(struct ckpt_work *work)
{
	if (!ckpt_run_prepare(work) || !ckpt_close_sections(work))
		return false;
	work->stage("its buffered output");
	work->unflushed = !ckpt_flush(work->deadline);
	return true;
}

static void let_go(enum ckpt_moment moment)
{
	own.holding = false;
	ckpt_open_sections();
	ckpt_run_hooks(moment);
}

static void gather(uint64_t nonce)
{
	bool asked;
	uint32_t hold = ckpt_talk(nonce, prepare, &asked);

	if (hold) {
		own.holding = true;
		own.hold_until = now() + hold * 1000000LL;
	} else if (asked) {
		let_go(CKPT_RESUME);
	}
}

// Somebody has put a filter on all threads of this process, past the C library: what is not expected of it may be its end.
static bool is_left_out(void)
{
	uint32_t count = ckpt_the_board->left_out;

	for (uint32_t i = 0; i < count && i < CKPT_MOST_LEFT_OUT; i++)
		if (ckpt_the_board->pids[i] == (uint32_t)own.owner)
			return true;
	return false;
}

static void act(uint32_t operation, uint64_t nonce)
{
	switch (operation) {
	case CKPT_BOARD_GATHER:
		// The supervisor that asked before is gone.
		if (own.holding)
			let_go(CKPT_RESUME);
		if (!is_left_out())
			gather(nonce);
		break;
	case CKPT_BOARD_RESUME:
		if (own.holding)
			let_go(CKPT_RESUME);
		break;
	case CKPT_BOARD_RESTORED:
		let_go(CKPT_RESTORE);
		break;
	}
}

static void *watch_the_board(void *argument)
{
	const volatile struct ckpt_board *board = ckpt_the_board;

	(void)argument;
	ckpt_is_ours = true;
	sys2(SYS_prctl, PR_SET_NAME, CKPT_THREAD);
	atomic_store(&own.tid, sys0(SYS_gettid));
	while (own.holding || !atomic_load(&own.quit)) {
		uint32_t generation = __atomic_load_n(&board->generation, __ATOMIC_ACQUIRE), operation;
		uint64_t nonce;

		if ((generation & 1) || generation == own.seen) {
			struct timespec until = { own.hold_until / 1000000000, own.hold_until % 1000000000 };

			sys6(SYS_futex, &board->generation, FUTEX_WAIT_BITSET, generation, own.holding ? &until : NULL, NULL, CKPT_WAKE_ALL | own.bit);
			// Nobody came to end it: the supervisor is gone. If it froze us first, we run again now, which is an end as well.
			if (own.holding && __atomic_load_n(&board->generation, __ATOMIC_ACQUIRE) == generation && now() >= own.hold_until)
				let_go(CKPT_RESUME);
			continue;
		}
		operation = board->operation;
		nonce = board->nonce;
		if (__atomic_load_n(&board->generation, __ATOMIC_ACQUIRE) != generation)
			continue;
		own.seen = generation;
		act(operation, nonce);
	}
	atomic_store(&own.ended, 1);
	wake_all(&own.ended);
	return NULL;
}

// With the lock held.
static void make(void)
{
	if (!own.wanted || own.aside || atomic_load(&own.state) != NONE)
		return;
	own.owner = sys0(SYS_getpid);
	own.bit = 1u << (own.owner % 31);
	atomic_store(&own.quit, 0);
	atomic_store(&own.ended, 0);
	atomic_store(&own.tid, 0);
	// Where no thread can be made, the process goes without: it is captured from outside alone.
	if (make_thread(&own.thread, watch_the_board))
		atomic_store(&own.state, RUNNING);
}

// A thread that was joined is a member of its process for a moment longer, and that is what the kernel looks at.
static void wait_until_gone(int tid)
{
	while (sys3(SYS_tgkill, own.owner, tid, 0) == 0) {
		struct timespec moment = { 0, 50000 };

		sys2(SYS_nanosleep, &moment, NULL);
	}
}

bool ckpt_has_thread(void)
{
	return sys0(SYS_getpid) == own.owner;
}

static bool leave(bool forever)
{
	sigset_t before;
	bool ends_it;

	if (!ckpt_the_board || ckpt_is_ours || !ckpt_has_thread())
		return false;
	lock(&before);
	own.wanted &= !forever;
	own.aside++;
	ends_it = atomic_load(&own.state) == RUNNING;
	if (ends_it) {
		atomic_store(&own.state, ENDING);
		atomic_store(&own.quit, 1);
	}
	unlock(&before);
	if (ends_it) {
		// It may just be on its way to sleep, and a wake-up be lost: it is sent until it is heard.
		while (!atomic_load(&own.ended)) {
			sys6(SYS_futex, &ckpt_the_board->generation, FUTEX_WAKE_BITSET, INT32_MAX, 0, 0, own.bit);
			wait_while(&own.ended, 0, 1000000);
		}
		pthread_join(own.thread, NULL);
		wait_until_gone(atomic_load(&own.tid));
		atomic_store(&own.state, NONE);
		wake_all(&own.state);
	}
	while (atomic_load(&own.state) == ENDING)
		wait_while(&own.state, ENDING, -1);
	return true;
}

bool ckpt_step_aside(void)
{
	return leave(false);
}

void ckpt_come_back(void)
{
	sigset_t before;

	lock(&before);
	own.aside--;
	make();
	unlock(&before);
}

void ckpt_stay_away(void)
{
	if (leave(true))
		ckpt_come_back();
}

static void before_fork(void)
{
	ckpt_flush_lock();
}

static void in_parent(void)
{
	ckpt_flush_unlock(false);
}

// Nothing here may allocate: handlers of an allocator may not have run yet.
static void in_child(void)
{
	ckpt_flush_unlock(true);
	ckpt_is_ours = false;
	atomic_store(&own.lock, 0);
	atomic_store(&own.state, NONE);
	own.aside = 0;
	own.holding = false;
	own.owner = 0;
	ckpt_sections_after_fork();
}

void ckpt_after_fork(void)
{
	sigset_t before;

	if (!ckpt_the_board || own.owner)
		return;
	lock(&before);
	make();
	unlock(&before);
}

// How many seccomp filters this process has; -1 when that cannot be known.
static long count_filters(void)
{
	static const char wanted[] = "Seccomp_filters:";
	char text[4096];
	long fd = sys4(SYS_openat, AT_FDCWD, "/proc/self/status", O_RDONLY | O_CLOEXEC, 0), length, count = 0;
	int at = 0;

	if (fd < 0)
		return -1;
	length = sys3(SYS_read, fd, text, sizeof(text));
	sys1(SYS_close, fd);
	for (long i = 0; i < length; i++) {
		if (!wanted[at]) {
			if (text[i] == '\n')
				return count;
			if (text[i] >= '0' && text[i] <= '9')
				count = count * 10 + text[i] - '0';
		} else {
			at = text[i] == wanted[at] ? at + 1 : 0;
		}
	}
	return -1;
}

static const struct ckpt_board *map_board(void)
{
	const struct ckpt_board *board;
	long fd = sys4(SYS_openat, AT_FDCWD, CKPT_BOARD, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0);
	long length;

	if (fd < 0)
		return NULL;
	length = sys3(SYS_lseek, fd, 0, SEEK_END);
	board = length == CKPT_BOARD_SIZE ? (const struct ckpt_board *)sys6(SYS_mmap, NULL, CKPT_BOARD_SIZE, PROT_READ, MAP_SHARED, fd, 0) : NULL;
	sys1(SYS_close, fd);
	return (uintptr_t)board > (uintptr_t)-4096 || (board && board->magic != CKPT_BOARD_MAGIC) ? NULL : board;
}

extern const char *gnu_get_libc_version(void) __attribute__((weak));
extern int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *handle) __attribute__((weak));

__attribute__((constructor)) static void begin(void)
{
	const struct ckpt_board *board;
	sigset_t before;

	if (!gnu_get_libc_version || !pthread_create || !pthread_join || !pthread_sigmask || !pthread_attr_init || !pthread_attr_setstacksize ||
	    !pthread_attr_destroy || !__register_atfork)
		return;
	board = map_board();
	// Under a filter of its own it might not survive a call that it never expected: it is captured from outside alone.
	if (!board || count_filters() != board->filters)
		return;
	if (__register_atfork(before_fork, in_parent, in_child, NULL))
		return;
	ckpt_the_board = board;
	// What is gathered right now is for this process too: it may be what another program that it was counted as has become.
	own.seen = board->operation == CKPT_BOARD_GATHER ? 0 : board->generation & ~1u;
	own.wanted = true;
	lock(&before);
	make();
	unlock(&before);
}
