/*
 * Subject: System V semaphores: identifier, key, mode, owners, values, who changed each last, that it was operated on; processes that wait
 * for one without and with a time limit, and for zero.
 */
#include "state.h"
#include <sys/ipc.h>
#include <sys/sem.h>

#define KEY 0x48460011

static void operate(int id, int number, int change)
{
	struct sembuf operation = {(unsigned short)number, (short)change, 0};

	MUST(semop(id, &operation, 1));
}

int main(int argc, char **argv)
{
	unsigned short values[5] = {3, 0, 32767, 0, 1}, found[5];
	struct semid_ds status;
	pid_t waiting[3];

	state_begin(argc, argv);
	for (int i = 0; i < 3; i++)
		MUST(semctl(MUST(semget(IPC_PRIVATE, 1, 0600)), 0, IPC_RMID));
	int set = MUST(semget(KEY, 5, IPC_CREAT | IPC_EXCL | 0660)), untouched = MUST(semget(KEY + 1, 2, IPC_CREAT | 0600)), gates = MUST(semget(IPC_PRIVATE, 3, 0600));

	MUST(semctl(set, 0, SETALL, values));
	MUST(semctl(set, 0, IPC_STAT, &status));
	status.sem_perm.uid = state_user(2000);
	status.sem_perm.gid = state_group(2001);
	MUST(semctl(set, 0, IPC_SET, &status));
	MUST(semctl(gates, 2, SETVAL, 1));
	pid_t child = state_fork();

	if (child == 0) {
		operate(set, 0, -1);
		operate(set, 1, 2);
		state_mark("child");
		state_await("done");
		_exit(0);
	}
	state_await("child");
	for (int i = 0; i < 3; i++) {
		waiting[i] = state_fork();
		if (waiting[i] == 0) {
			struct sembuf operation = {(unsigned short)i, i == 2 ? 0 : -1, 0};
			struct timespec limit = {state_bound, 0};

			MUST(i == 1 ? semtimedop(gates, &operation, 1, &limit) : semop(gates, &operation, 1));
			_exit(0);
		}
		state_until_asleep(waiting[i]);
	}
	state_ready();
	state_wait_go();

	MUST(semctl(set, 0, IPC_STAT, &status));
	EQUAL(status.sem_perm.__key, KEY);
	EQUAL(status.sem_perm.mode & 0777, 0660);
	EQUAL(status.sem_perm.uid, state_user(2000));
	EQUAL(status.sem_perm.gid, state_group(2001));
	EQUAL(status.sem_perm.cuid, state_user(0));
	EQUAL(status.sem_nsems, 5);
	CHECK(status.sem_otime != 0, "it was operated on");
	EQUAL(semget(KEY, 0, 0), set);
	MUST(semctl(set, 0, GETALL, found));
	values[0] = 2;
	values[1] = 2;
	for (int i = 0; i < 5; i++)
		EQUAL(found[i], values[i]);
	EQUAL(semctl(set, 0, GETPID), child);
	EQUAL(semctl(set, 1, GETPID), child);
	EQUAL(semctl(set, 2, GETPID), getpid());
	MUST(semctl(untouched, 0, IPC_STAT, &status));
	EQUAL(status.sem_otime, 0);
	EQUAL(semctl(untouched, 1, GETPID), 0);
	EQUAL(semctl(untouched, 1, GETVAL), 0);
	/* All still wait, and each goes on when its time comes. */
	UNTIL(semctl(gates, 0, GETNCNT) == 1);
	UNTIL(semctl(gates, 1, GETNCNT) == 1);
	UNTIL(semctl(gates, 2, GETZCNT) == 1);
	operate(gates, 2, -1);
	state_join(waiting[2]);
	operate(gates, 1, 1);
	state_join(waiting[1]);
	operate(gates, 0, 1);
	state_join(waiting[0]);
	EQUAL(semctl(gates, 0, GETVAL), 0);
	EQUAL(semctl(gates, 0, GETPID), waiting[0]);
	state_mark("done");
	state_join(child);
	MUST(semctl(set, 0, IPC_RMID));
	state_pass();
}
