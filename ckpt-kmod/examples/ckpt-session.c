// SPDX-License-Identifier: GPL-2.0
/*
 * ckpt-session read|write PID CGROUP COMMAND [ARGUMENT]...
 *
 * Runs a command while a process stands; its pages are the command's standard
 * input (read), or what the command writes goes into them (write):
 *
 *	ckpt-session read 41 /sys/fs/cgroup/app dd bs=1M of=pages
 *	ckpt-session write 41 /sys/fs/cgroup/app dd bs=1M if=pages
 *
 * When the command ends the session ends, and the process goes on.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../uapi/ckpt.h"

int main(int argc, char **argv)
{
	struct ckpt_attach attach = { .size = sizeof(attach) };
	struct ckpt_freeze freeze = { .size = sizeof(freeze), .timeout_ms = 10000 };
	struct ckpt_select select = { .size = sizeof(select) };
	char path[4096];
	int session, reads;

	if (argc < 5)
		errx(2, "usage: ckpt-session read|write PID CGROUP COMMAND [ARGUMENT]...");
	reads = !strcmp(argv[1], "read");
	attach.pid = select.pid = atoi(argv[2]);
	snprintf(path, sizeof(path), "%s/cgroup.freeze", argv[3]);

	session = open("/dev/ckpt", O_RDWR | O_CLOEXEC);
	if (session < 0)
		err(1, "/dev/ckpt");
	if (ioctl(session, CKPT_ATTACH, &attach))
		err(1, "attach %s", argv[2]);
	freeze.cgroup_freeze = open(path, O_RDWR | O_CLOEXEC);
	if (freeze.cgroup_freeze < 0)
		err(1, "%s", path);
	if (ioctl(session, CKPT_FREEZE, &freeze)) {
		if (errno == ETIMEDOUT)
			errx(1, "thread %d does not stand (system call %d)", freeze.late_tid, freeze.late_syscall);
		err(1, "freeze %s", argv[3]);
	}
	select.mode = reads ? CKPT_SELECT_READ : CKPT_SELECT_WRITE;
	if (ioctl(session, CKPT_SELECT, &select))
		err(1, "select %s", argv[2]);

	/* The command has the only descriptor of the session that is left. */
	if (dup2(session, reads ? STDIN_FILENO : STDOUT_FILENO) < 0)
		err(1, "dup2");
	execvp(argv[4], argv + 4);
	err(127, "%s", argv[4]);
}
