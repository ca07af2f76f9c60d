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

#define CKPT_ABI_VERSION 4

/* Bits of ckpt_version.features. */
#define CKPT_FEATURE_FREEZE	(1ULL << 0)	/* FREEZE and THAW */
#define CKPT_FEATURE_STATE	(1ULL << 1)	/* STATE */
#define CKPT_FEATURE_PAGES	(1ULL << 2)	/* PAGES, SELECT, read(), splice() */
#define CKPT_FEATURE_DIRTY	(1ULL << 3)	/* DIRTY: the kernel has soft-dirty bits */
#define CKPT_FEATURE_PUT	(1ULL << 4)	/* PUT, write() */
#define CKPT_FEATURE_EVENTS	(1ULL << 5)	/* EVENTS, poll() */
#define CKPT_FEATURE_SEMAPHORES	(1ULL << 6)	/* CKPT_STATE_SEMAPHORES, where fdinfo does not tell */
#define CKPT_FEATURE_REGISTERS	(1ULL << 7)	/* REGISTERS */
#define CKPT_FEATURE_KEEP	(1ULL << 8)	/* KEEP */
#define CKPT_FEATURE_READ	(1ULL << 9)	/* READ */
#define CKPT_FEATURE_BARRIER	(1ULL << 10)	/* BARRIER, ARRIVE */
#define CKPT_FEATURE_RING	(1ULL << 11)	/* RING, of an io_uring */
#define CKPT_FEATURE_AIO	(1ULL << 12)	/* RING, of a context of Linux AIO */

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

/*
 * A thread that waits for the child of its vfork(2) is counted as frozen, but
 * its call cannot be interrupted: with this flag all are thawed again then, and
 * the call is -EAGAIN.
 */
#define CKPT_FREEZE_NO_VFORK	(1U << 0)

/* CKPT_FREEZE: brings all processes of the session to a halt. */
struct ckpt_freeze {
	__u32 size;
	__u32 flags;		/* CKPT_FREEZE_* */
	__s32 cgroup_freeze;	/* cgroup.freeze of their control group, open for writing */
	__u32 timeout_ms;	/* 1 to CKPT_FREEZE_TIMEOUT_MAX */
	__u32 threads;		/* out: how many stand */
	__s32 late_pid;		/* out, with -ETIMEDOUT and -EAGAIN: who does not stand */
	__s32 late_tid;
	__s32 late_syscall;	/* the system call it is in, or -1 */
};

/* CKPT_THAW: lets them go on. */
struct ckpt_thaw {
	__u32 size;
	__u32 flags;		/* 0 */
};

/*
 * Which eventfds are semaphores is found out, by taking and giving back: who
 * waits for one is woken. Only with CKPT_FEATURE_SEMAPHORES.
 */
#define CKPT_STATE_SEMAPHORES	(1U << 0)

/* CKPT_STATE: what makes up a process but its memory, as typed records. */
struct ckpt_state {
	__u32 size;
	__u32 flags;		/* CKPT_STATE_* */
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
#define CKPT_RECORD_POSIX_TIMER	9	/* struct ckpt_posix_timer */

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
	__u32 flags;		/* CKPT_PROCESS_* */
	__u32 stop_signal;	/* of job control that has stopped it, else 0 */
	__u32 dumpable;		/* as PR_GET_DUMPABLE of prctl(2) has it */
	__u32 membarrier;	/* as MEMBARRIER_CMD_GET_REGISTRATIONS of membarrier(2) has it */
	__u32 protection_keys;	/* a bit for each that pkey_alloc(2) has given */
	__u32 reserved;
	__u64 memory;		/* as ckpt_thread.files, of its memory */
	__u64 actions;		/* and of its signal actions */
};

#define CKPT_PROCESS_SUBREAPER		(1U << 0)	/* PR_SET_CHILD_SUBREAPER of prctl(2) */
#define CKPT_PROCESS_NO_HUGE_PAGES	(1U << 1)	/* PR_SET_THP_DISABLE */
#define CKPT_PROCESS_MERGE		(1U << 2)	/* PR_SET_MEMORY_MERGE */
#define CKPT_PROCESS_MDWE		(1U << 3)	/* PR_MDWE_REFUSE_EXEC_GAIN */
#define CKPT_PROCESS_MDWE_NO_INHERIT	(1U << 4)	/* PR_MDWE_NO_INHERIT */

