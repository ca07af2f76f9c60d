/*
 * Subject: a thread in a blocking call with a limit: it returns neither early nor late by the monotonic
 * clock of the application, and not with EINTR, for no handler ran. The program is ready when half of the
 * time has passed.
 * Cases: nanosleep clock_nanosleep clock_nanosleep_absolute poll ppoll select pselect condition condition_monotonic semaphore sigtimedwait futex futex_absolute
 * Seconds: yes
 */
#include "state.h"
#include <linux/futex.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/select.h>

static pid_t tid;
static int64_t started, ended;
static const char *trouble;

static struct timespec span(double seconds)
{
	struct timespec value = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};

	return value;
}

static struct timespec after(clockid_t clock, double seconds)
{
	struct timespec now, part = span(seconds);

	clock_gettime(clock, &now);
	now.tv_sec += part.tv_sec;
	now.tv_nsec += part.tv_nsec;
	if (now.tv_nsec >= 1000000000L) {
		now.tv_nsec -= 1000000000L;
		now.tv_sec++;
	}
	return now;
}

static void *body(void *argument)
{
	double seconds = state_seconds();
	struct timespec time = span(seconds);
	int error = 0;

	(void)argument;
	started = state_now();
	__atomic_store_n(&tid, state_tid(), __ATOMIC_SEQ_CST);
#define IS(name) (strcmp(state_case, name) == 0)
	if (IS("nanosleep")) {
		struct timespec left;

		if (nanosleep(&time, &left) != 0)
			error = errno;
	} else if (IS("clock_nanosleep")) {
		error = clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
	} else if (IS("clock_nanosleep_absolute")) {
		time = after(CLOCK_MONOTONIC, seconds);
		error = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
	} else if (IS("poll")) {
		if (poll(NULL, 0, (int)(seconds * 1000)) != 0)
			error = errno;
	} else if (IS("ppoll")) {
		if (ppoll(NULL, 0, &time, NULL) != 0)
			error = errno;
	} else if (IS("select")) {
		struct timeval value = {time.tv_sec, time.tv_nsec / 1000};

		if (select(0, NULL, NULL, NULL, &value) != 0)
			error = errno;
	} else if (IS("pselect")) {
		if (pselect(0, NULL, NULL, NULL, &time, NULL) != 0)
			error = errno;
	} else if (IS("condition") || IS("condition_monotonic")) {
		static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
		clockid_t clock = IS("condition") ? CLOCK_REALTIME : CLOCK_MONOTONIC;
		pthread_condattr_t attributes;
		pthread_cond_t condition;

		pthread_condattr_init(&attributes);
		pthread_condattr_setclock(&attributes, clock);
		pthread_cond_init(&condition, &attributes);
		pthread_mutex_lock(&lock);
		time = after(clock, seconds);
		do {
			error = pthread_cond_timedwait(&condition, &lock, &time);
		} while (error == 0);
		error = error == ETIMEDOUT ? 0 : error;
		pthread_mutex_unlock(&lock);
	} else if (IS("semaphore")) {
		static sem_t semaphore;

		sem_init(&semaphore, 0, 0);
		time = after(CLOCK_REALTIME, seconds);
		if (sem_timedwait(&semaphore, &time) == 0 || errno != ETIMEDOUT)
			error = errno ? errno : EPROTO;
	} else if (IS("sigtimedwait")) {
		sigset_t set;

		sigemptyset(&set);
		sigaddset(&set, SIGUSR1);
		if (sigtimedwait(&set, NULL, &time) >= 0 || errno != EAGAIN)
			error = errno ? errno : EPROTO;
	} else if (IS("futex")) {
		static uint32_t word;

		if (syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &time, NULL, 0) == 0 || errno != ETIMEDOUT)
			error = errno ? errno : EPROTO;
	} else if (IS("futex_absolute")) {
		static uint32_t word;

		time = after(CLOCK_MONOTONIC, seconds);
		if (syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 0, &time, NULL, FUTEX_BITSET_MATCH_ANY) == 0 || errno != ETIMEDOUT)
			error = errno ? errno : EPROTO;
	} else {
		trouble = "no such case";
	}
	ended = state_now();
	if (error)
		trouble = strerror(error);
	return NULL;
}

int main(int argc, char **argv)
{
	sigset_t set;
	double seconds = state_seconds();
	/* An absolute time of the real clock counts the outage: the wait then ends at once, or late by nothing. */
	int real;

	state_begin(argc, argv);
	real = strcmp(state_case, "condition") == 0 || strcmp(state_case, "semaphore") == 0;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	MUST(sigprocmask(SIG_BLOCK, &set, NULL));
	pthread_t thread = state_thread(body, NULL);

	UNTIL(__atomic_load_n(&tid, __ATOMIC_SEQ_CST) != 0);
	UNTIL(state_now() - started > seconds * 0.5e9);
	CHECK(state_letter(tid) == 'S', "not asleep but %c", state_letter(tid));
	state_ready();
	state_wait_go();
	pthread_join(thread, NULL);
	CHECK(!trouble, "%s: %s", state_case, trouble);
	double took = (double)(ended - started) / 1e9;

	CHECK(took > seconds - 0.002 || real, "%s returned after %.3f s instead of %.3f", state_case, took, seconds);
	CHECK(took < seconds * 1.4, "%s returned after %.3f s instead of %.3f", state_case, took, seconds);
	state_pass();
}
