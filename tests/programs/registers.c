/*
 * Subject: threads that spin with every general and vector register holding a known value, and with
 * known bytes in the red zone below the stack pointer.
 * Cases: sse avx avx512
 * Build: -static
 */
#include "state.h"

#define THREADS 4

struct registers {
	uint64_t general_in[15], general_out[15];	/* all but rsp */
	unsigned char red_in[128], red_out[128];
	unsigned char vector_in[32 * 64], vector_out[32 * 64];
	uint64_t mask_in[8], mask_out[8];
};

/* Watched by the spinning code itself, which has no register to spare for an address. */
volatile int spin_stop;
static int spinning;

void spin_general(struct registers *r);
__asm__(
".text\n.globl spin_general\n.type spin_general,@function\nspin_general:\n"
"	push %rbx\n	push %rbp\n	push %r12\n	push %r13\n	push %r14\n	push %r15\n	push %rdi\n"
	/* The red zone of this frame. */
"	xor %ecx, %ecx\n"
"1:	mov 240(%rdi,%rcx,8), %rax\n	mov %rax, -128(%rsp,%rcx,8)\n	inc %ecx\n	cmp $16, %ecx\n	jne 1b\n"
"	mov 0(%rdi), %rax\n	mov 8(%rdi), %rbx\n	mov 16(%rdi), %rcx\n	mov 24(%rdi), %rdx\n"
"	mov 32(%rdi), %rsi\n	mov 48(%rdi), %rbp\n	mov 56(%rdi), %r8\n	mov 64(%rdi), %r9\n"
"	mov 72(%rdi), %r10\n	mov 80(%rdi), %r11\n	mov 88(%rdi), %r12\n	mov 96(%rdi), %r13\n"
"	mov 104(%rdi), %r14\n	mov 112(%rdi), %r15\n	mov 40(%rdi), %rdi\n"
"2:	pause\n	cmpl $0, spin_stop(%rip)\n	je 2b\n"
	/* Only rdi is freed by way of the slot that holds the structure's address. */
"	xchg %rdi, (%rsp)\n"
"	mov %rax, 120(%rdi)\n	mov %rbx, 128(%rdi)\n	mov %rcx, 136(%rdi)\n	mov %rdx, 144(%rdi)\n"
"	mov %rsi, 152(%rdi)\n	mov (%rsp), %rax\n	mov %rax, 160(%rdi)\n	mov %rbp, 168(%rdi)\n"
"	mov %r8, 176(%rdi)\n	mov %r9, 184(%rdi)\n	mov %r10, 192(%rdi)\n	mov %r11, 200(%rdi)\n"
"	mov %r12, 208(%rdi)\n	mov %r13, 216(%rdi)\n	mov %r14, 224(%rdi)\n	mov %r15, 232(%rdi)\n"
"	xor %ecx, %ecx\n"
"3:	mov -128(%rsp,%rcx,8), %rax\n	mov %rax, 368(%rdi,%rcx,8)\n	inc %ecx\n	cmp $16, %ecx\n	jne 3b\n"
"	pop %rdi\n	pop %r15\n	pop %r14\n	pop %r13\n	pop %r12\n	pop %rbp\n	pop %rbx\n	ret\n"
".size spin_general,.-spin_general\n");

#define EACH16(op) op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13) op(14) op(15)
#define EACH32(op) EACH16(op) op(16) op(17) op(18) op(19) op(20) op(21) op(22) op(23) op(24) op(25) op(26) op(27) op(28) op(29) op(30) op(31)
#define EACH8(op) op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7)
#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
#define LOAD_X(n) "movups " TEXT(n) "*64(%0), %%xmm" TEXT(n) "\n"
#define SAVE_X(n) "movups %%xmm" TEXT(n) ", " TEXT(n) "*64(%1)\n"
#define LOAD_Y(n) "vmovups " TEXT(n) "*64(%0), %%ymm" TEXT(n) "\n"
#define SAVE_Y(n) "vmovups %%ymm" TEXT(n) ", " TEXT(n) "*64(%1)\n"
#define LOAD_Z(n) "vmovups " TEXT(n) "*64(%0), %%zmm" TEXT(n) "\n"
#define SAVE_Z(n) "vmovups %%zmm" TEXT(n) ", " TEXT(n) "*64(%1)\n"
#define LOAD_K(n) "kmovq " TEXT(n) "*8(%2), %%k" TEXT(n) "\n"
#define SAVE_K(n) "kmovq %%k" TEXT(n) ", " TEXT(n) "*8(%3)\n"
#define SPIN "1: pause\n cmpl $0, spin_stop(%%rip)\n je 1b\n"
#define LOW "xmm0","xmm1","xmm2","xmm3","xmm4","xmm5","xmm6","xmm7","xmm8","xmm9","xmm10","xmm11","xmm12","xmm13","xmm14","xmm15"

