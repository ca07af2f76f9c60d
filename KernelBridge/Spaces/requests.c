/*
 * Counts the requests of Linux AIO that a context has in flight, inside the process that has it (InjectedCalls.RunCode): everything in
 * one go, so that the ring is whole again whatever becomes of whoever started it. No interface shows that number otherwise.
 *
 * A context has so many slots: one for each request from io_submit(2) until its event has been taken out of the ring. Whoever can take all that
 * there are has shown that none is in flight. So requests that end at once (a read of no bytes) are submitted until there is no slot
 * left, by a process that shares the memory, since slots are set aside for each processor and it has to go from one to the other.
 * The events of these requests are taken out of the ring again, the others keep their order.
 *
 * fs/aio.c (get_reqs_available, aio_complete); io_submit(2). The layout is that of AioContexts.cs.
 */
#include <linux/aio_abi.h>
#include <linux/fcntl.h>
#include <linux/memfd.h>
#include <linux/sched.h>
#include <linux/wait.h>

#include "freestanding.h"

enum { BATCH = 128, SET = 1024, STACK = 4096 };

/* struct aio_ring of fs/aio.c. */
struct ring {
	u32 id;
	u32 nr;
	u32 head;
	u32 tail;
	u32 rest[4];
	struct io_event events[];
};

struct count {
	u64 ring;
	u32 nr;
	/* What was found: slots taken, events in the ring that are not of these, an error. */
	u32 taken;
	u32 waiting;
	s32 error;
	struct iocb request;
	u64 requests[BATCH];
	u8 one[SET];
	u8 stack[STACK];
	u8 main_stack[STACK];
};

static void take(struct count *c)
{
	long n;

	/* Each gives as many as there were; the last one none. */
	while (c->taken < c->nr && (n = sc3(__NR_io_submit, c->ring, BATCH, c->requests)) > 0)
		c->taken += (u32)n;
}

static __attribute__((noreturn, used)) void take_all(struct count *c)
{
	/* As many bytes as the kernel has processors; who is bound to some may have submitted on others before. */
	long bytes = sc3(__NR_sched_getaffinity, 0, SET, c->one), i;

	for (i = 0; i < bytes; i++)
		c->one[i] = 0;
	take(c);
	for (i = 0; i < bytes * 8; i++) {
		c->one[i / 8] = (u8)(1 << (i % 8));
		if (sc3(__NR_sched_setaffinity, 0, bytes, c->one) == 0)
			take(c);
		c->one[i / 8] = 0;
	}
	for (;;)
		sc1(__NR_exit, 0);
}

/* Like vfork(2), but on a stack of its own: returns when the other has ended. Nobody is told of that end. */
static long begin_taking(struct count *c)
{
	register long r10 __asm__("r10") = 0;
	register long r8 __asm__("r8") = 0;
	long result;

	__asm__ volatile("syscall\n"
			 "	test %%rax, %%rax\n"
			 "	jnz 1f\n"
			 "	mov %%rbx, %%rdi\n"
			 "	xor %%ebp, %%ebp\n"
			 "	call take_all\n"
			 "1:\n"
			 : "=a"(result)
			 : "a"(__NR_clone), "D"(CLONE_VM | CLONE_FILES | CLONE_VFORK), "S"(c->stack + STACK), "d"(0), "r"(r10), "r"(r8), "b"(c)
			 : "rcx", "r11", "memory");
	return result;
}

/* Moves what is not ours to the end of the ring, and its beginning there. */
static void put_back(struct count *c)
{
	volatile struct ring *ring = (volatile struct ring *)c->ring;
	u32 tail = ring->tail % c->nr, at = tail, to = tail, head = ring->head % c->nr;

	while (at != head) {
		at = at == 0 ? c->nr - 1 : at - 1;
		if (ring->events[at].obj == (u64)&c->request)
			continue;
		to = to == 0 ? c->nr - 1 : to - 1;
		if (to != at) {
			ring->events[to].data = ring->events[at].data;
			ring->events[to].obj = ring->events[at].obj;
			ring->events[to].res = ring->events[at].res;
			ring->events[to].res2 = ring->events[at].res2;
		}
		c->waiting++;
	}
	ring->head = to;
}

static __attribute__((used)) void count(struct count *c)
{
	u32 name = 0, i;
	long file = sc2(__NR_memfd_create, &name, MFD_CLOEXEC), child;

	if (file < 0) {
		c->error = (s32)file;
		return;
	}
	c->request.aio_lio_opcode = IOCB_CMD_PREAD;
	c->request.aio_fildes = (u32)file;
	for (i = 0; i < BATCH; i++)
		c->requests[i] = (u64)&c->request;
	/* What it says where there is no such context, before anything is done. */
	c->error = (s32)sc3(__NR_io_submit, c->ring, 0, c->requests);
	if (c->error == 0) {
		child = begin_taking(c);
		if (child < 0)
			c->error = (s32)child;
		else
			sc4(__NR_wait4, child, 0, __WALL, 0);
		put_back(c);
	}
	sc1(__NR_close, file);
}

/* Called with a struct count in rdi, and on a stack of which nothing may be used. */
__asm__(".section .text.start,\"ax\",@progbits\n"
	".globl _start\n"
	"_start:\n"
	"	mov %rsp, %rbx\n"
	"	lea count_size(%rdi), %rsp\n"
	"	cld\n"
	"	call count\n"
	"	mov %rbx, %rsp\n"
	"	ret\n");

__asm__(".globl count_size\n.set count_size, 10328\n");
_Static_assert(sizeof(struct count) == 10328, "the assembly above says where the stack ends");
