/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * /dev/ckpt: checkpoints of applications through one character device.
 *
 * One open file is one session, a session is one application. What a session
 * holds is undone when its last descriptor is closed, however the owner died.
 * ckpt(4) describes every call with its errors.
 *
 * Rules of every structure that is passed: fixed-width fields; the first one
 * is its size, which must be the size that the call's number carries; pointers
 * are __u64; padding and reserved fields must be zero, unknown flags are
 * -EINVAL. A session's pids are those of the pid namespace in which the device
 * was opened.
 */
#ifndef _UAPI_LINUX_CKPT_H
#define _UAPI_LINUX_CKPT_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define CKPT_ABI_VERSION 1

/* Bits of ckpt_version.features. */
#define CKPT_FEATURE_FREEZE	(1ULL << 0)	/* FREEZE and THAW */
#define CKPT_FEATURE_STATE	(1ULL << 1)	/* STATE */
#define CKPT_FEATURE_PAGES	(1ULL << 2)	/* PAGES, SELECT, read(), splice() */
#define CKPT_FEATURE_DIRTY	(1ULL << 3)	/* DIRTY: the kernel has soft-dirty bits */
#define CKPT_FEATURE_PUT	(1ULL << 4)	/* PUT, write() */
#define CKPT_FEATURE_EVENTS	(1ULL << 5)	/* EVENTS, poll() */

/* CKPT_VERSION: what this module can do. */
struct ckpt_version {
	__u32 size;
	__u32 abi;		/* out: CKPT_ABI_VERSION */
	__u64 features;		/* out: CKPT_FEATURE_* */
	__u32 page_size;	/* out: bytes */
	__u32 reserved;
};

/* Children that a process makes from now on belong to the session too. */
#define CKPT_ATTACH_FOLLOW	(1U << 0)

/* CKPT_ATTACH: takes a process, as a whole, into the session. */
struct ckpt_attach {
	__u32 size;
	__u32 flags;		/* CKPT_ATTACH_* */
	__s32 pid;		/* of the process (thread group) */
	__u32 reserved;
};

/* CKPT_LIST: the processes of the session. */
struct ckpt_list {
	__u32 size;
	__u32 count;		/* in: room; out: how many there are */
	__u64 pids;		/* __s32[count] */
};

#define CKPT_FREEZE_TIMEOUT_MAX	60000

/* CKPT_FREEZE: brings all processes of the session to a halt. */
struct ckpt_freeze {
	__u32 size;
	__u32 flags;		/* 0 */
	__s32 cgroup_freeze;	/* cgroup.freeze of their control group, open for writing */
	__u32 timeout_ms;	/* 1 to CKPT_FREEZE_TIMEOUT_MAX */
	__u32 threads;		/* out: how many stand */
	__s32 late_pid;		/* out, with -ETIMEDOUT: who does not stand */
	__s32 late_tid;
	__s32 late_syscall;	/* the system call it is in, or -1 */
};

/* CKPT_THAW: lets them go on. */
struct ckpt_thaw {
	__u32 size;
	__u32 flags;		/* 0 */
};

/* CKPT_STATE: what makes up a process but its memory, as typed records. */
struct ckpt_state {
	__u32 size;
	__u32 flags;		/* 0 */
	__s32 pid;
	__u32 reserved;
	__u64 buffer;
	__u64 length;		/* in: room; out: bytes written, or needed with -ENOSPC */
};

/* A record of CKPT_STATE; its size is a multiple of 8, what follows too. */
struct ckpt_record {
	__u32 size;		/* bytes, this header included */
	__u32 type;		/* CKPT_RECORD_* */
};

#define CKPT_RECORD_PROCESS	1	/* struct ckpt_process */
#define CKPT_RECORD_THREAD	2	/* struct ckpt_thread */
#define CKPT_RECORD_REGSET	3	/* struct ckpt_regset, of the thread before it */
#define CKPT_RECORD_SIGNAL	4	/* struct ckpt_signal, of the thread before it; shared ones before the first thread */
#define CKPT_RECORD_ACTION	5	/* struct ckpt_action */
#define CKPT_RECORD_VMA		6	/* struct ckpt_vma */
#define CKPT_RECORD_FILE	7	/* struct ckpt_file */
#define CKPT_RECORD_TIMER	8	/* struct ckpt_timer */

