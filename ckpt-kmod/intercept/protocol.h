/* SPDX-License-Identifier: MIT */
/*
 * What the supervisor and the interceptor have to agree on. The constants in KernelBridge/Interception are held against this file by a test.
 *
 * The board is a file of one page, which the supervisor alone writes and every intercepted process has mapped for reading: nothing but that mapping is
 * left in a process between checkpoints, no descriptor that it could close and none that a checkpoint would have to capture.
 */
#ifndef CKPT_PROTOCOL_H
#define CKPT_PROTOCOL_H

#include <stdint.h>

#define CKPT_DIRECTORY "/dev/shm/.holdfast"
#define CKPT_BOARD CKPT_DIRECTORY "/board"
#define CKPT_LIBRARY CKPT_DIRECTORY "/libckpt-intercept.so"
#define CKPT_THREAD "holdfast-ckpt"
#define CKPT_BOARD_SIZE 4096
#define CKPT_MOST_LEFT_OUT 1000
#define CKPT_BOARD_MAGIC 0x31304452414f4248ULL /* "HBOARD01" */

/* What is on the board. */
#define CKPT_BOARD_QUIET 0
#define CKPT_BOARD_GATHER 1
#define CKPT_BOARD_RESUME 2
#define CKPT_BOARD_RESTORED 3

/* Whoever waits for the board; the other 31 bits of the futex are for single processes. */
#define CKPT_WAKE_ALL 0x80000000u

struct ckpt_board {
	uint64_t magic;
	uint32_t generation; /* odd while it is being written; a futex */
	uint32_t operation;
	uint64_t nonce;	  /* of GATHER: where the supervisor listens */
	uint32_t filters; /* seccomp filters that everything in the space has from the start */
	uint32_t left_out; /* of GATHER: so many pids follow, of processes that might not survive a call to the supervisor */
	uint32_t pids[CKPT_MOST_LEFT_OUT];
};

/* Messages of one datagram each (SOCK_SEQPACKET), over the abstract socket "\0holdfast-ckpt-%016x" with the nonce. */
#define CKPT_SAY_HELLO 1   /* process: here I am */
#define CKPT_SAY_PREPARE 2 /* supervisor: value is the time for it in ms, second is how long to hold */
#define CKPT_SAY_STAGE 3   /* process: text says what it waits for */
#define CKPT_SAY_READY 4   /* process: value is 1 when stdio was not flushed */
#define CKPT_SAY_REFUSED 5 /* process: text says why */
#define CKPT_SAY_HOLD 6    /* supervisor: all are ready; come to the barrier whose descriptor is with it, if one is, close this, and wait for the board */

#define CKPT_TEXT 104

struct ckpt_message {
	uint32_t kind;
	uint32_t value;
	uint32_t second;
	uint32_t reserved;
	char text[CKPT_TEXT]; /* ends with a zero */
};

#endif
