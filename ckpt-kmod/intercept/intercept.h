/* SPDX-License-Identifier: MIT */
/*
 * Inside of the interceptor. One object without a version of any symbol: it loads beside any C library, and asks at run time for what not every
 * one has (all that is declared weak here). Where something is missing, it does nothing at all.
 */
#ifndef CKPT_INTERCEPT_H
#define CKPT_INTERCEPT_H

#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "holdfast.h"
#include "protocol.h"

#pragma weak pthread_create
#pragma weak pthread_join
#pragma weak pthread_sigmask
#pragma weak pthread_attr_init
#pragma weak pthread_attr_setstacksize
#pragma weak pthread_attr_destroy
#pragma weak dl_iterate_phdr
#pragma weak __fpending
#pragma weak __fwriting
#pragma weak __fsetlocking
#pragma weak ftrylockfile
#pragma weak funlockfile
#pragma weak fflush_unlocked
#pragma weak fileno_unlocked

#define EXPORTED __attribute__((visibility("default")))

/* Thread-local, in the space that every program keeps for libraries that are there from its start. */
#define OF_THREAD __thread __attribute__((tls_model("initial-exec")))

/* sys.c: system calls that leave errno alone and cannot be intercepted by others. Negative errors, as the kernel gives them. */
long sys(long number, long a, long b, long c, long d, long e, long f);
#define sys0(n) sys(n, 0, 0, 0, 0, 0, 0)
#define sys1(n, a) sys(n, (long)(a), 0, 0, 0, 0, 0)
#define sys2(n, a, b) sys(n, (long)(a), (long)(b), 0, 0, 0, 0)
#define sys3(n, a, b, c) sys(n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define sys4(n, a, b, c, d) sys(n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define sys6(n, a, b, c, d, e, f) sys(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/* CLOCK_MONOTONIC in ns. */
int64_t now(void);
/* Waits while a word of this process has a value, at most so many ns (below 0: without an end). */
void wait_while(atomic_uint *word, unsigned int value, int64_t time);
void wake_all(atomic_uint *word);
void copy_text(char *to, const char *from);

/* thread.c: the checkpoint thread and its life. */
extern const volatile struct ckpt_board *ckpt_the_board;
/* Whether this thread is one of ours. */
extern OF_THREAD bool ckpt_is_ours;
/*
 * Ends the checkpoint thread, for a call that fails beside another thread or changes what only the caller has (rights). True when come_back() has to
 * follow.
 */
bool ckpt_step_aside(void);
/* Lets it be made again, with the rights that the caller has now. */
void ckpt_come_back(void);
/* The same, but it is not made again before execve(2). */
void ckpt_stay_away(void);
/* Whether this process, not only one whose memory it shares or has a copy of, has had its thread made. */
bool ckpt_has_thread(void);
/* In the child, when fork(2) is over. */
void ckpt_after_fork(void);

/* talk.c: one conversation with the supervisor. Null: go on; else why the checkpoint has to be refused. */
struct ckpt_work {
	/* Says what is waited for. */
	void (*stage)(const char *text);
	/* Whether nobody waits for the answer any more. */
	bool (*called_off)(void);
	int64_t deadline;
	bool unflushed;
	char refusal[CKPT_TEXT];
};
/* Returns for how many ms to hold still, after all are ready; 0 when nothing will follow. *asked says whether the hooks were called. */
uint32_t ckpt_talk(uint64_t nonce, bool (*prepare)(struct ckpt_work *work), bool *asked);

/* hooks.c */
bool ckpt_run_prepare(struct ckpt_work *work);
void ckpt_run_hooks(enum ckpt_moment moment);
/* Lets no critical section begin, and waits until none is left; false when the deadline came first: then they may begin again. */
bool ckpt_close_sections(struct ckpt_work *work);
void ckpt_open_sections(void);
/* In the child of a fork: only the caller's own sections are left. */
void ckpt_sections_after_fork(void);

/* flush.c: writes what streams have buffered; false when that is not safe here, or was not done in time. */
bool ckpt_flush(int64_t deadline);
/* No fork happens while a stream is written. */
void ckpt_flush_lock(void);
void ckpt_flush_unlock(bool in_child);

#endif