static void spin_sse(struct registers *r)
{
	__asm__ volatile(EACH16(LOAD_X) SPIN EACH16(SAVE_X)
			 : : "r"(r->vector_in), "r"(r->vector_out) : "memory", "cc", LOW);
}

__attribute__((target("avx"))) static void spin_avx(struct registers *r)
{
	__asm__ volatile(EACH16(LOAD_Y) SPIN EACH16(SAVE_Y) "vzeroupper\n"
			 : : "r"(r->vector_in), "r"(r->vector_out) : "memory", "cc", LOW);
}

__attribute__((target("avx512f,avx512bw"))) static void spin_avx512(struct registers *r)
{
	__asm__ volatile(EACH32(LOAD_Z) EACH8(LOAD_K) SPIN EACH32(SAVE_Z) EACH8(SAVE_K) "vzeroupper\n"
			 : : "r"(r->vector_in), "r"(r->vector_out), "r"(r->mask_in), "r"(r->mask_out)
			 : "memory", "cc", LOW, "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22",
			   "xmm23", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31",
			   "k1", "k2", "k3", "k4", "k5", "k6", "k7");
}

static struct registers sets[THREADS] __attribute__((aligned(64)));

static void *body(void *argument)
{
	int i = (int)(long)argument;
	struct registers *r = &sets[i];

	state_fill(r->general_in, sizeof(r->general_in), 10 + i);
	state_fill(r->red_in, sizeof(r->red_in), 20 + i);
	state_fill(r->vector_in, sizeof(r->vector_in), 30 + i);
	state_fill(r->mask_in, sizeof(r->mask_in), 40 + i);
	__atomic_add_fetch(&spinning, 1, __ATOMIC_SEQ_CST);
	if (i == 0) {
		spin_general(r);
		CHECK(memcmp(r->general_in, r->general_out, sizeof(r->general_in)) == 0, "a general register differs");
		CHECK(memcmp(r->red_in, r->red_out, sizeof(r->red_in)) == 0, "the red zone differs");
		return NULL;
	}
	size_t width = 16, count = 16;

	if (strcmp(state_case, "avx512") == 0) {
		spin_avx512(r);
		width = 64;
		count = 32;
		for (int k = 0; k < 8; k++)
			EQUAL(r->mask_out[k], r->mask_in[k]);
	} else if (strcmp(state_case, "avx") == 0) {
		spin_avx(r);
		width = 32;
	} else {
		spin_sse(r);
	}
	for (size_t n = 0; n < count; n++)
		CHECK(memcmp(r->vector_in + 64 * n, r->vector_out + 64 * n, width) == 0, "vector register %zu differs", n);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];

	state_begin(argc, argv);
	__builtin_cpu_init();
	if (strcmp(state_case, "avx") == 0 && !__builtin_cpu_supports("avx"))
		state_skip("this processor has no AVX");
	if (strcmp(state_case, "avx512") == 0 && !(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")))
		state_skip("this processor has no AVX-512");
	_Static_assert(__builtin_offsetof(struct registers, general_out) == 120, "assembly");
	_Static_assert(__builtin_offsetof(struct registers, red_in) == 240, "assembly");
	_Static_assert(__builtin_offsetof(struct registers, red_out) == 368, "assembly");
	for (long i = 0; i < THREADS; i++)
		threads[i] = state_thread(body, (void *)i);
	UNTIL(__atomic_load_n(&spinning, __ATOMIC_SEQ_CST) == THREADS);
	state_pause();
	state_ready();
	state_wait_go();
	spin_stop = 1;
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	state_pass();
}