struct ckpt_process {
	struct ckpt_record record;
	__s32 pid;
	__s32 parent;		/* 0: outside the session's pid namespace */
	__s32 group;
	__s32 session;
	__u32 threads;
	__u32 exit_signal;
	__u64 start_code, end_code, start_data, end_data;
	__u64 start_brk, brk, start_stack;
	__u64 arg_start, arg_end, env_start, env_end;
	__u64 start_time;	/* ns of CLOCK_BOOTTIME, as the kernel started it */
};

struct ckpt_thread {
	struct ckpt_record record;
	__s32 tid;
	__s32 own_tid;		/* in its own pid namespace */
	__u32 uid, euid, suid, fsuid;	/* in the user namespace of the opener */
	__u32 gid, egid, sgid, fsgid;
	__u32 no_new_privs;
	__u32 seccomp;		/* SECCOMP_MODE_* */
	__u64 permitted, effective, inheritable, bounding, ambient;
	__u64 blocked;		/* signal mask */
	__u64 altstack_base;
	__u64 altstack_size;
	__u32 altstack_flags;
	__u32 reserved;
	__u64 clear_child_tid;
	__u64 robust_list;
	char comm[16];
};

/* A register set as PTRACE_GETREGSET gives it; the bytes follow, padded with zeros. */
struct ckpt_regset {
	struct ckpt_record record;
	__u32 note;		/* NT_PRSTATUS, NT_X86_XSTATE */
	__u32 length;		/* bytes, without padding */
};

/* A pending signal. */
struct ckpt_signal {
	struct ckpt_record record;
	__u32 shared;		/* 1: of the process, 0: of the thread */
	__u32 reserved;
	__u8 siginfo[128];	/* siginfo_t; pids and uids as the sender's namespace had them */
};

struct ckpt_action {
	struct ckpt_record record;
	__u32 signal;
	__u32 reserved;
	__u64 handler, flags, restorer, mask;
};

/* A memory area; the path of its file follows, padded with zeros. */
struct ckpt_vma {
	struct ckpt_record record;
	__u64 start, end;
	__u64 flags;		/* CKPT_VMA_* */
	__u64 offset;		/* bytes */
	__u64 inode;
	__u32 major, minor;
	__u32 path;		/* bytes of the path, without padding */
	__u32 reserved;
};

#define CKPT_VMA_READ		(1ULL << 0)
#define CKPT_VMA_WRITE		(1ULL << 1)
#define CKPT_VMA_EXEC		(1ULL << 2)
#define CKPT_VMA_SHARED		(1ULL << 3)
#define CKPT_VMA_GROWSDOWN	(1ULL << 4)
#define CKPT_VMA_LOCKED		(1ULL << 5)
#define CKPT_VMA_HUGETLB	(1ULL << 6)
#define CKPT_VMA_DEVICE		(1ULL << 7)	/* VM_IO, VM_PFNMAP: has no pages of its own */
#define CKPT_VMA_DONTFORK	(1ULL << 8)
#define CKPT_VMA_WIPEONFORK	(1ULL << 9)
#define CKPT_VMA_DONTDUMP	(1ULL << 10)

/* An open descriptor; the path follows, padded with zeros. */
struct ckpt_file {
	struct ckpt_record record;
	__u32 fd;
	__u32 close_on_exec;
	__u32 flags;		/* of open(2) */
	__u32 mode;		/* of stat(2) */
	__u64 position;
	__u64 inode;
	__u32 major, minor;
	__u32 path;		/* bytes of the path, without padding */
	__u32 reserved;
};

/* An interval timer of setitimer(2). */
struct ckpt_timer {
	struct ckpt_record record;
	__u32 which;		/* ITIMER_REAL */
	__u32 reserved;
	__u64 value;		/* ns left, 0: not armed */
	__u64 interval;		/* ns */
};

struct ckpt_range {
	__u64 start, end;	/* multiples of the page size */
};

#define CKPT_RANGES_MAX		65536
#define CKPT_BUFFER_MAX		(64U << 20)

/* Pages of files too, which are as their file has them. */
#define CKPT_PAGES_FILE		(1U << 0)

/*
 * CKPT_PAGES: the used pages of a list of ranges as page records.
 * CKPT_DIRTY: those of them that were written since /proc/PID/clear_refs was
 * given a 4.
 * Where the buffer is full, next says where to go on; done, and it is ~0.
 */
