/* What freestanding programs here share: types, system calls, and the little of a libc that they need. */
#ifndef HOLDFAST_FREESTANDING_H
#define HOLDFAST_FREESTANDING_H

#include <asm/unistd.h>
#include <linux/types.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __s32 s32;
typedef __u64 u64;
typedef __s64 s64;

static __attribute__((noinline)) long sc(long number, long a, long b, long c, long d, long e, long f)
{
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

#define sc0(n) sc(n, 0, 0, 0, 0, 0, 0)
#define sc1(n, a) sc(n, (long)(a), 0, 0, 0, 0, 0)
#define sc2(n, a, b) sc(n, (long)(a), (long)(b), 0, 0, 0, 0)
#define sc3(n, a, b, c) sc(n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define sc4(n, a, b, c, d) sc(n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define sc5(n, a, b, c, d, e) sc(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define sc6(n, a, b, c, d, e, f) sc(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/* gcc may call these two for structure copies and initialisers even in freestanding code. */
void *memset(void *to, int value, unsigned long n)
{
	u8 *p = to;

	while (n--)
		*p++ = (u8)value;
	return to;
}

void *memcpy(void *to, const void *from, unsigned long n)
{
	u8 *p = to;
	const u8 *q = from;

	while (n--)
		*p++ = *q++;
	return to;
}

static __attribute__((noreturn, unused)) void leave(int status)
{
	for (;;)
		sc1(__NR_exit_group, status);
}

/* A decimal number at the beginning of a text. */
static __attribute__((unused)) u64 parse(const char *text)
{
	u64 number = 0;

	for (; *text >= '0' && *text <= '9'; text++)
		number = number * 10 + (u64)(*text - '0');
	return number;
}

/*
 * The entry of a flat binary, at offset 0: calls a function with the stack that the kernel has made. At offset 16: how many bytes of memory the
 * binary needs from its base on.
 */
#define ENTRY(function)                                   \
	__asm__(".section .text.start,\"ax\",@progbits\n" \
		".globl _start\n"                          \
		"_start:\n"                                \
		"	xor %ebp, %ebp\n"                      \
		"	mov %rsp, %rdi\n"                      \
		"	and $-16, %rsp\n"                      \
		"	call " #function "\n"                  \
		"	ud2\n"                                 \
		"	.balign 16\n"                          \
		"	.quad bss_end\n")

/* capset(2), version 3: all three sets of the calling thread. */
static __attribute__((unused)) long set_capabilities(u64 effective, u64 permitted, u64 inheritable)
{
	u32 header[2] = { 0x20080522, 0 };
	u32 sets[6] = { (u32)effective,		(u32)permitted,		(u32)inheritable,
			(u32)(effective >> 32), (u32)(permitted >> 32), (u32)(inheritable >> 32) };

	return sc2(__NR_capset, header, sets);
}

#endif
