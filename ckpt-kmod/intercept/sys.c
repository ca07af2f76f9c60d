// SPDX-License-Identifier: MIT
#include <linux/futex.h>

#include "intercept.h"

long sys(long number, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

int64_t now(void)
{
	struct timespec time;

	sys2(SYS_clock_gettime, CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

void wait_while(atomic_uint *word, unsigned int value, int64_t time)
{
	struct timespec limit = { time / 1000000000, time % 1000000000 };

	sys4(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, time < 0 ? NULL : &limit);
}

void wake_all(atomic_uint *word)
{
	sys3(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX);
}

void copy_text(char *to, const char *from)
{
	int i = 0;

	for (; from && from[i] && i < CKPT_TEXT - 1; i++)
		to[i] = from[i];
	to[i] = 0;
}