struct ckpt_pages {
	__u32 size;
	__u32 flags;		/* CKPT_PAGES_* */
	__s32 pid;
	__u32 count;		/* of ranges, ascending, without overlap */
	__u64 ranges;		/* struct ckpt_range[count] */
	__u64 buffer;
	__u64 length;		/* in: room, at least one record; out: bytes written */
	__u64 next;		/* in: first address; out: first address not looked at */
};

/* A page record; the page's contents follow unless CKPT_PAGE_ZERO is set. */
struct ckpt_page {
	__u32 size;		/* bytes, contents included */
	__u32 flags;		/* CKPT_PAGE_* */
	__u64 address;
	__u64 vma_flags;	/* CKPT_VMA_* */
	__u64 reserved;
};

#define CKPT_PAGE_ZERO		(1U << 0)	/* all zero, no contents follow */
#define CKPT_PAGE_ANON		(1U << 1)	/* the process's own */
#define CKPT_PAGE_FILE		(1U << 2)	/* a file's */
#define CKPT_PAGE_DIRTY		(1U << 3)	/* written since tracking was reset */
#define CKPT_PAGE_UNREADABLE	(1U << 4)	/* the kernel does not give it out, no contents follow */
#define CKPT_PAGE_END		(1U << 5)	/* end of a stream: address is the number of page records before it */

#define CKPT_STREAM_MAGIC	0x54504b43U	/* "CKPT" */

/* What read() gives first, and write() wants first. */
struct ckpt_stream {
	__u32 size;
	__u32 magic;
	__u32 version;		/* CKPT_ABI_VERSION */
	__u32 page_size;
	__u32 flags;		/* CKPT_PAGES_* */
	__s32 pid;
	__u64 pages;		/* used pages, as far as the page tables tell: at most so many records follow */
};

#define CKPT_SELECT_READ	0
#define CKPT_SELECT_WRITE	1

/* CKPT_SELECT: the process that read() or write() are about, from its beginning. */
struct ckpt_select {
	__u32 size;
	__u32 flags;		/* CKPT_PAGES_* for reading, 0 for writing */
	__s32 pid;
	__u32 mode;		/* CKPT_SELECT_* */
};

/* CKPT_PUT: page records into the memory of a process. */
struct ckpt_put {
	__u32 size;
	__u32 flags;		/* 0 */
	__s32 pid;
	__u32 reserved;
	__u64 buffer;
	__u64 length;		/* in: bytes; out: bytes of the records that were taken */
};

#define CKPT_EVENT_BORN		1	/* pid is new, its parent is other */
#define CKPT_EVENT_EXITED	2	/* pid is gone */
#define CKPT_EVENT_LATE		3	/* pid did not stand at the deadline, the thread is other */
#define CKPT_EVENT_EXEC		4	/* pid runs another program */

struct ckpt_event {
	__u32 type;		/* CKPT_EVENT_* */
	__s32 pid;
	__s32 other;
	__u32 reserved;
	__u64 time;		/* ns of CLOCK_MONOTONIC */
};

/* CKPT_EVENTS: takes what has happened since; does not wait. */
struct ckpt_events {
	__u32 size;
	__u32 count;		/* in: room; out: how many were taken */
	__u64 target;		/* struct ckpt_event[count] */
	__u64 lost;		/* out: how many were not kept, since the last call */
};

#define CKPT_MAGIC 0xd7

#define CKPT_VERSION	_IOWR(CKPT_MAGIC, 0x00, struct ckpt_version)
#define CKPT_ATTACH	_IOW(CKPT_MAGIC, 0x01, struct ckpt_attach)
#define CKPT_LIST	_IOWR(CKPT_MAGIC, 0x02, struct ckpt_list)
#define CKPT_FREEZE	_IOWR(CKPT_MAGIC, 0x03, struct ckpt_freeze)
#define CKPT_THAW	_IOW(CKPT_MAGIC, 0x04, struct ckpt_thaw)
#define CKPT_STATE	_IOWR(CKPT_MAGIC, 0x05, struct ckpt_state)
#define CKPT_PAGES	_IOWR(CKPT_MAGIC, 0x06, struct ckpt_pages)
#define CKPT_DIRTY	_IOWR(CKPT_MAGIC, 0x07, struct ckpt_pages)
#define CKPT_SELECT	_IOW(CKPT_MAGIC, 0x08, struct ckpt_select)
#define CKPT_PUT	_IOWR(CKPT_MAGIC, 0x09, struct ckpt_put)
#define CKPT_EVENTS	_IOWR(CKPT_MAGIC, 0x0a, struct ckpt_events)

#endif