struct ckpt_thread {
	struct ckpt_record record;
	__s32 tid;
	__s32 own_tid;		/* in its own pid namespace */
	__u32 uid, euid, suid, fsuid;	/* in the user namespace of the opener */
	__u32 gid, egid, sgid, fsgid;
	__u32 no_new_privs;
	__u32 seccomp;		/* SECCOMP_MODE_* */
	__u64 permitted, effective, inheritable, bounding, ambient;
	__u64 blocked;		/* signal mask; where a call has changed it for its length, that of before */
	__u64 altstack_base;
	__u64 altstack_size;
	__u32 altstack_flags;
	__u32 reserved;
	__u64 clear_child_tid;
	__u64 robust_list;
	char comm[16];
	__u32 flags;		/* CKPT_THREAD_* */
	__u32 securebits;
	__u32 parent_death_signal;
	__u32 machine_check;	/* as PR_MCE_KILL_GET of prctl(2) has it */
	__u64 timer_slack;	/* ns */
	__u64 rseq;		/* 0: none is registered */
	__u32 rseq_size;
	__u32 rseq_signature;
	__u32 restart;		/* CKPT_RESTART_*: the wait that the kernel would go on with */
	__s32 restart_clock;
	__u64 restart_expires;	/* ns of that clock; ~0: it has no end */
	__u32 policy;		/* of memory, as get_mempolicy(2) has it */
	__u32 reserved2;
	__u8 policy_nodes[128];
	/*
	 * Equal in a session, while those stand that it was said of, where
	 * kcmp(2) finds them equal: their order means nothing.
	 */
	__u64 files;		/* of its table of descriptors */
	__u64 directories;	/* of its directories */
};

#define CKPT_THREAD_TRACED	(1U << 0)
#define CKPT_THREAD_ENTRY	(1U << 1)	/* its tracer holds it before the system call that its registers show */
#define CKPT_THREAD_DISPATCH	(1U << 2)	/* PR_SET_SYSCALL_USER_DISPATCH of prctl(2) */
#define CKPT_THREAD_IO_FLUSHER	(1U << 3)	/* PR_SET_IO_FLUSHER */

#define CKPT_RESTART_NONE	0
#define CKPT_RESTART_SLEEP	1	/* clock_nanosleep(2) */
#define CKPT_RESTART_FUTEX	2	/* futex(2) */
#define CKPT_RESTART_POLL	3	/* poll(2) */
#define CKPT_RESTART_OTHER	4

/* A register set as PTRACE_GETREGSET gives it; the bytes follow, padded with zeros. */
struct ckpt_regset {
	struct ckpt_record record;
	__u32 note;		/* NT_PRSTATUS, NT_X86_XSTATE */
	__u32 length;		/* bytes, without padding */
};

/* A pending signal. */
struct ckpt_signal {
	struct ckpt_record record;
	__u32 shared;		/* CKPT_SIGNAL_* */
	__u32 reserved;
	__u8 siginfo[128];	/* siginfo_t; pids and uids as the sender's namespace had them */
};

#define CKPT_SIGNAL_THREAD	0	/* waits for the thread */
#define CKPT_SIGNAL_PROCESS	1	/* waits for the process */
#define CKPT_SIGNAL_TRACER	2	/* was taken by the thread, and its tracer decides on it */

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
	__u32 state;		/* CKPT_FILE_* */
	__u32 owner_type;	/* who gets signals about it, as F_GETOWN_EX of fcntl(2) has it: F_OWNER_* */
	__s32 owner;		/* 0: nobody, or one that is gone or outside the session's pid namespace */
	__s32 owner_signal;	/* F_GETSIG */
	__u32 owner_uid, owner_euid;	/* F_GETOWNER_UIDS, in the user namespace of the opener */
	__u32 reserved;
	__u64 description;	/* as ckpt_thread.files, of the open file description */
};

