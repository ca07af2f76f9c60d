/* SPDX-License-Identifier: GPL-2.0 */
/* What the tests of /dev/ckpt share. Each runs in a process and a control group of its own, which are gone after it. */
#ifndef KIT_H
#define KIT_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../../ckpt-kmod/uapi/ckpt.h"

#define PAGE 4096UL

void test_add(const char *name, void (*run)(void));

/* A test is a sentence. */
#define TEST(name)                                                            \
	static void name(void);                                               \
	__attribute__((constructor)) static void add_##name(void)             \
	{                                                                     \
		test_add(#name, name);                                        \
	}                                                                     \
	static void name(void)

void test_failed(const char *file, int line, const char *what) __attribute__((noreturn));

#define CHECK(condition)                                                      \
	do {                                                                  \
		if (!(condition))                                             \
			test_failed(__FILE__, __LINE__, #condition);          \
	} while (0)

/* A call that must fail, and how. */
#define FAILS(error, call)                                                    \
	do {                                                                  \
		errno = 0;                                                    \
		if ((call) != -1 || errno != (error))                         \
			test_failed(__FILE__, __LINE__, #error ": " #call);   \
	} while (0)

/* The test's control group, and its cgroup.freeze. */
extern char group[256];
int group_freezer(void);
void write_file(const char *path, const char *text);
/* The first number in a file, after the word. */
long read_number(const char *path, const char *word);

/* A child in the test's group that runs body and never returns; it has said that it is ready (see ready()) when this returns. */
pid_t victim(void (*body)(void *), void *argument);
void ready(void);
/* Counts in shared memory as fast as it can. */
void count_up(void *counter);
/* Sleeps until it is killed. */
void idle(void *unused);
/* A thread that sleeps until its process is killed. */
void *wait_for_ever(void *unused);
void *shared_memory(size_t size);
void await_progress(volatile uint64_t *counter);

int open_session(void);
int attach(int session, pid_t pid, uint32_t flags);
int freeze(int session, struct ckpt_freeze *call, uint32_t timeout_ms);
int thaw(int session);
int choose(int session, pid_t pid, uint32_t mode, uint32_t flags);
/* A session with one attached victim that stands. */
int frozen_session(pid_t pid);

/* Page records of a process, in memory that is this large. */
struct pages {
	uint8_t *data;
	size_t length;
};
struct pages take_pages(int session, unsigned long call, pid_t pid, uint64_t start, uint64_t end, size_t room);
const struct ckpt_page *next_page(const struct pages *pages, const struct ckpt_page *page);
const void *contents_of(const struct ckpt_page *page);

#endif
