/* SPDX-License-Identifier: MIT */
/*
 * What an application that wants to can tell Holdfast: what is to be done around a checkpoint and after a restore, and when not to take one.
 *
 * This header is all that is needed. Nothing is linked: the functions are there when the application runs under "holdfast run --intercept", and do
 * nothing otherwise.
 *
 *	static int prepare(void *log) { return fsync(*(int *)log); }
 *	static void restored(void *cache) { forget_tickets(cache); }
 *	...
 *	ckpt_on_prepare(prepare, &log);
 *	ckpt_on_restore(restored, cache);
 *	...
 *	ckpt_critical_begin("moving the journal");
 *	rename(...); rename(...);
 *	ckpt_critical_end();
 */
#ifndef HOLDFAST_H
#define HOLDFAST_H

#include <errno.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ckpt_moment {
	CKPT_PREPARE,
	CKPT_RESUME,
	CKPT_RESTORE,
};

/* What the interceptor exports; not for direct use: they are null without it. (noplt: a program at a fixed address asks at run time, too.) */
extern int ckpt_hook(enum ckpt_moment moment, void *hook, void *argument) __attribute__((weak, noplt));
extern void ckpt_section_begin(const char *name) __attribute__((weak, noplt));
extern void ckpt_section_end(void) __attribute__((weak, noplt));

/* Whether the interceptor is there: whether anything below has an effect. */
static inline int ckpt_intercepted(void)
{
	return ckpt_hook != NULL;
}

/*
 * Has a function called before each checkpoint, on a thread of the interceptor, while the whole application runs. All signals are blocked on that
 * thread, its stack has 256 KiB, and what changes the rights or namespaces of the process has to wait until it has returned. Anything but 0 means "not now": the checkpoint is refused, and names the process and the number. Hooks are called last in, first out.
 * They stay over fork(2) and are gone after execve(2).
 * Returns 0; ENOSYS without the interceptor; ENOSPC when there are 32 of this kind.
 */
static inline int ckpt_on_prepare(int (*hook)(void *argument), void *argument)
{
	return ckpt_hook ? ckpt_hook(CKPT_PREPARE, (void *)hook, argument) : ENOSYS;
}

/*
 * Has a function called after each checkpoint, good or bad, for which the prepare hooks were called, also those that refused it; first in, first
 * out. The application's own threads run beside it.
 */
static inline int ckpt_on_resume(void (*hook)(void *argument), void *argument)
{
	return ckpt_hook ? ckpt_hook(CKPT_RESUME, (void *)hook, argument) : ENOSYS;
}

/*
 * Has a function called in a restored application, in place of those of resume, in every process, first in, first out. The application's own threads
 * run beside it.
 */
static inline int ckpt_on_restore(void (*hook)(void *argument), void *argument)
{
	return ckpt_hook ? ckpt_hook(CKPT_RESTORE, (void *)hook, argument) : ENOSYS;
}

/*
 * From here to the matching ckpt_critical_end() of the same thread no checkpoint is taken: it waits, and is refused by this name when it has waited
 * too long. May wait itself, while a checkpoint is taken. May be nested. The name has to stay what it is until the end; a literal does.
 */
static inline void ckpt_critical_begin(const char *name)
{
	if (ckpt_section_begin)
		ckpt_section_begin(name);
}

static inline void ckpt_critical_end(void)
{
	if (ckpt_section_end)
		ckpt_section_end();
}

#ifdef __cplusplus
}
#endif

#endif