#define CKPT_FILE_SEMAPHORE	(1U << 0)	/* an eventfd with EFD_SEMAPHORE: only where that was asked for */

/* An interval timer of setitimer(2). */
struct ckpt_timer {
	struct ckpt_record record;
	__u32 which;		/* ITIMER_* */
	__u32 reserved;
	__u64 value;		/* ns left, 0: not armed */
	__u64 interval;		/* ns */
};

/* A timer of timer_create(2); what else it is shows in /proc/PID/timers. */
struct ckpt_posix_timer {
	struct ckpt_record record;
	__s32 id;
	__s32 clock;
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

/* CKPT_REGISTERS: the registers with which a thread goes on. */
struct ckpt_registers {
	__u32 size;
	__u32 flags;		/* 0 */
	__s32 pid;
	__s32 tid;
	__u32 note;		/* NT_PRSTATUS */
	__u32 length;		/* bytes of that register set */
	__u64 buffer;
};

#define CKPT_KEEP_MAX		1024

/* Puts the settings back now. */
#define CKPT_KEEP_UNDO		(1U << 0)

/*
 * CKPT_KEEP: a socket has to be changed to be looked into as a whole. What
 * SO_PEEK_OFF, SO_RCVBUF and SO_BUF_LOCK are now is put back when the session
 * ends, however its owner died.
 */
struct ckpt_keep {
	__u32 size;
	__u32 flags;		/* CKPT_KEEP_* */
	__s32 fd;		/* the caller's own descriptor of the socket */
	__u32 reserved;
};

#define CKPT_NAMES_MAX		(4U << 20)

/* The first character of a name: what is asked for. */
#define CKPT_READ_FILE		0x66	/* 'f': its contents */
#define CKPT_READ_LINK		0x6c	/* 'l': what the symbolic link says */
#define CKPT_READ_NUMBERS	0x6e	/* 'n': the names in a directory that are numbers, as __u32 */
#define CKPT_READ_STATUS	0x73	/* 's': struct ckpt_stat, links followed */

/*
 * CKPT_READ: files and links of procfs, many in one call, with the caller's
 * own rights. A record (struct ckpt_content) for each name, in their order.
 */
struct ckpt_read {
	__u32 size;
	__u32 flags;		/* 0 */
	__u32 count;		/* in: of names; out: how many were answered: at least one */
	__u32 names_length;	/* bytes, with all zeros */
	__u64 names;		/* one behind the other: a character, "/proc/...", a zero */
	__u64 buffer;
	__u64 length;		/* in: room; out: bytes written */
};

/* An answer; what was asked for follows, padded with zeros to a multiple of 8. */
struct ckpt_content {
	__u32 size;		/* bytes, contents and padding included */
	__u32 error;		/* errno, 0 for none */
	__u32 length;		/* bytes of the contents */
	__u32 reserved;
};

struct ckpt_stat {
	__u64 inode;
	__s64 bytes;
	__s64 modified, changed;	/* ns since the epoch */
	__u32 mode;
	__u32 links;
	__u32 major, minor;
	__u32 raw_major, raw_minor;	/* of a device file */
	__u64 filesystem;	/* f_type of statfs(2) */
};

#define CKPT_BARRIER_MAX	4096

/* Those who wait go on now, and nobody waits any more. */
#define CKPT_BARRIER_OPEN	(1U << 0)

/*
 * CKPT_BARRIER: a descriptor at which processes wait for each other, to be
 * handed to them. A session has one at a time. Its end lets all go on.
 */
struct ckpt_barrier {
	__u32 size;
	__u32 flags;		/* CKPT_BARRIER_*; with OPEN all else is zero */
	__u32 count;		/* of pids, at most CKPT_BARRIER_MAX */
	__u32 timeout_ms;	/* 1 to CKPT_FREEZE_TIMEOUT_MAX, from now on */
	__u64 pids;		/* __s32[count]: who is expected, nobody twice */
	__s32 fd;		/* out */
	__u32 reserved;
};

/* CKPT_ARRIVE, of that descriptor: waits until all have come. */
struct ckpt_arrive {
	__u32 size;
	__u32 flags;		/* 0 */
	__u32 arrived;		/* out: how many have come */
	__u32 count;		/* out: how many are expected */
};

/* Sets sq_head and cq_tail of an io_uring that has never been used. */
#define CKPT_RING_SET		(1U << 0)

/* ckpt_ring.has: what of an io_uring is known to the kernel alone. */
#define CKPT_RING_FILES		(1U << 0)	/* registered files */
#define CKPT_RING_BUFFERS	(1U << 1)	/* registered buffers */
#define CKPT_RING_PROVIDED	(1U << 2)	/* buffers for the kernel to choose from, or was given such */
#define CKPT_RING_PERSONALITIES	(1U << 3)
#define CKPT_RING_EVENTFD	(1U << 4)
#define CKPT_RING_RESTRICTIONS	(1U << 5)
#define CKPT_RING_OVERFLOW	(1U << 6)	/* completions for which the ring had no room */
#define CKPT_RING_WORKERS	(1U << 7)	/* limits of its workers */
#define CKPT_RING_CLOCK		(1U << 8)	/* another clock than CLOCK_MONOTONIC */
#define CKPT_RING_NAPI		(1U << 9)	/* busy polling of the network */

#define CKPT_RING_NO_ARRAY	(~0U)

/*
 * CKPT_RING: what a ring of asynchronous input and output has done, and has
 * still to do. Of an io_uring by a descriptor of the caller's, of a context of
 * Linux AIO by the process that has it and stands.
 */
struct ckpt_ring {
	__u32 size;
	__u32 flags;		/* CKPT_RING_SET */
	__s32 fd;		/* of the io_uring; -1: a context of Linux AIO */
	__s32 pid;		/* of the process that has the context; else 0 */
	__u64 address;		/* of the context; else 0 */
	__u64 in_flight;	/* out: requests that have not ended */
	/* From here on of an io_uring only. */
	__u64 references;	/* out: to its open file, by descriptors and mappings most of the time; not that of this call */
	__u32 has;		/* out: CKPT_RING_* */
	__u32 setup;		/* out: IORING_SETUP_* */
	__u32 sq_entries, cq_entries;	/* out */
	__u32 sq_head;		/* requests that the kernel has taken; in with SET */
	__u32 cq_tail;		/* completions that it has given; in with SET */
	__s32 issuer;		/* out: the thread that alone may submit; 0: any */
	/* out: where what is in the mapping of IORING_OFF_SQ_RING, bytes */
	__u32 sq_head_at, sq_tail_at, sq_mask_at, sq_entries_at, sq_flags_at, sq_dropped_at;
	__u32 sq_array_at;	/* or CKPT_RING_NO_ARRAY */
	__u32 cq_head_at, cq_tail_at, cq_mask_at, cq_entries_at, cq_overflow_at, cq_flags_at, cqes_at;
	__u32 reserved;
};

#define CKPT_EVENT_BORN		1	/* pid is new, its parent is other */
#define CKPT_EVENT_EXITED	2	/* pid is gone */
#define CKPT_EVENT_LATE		3	/* pid did not stand at the deadline, the thread is other */
#define CKPT_EVENT_EXEC		4	/* pid runs another program */
#define CKPT_EVENT_ARRIVED	5	/* pid has come to the barrier, as the other-th */

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
#define CKPT_REGISTERS	_IOW(CKPT_MAGIC, 0x0b, struct ckpt_registers)
#define CKPT_KEEP	_IOW(CKPT_MAGIC, 0x0c, struct ckpt_keep)
#define CKPT_READ	_IOWR(CKPT_MAGIC, 0x0d, struct ckpt_read)
#define CKPT_BARRIER	_IOWR(CKPT_MAGIC, 0x0e, struct ckpt_barrier)
#define CKPT_ARRIVE	_IOWR(CKPT_MAGIC, 0x0f, struct ckpt_arrive)
#define CKPT_RING	_IOWR(CKPT_MAGIC, 0x10, struct ckpt_ring)

#endif
