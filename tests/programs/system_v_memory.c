/*
 * Subject: System V shared memory: identifier, key, mode, owners, size, contents up to the end of the last page; attached by two processes at
 * several addresses, read-only, in part, removed but attached, attached by nobody, locked; who made it and who used it last.
 */
#include "state.h"
#include <sys/ipc.h>
#include <sys/shm.h>

#define SIZE (8 * PAGE)
#define KEY 0x48460001

static struct shmid_ds status_of(int id)
{
	struct shmid_ds status;

	MUST(shmctl(id, IPC_STAT, &status));
	return status;
}

int main(int argc, char **argv)
{
	struct shmid_ds before, now;
	int pipe_[2];

	state_begin(argc, argv);
	/* Some identifiers are used up, so that equal ones do not come by themselves. */
	for (int i = 0; i < 3; i++)
		MUST(shmctl(MUST(shmget(IPC_PRIVATE, PAGE, 0600)), IPC_RMID, NULL));
	int common = MUST(shmget(KEY, SIZE, IPC_CREAT | IPC_EXCL | 0640)), removed = MUST(shmget(IPC_PRIVATE, 100, 0600));
	int loose = MUST(shmget(KEY + 1, 3 * PAGE + 5, IPC_CREAT | 0604)), foreign, childs;
	unsigned char *first = MUST(shmat(common, NULL, 0)), *second = MUST(shmat(common, NULL, 0)), *reading = MUST(shmat(common, NULL, SHM_RDONLY));
	unsigned char *odd = MUST(shmat(removed, NULL, 0)), *inside, *filled = MUST(shmat(loose, NULL, 0));

	state_fill(first, SIZE, 1);
	state_fill(odd, PAGE, 2);
	state_fill(filled, 3 * PAGE + 5, 3);
	MUST(shmdt(filled));
	MUST(shmctl(removed, IPC_RMID, NULL));
	/* A part of one, and a hole in another. */
	inside = MUST(shmat(common, NULL, 0));
	MUST(munmap(inside, 2 * PAGE));
	MUST(munmap(inside + 4 * PAGE, 4 * PAGE));
	inside += 2 * PAGE;
	MUST(mprotect(inside, PAGE, PROT_READ));
	/* Of another user, who gave it to a third. */
	const uid_t self = geteuid(), user = state_user(1000), third = state_user(2000);
	const gid_t self_group = getegid(), group = state_group(1001), third_group = state_group(2001);

	MUST(setresgid(-1, group, -1));
	MUST(setresuid(-1, user, -1));
	foreign = MUST(shmget(KEY + 2, PAGE, IPC_CREAT | 0600));
	MUST(setresuid(-1, self, -1));
	MUST(setresgid(-1, self_group, -1));
	before = status_of(foreign);
	before.shm_perm.uid = third;
	before.shm_perm.gid = third_group;
	before.shm_perm.mode = 0444;
	MUST(shmctl(foreign, IPC_SET, &before));
	MUST(shmctl(foreign, SHM_LOCK, NULL));
	MUST(pipe(pipe_));
	pid_t child = state_fork();

	if (child == 0) {
		int own = MUST(shmget(KEY + 3, PAGE, IPC_CREAT | 0600));

		MUST(shmdt(MUST(shmat(own, NULL, 0))));
		EQUAL(write(pipe_[1], &own, sizeof(own)), sizeof(own));
		MUST(shmdt(second));
		MUST(shmdt(reading));
		state_mark("child");
		state_wait_go();
		UNTIL(*(volatile unsigned char *)first == 0xaa);
		CHECK_FILL(odd, PAGE, 2);
		first[SIZE - 1] = 0xbb;
		state_mark("written");
		state_await("done");
		_exit(0);
	}
	EQUAL(read(pipe_[0], &childs, sizeof(childs)), sizeof(childs));
	state_await("child");
	before = status_of(common);
	state_ready();
	state_wait_go();

	now = status_of(common);
	EQUAL(now.shm_perm.__key, KEY);
	EQUAL(now.shm_perm.mode, 0640);
	EQUAL(now.shm_segsz, SIZE);
	EQUAL(now.shm_nattch, before.shm_nattch);
	EQUAL(now.shm_cpid, getpid());
	EQUAL(now.shm_lpid, child);
	EQUAL(shmget(KEY, SIZE, 0), common);
	CHECK_FILL(second, SIZE, 1);
	CHECK_FILL(reading, SIZE, 1);
	CHECK(memcmp(inside, first + 2 * PAGE, 2 * PAGE) == 0, "the part");
	EQUAL(mprotect(reading, PAGE, PROT_READ | PROT_WRITE), -1);
	MUST(mprotect(inside, PAGE, PROT_READ | PROT_WRITE));
	inside[5] = 0xcc;
	EQUAL(first[2 * PAGE + 5], 0xcc);
	first[0] = 0xaa;
	EQUAL(second[0], 0xaa);
	EQUAL(reading[0], 0xaa);
	state_await("written");
	EQUAL(second[SIZE - 1], 0xbb);
	now = status_of(removed);
	CHECK(now.shm_perm.mode & SHM_DEST, "mode %o", now.shm_perm.mode);
	EQUAL(now.shm_segsz, 100);
	EQUAL(now.shm_nattch, 2);
	CHECK_FILL(odd, PAGE, 2);
	now = status_of(loose);
	EQUAL(now.shm_perm.mode, 0604);
	EQUAL(now.shm_segsz, 3 * PAGE + 5);
	EQUAL(now.shm_nattch, 0);
	EQUAL(shmget(KEY + 1, 0, 0), loose);
	filled = MUST(shmat(loose, NULL, 0));
	CHECK_FILL(filled, 3 * PAGE + 5, 3);
	now = status_of(foreign);
	EQUAL(now.shm_perm.uid, third);
	EQUAL(now.shm_perm.gid, third_group);
	EQUAL(now.shm_perm.cuid, user);
	EQUAL(now.shm_perm.cgid, group);
	EQUAL(now.shm_perm.mode & 0777, 0444);
	CHECK(now.shm_perm.mode & SHM_LOCKED, "mode %o", now.shm_perm.mode);
	now = status_of(childs);
	EQUAL(now.shm_cpid, child);
	/* Nobody has it attached: a checkpoint of what goes on has looked into it since. */
	CHECK(now.shm_lpid == child || now.shm_lpid == 0, "%d", now.shm_lpid);
	state_mark("done");
	state_join(child);
	MUST(shmdt(odd));
	EQUAL(shmctl(removed, IPC_STAT, &now), -1);
	MUST(shmctl(common, IPC_RMID, NULL));
	state_pass();
}
