/*
 * Subject: what the interceptor does for an application, and what it must not do to it.
 * Cases: live restored stdio sections endless refuses stuck closes namespaces rights seccomp ends spawns daemons forks raw crowd
 * Suite: intercept
 */
#include "state.h"
#include "../../ckpt-kmod/intercept/holdfast.h"
#include <dirent.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <spawn.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#define THREAD "holdfast-ckpt"

extern char **environ;

/* How many threads of this process have that name; all of them with null. */
static int threads_called(const char *name)
{
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *entry;
	int count = 0;

	CHECK(tasks, "/proc/self/task cannot be read");
	while ((entry = readdir(tasks))) {
		char path[320], text[64];
		FILE *comm;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
		comm = entry->d_name[0] == '.' ? NULL : fopen(path, "r");
		if (!comm)
			continue;
		if (fgets(text, sizeof(text), comm)) {
			text[strcspn(text, "\n")] = 0;
			count += !name || strcmp(text, name) == 0;
		}
		fclose(comm);
	}
	closedir(tasks);
	return count;
}

static void require_thread(void)
{
	UNTIL(threads_called(THREAD) == 1);
}

/* Hooks: the order in which they were called. */
static char order[64];
static int answer;

static int note(void *letter)
{
	size_t length = strlen(order);

	if (length < sizeof(order) - 1)
		order[length] = (char)(intptr_t)letter;
	return answer;
}

static void note_only(void *letter)
{
	note(letter);
}

static void register_hooks(void)
{
	EQUAL(ckpt_on_prepare(note, (void *)(intptr_t)'1'), 0);
	EQUAL(ckpt_on_prepare(note, (void *)(intptr_t)'2'), 0);
	EQUAL(ckpt_on_resume(note_only, (void *)(intptr_t)'a'), 0);
	EQUAL(ckpt_on_resume(note_only, (void *)(intptr_t)'b'), 0);
	EQUAL(ckpt_on_restore(note_only, (void *)(intptr_t)'x'), 0);
	EQUAL(ckpt_on_restore(note_only, (void *)(intptr_t)'y'), 0);
}

/* In the process that registered them, and in one that it forked afterwards. */
static void hooks(const char *expected)
{
	pid_t child;

	register_hooks();
	child = state_fork();
	require_thread();
	if (child)
		state_await("child");
	else
		state_mark("child");
	if (child)
		state_ready();
	state_wait_go();
	UNTIL(strlen(order) >= strlen(expected));
	CHECK(strcmp(order, expected) == 0, "hooks were called as %s, not %s", order, expected);
	if (!child)
		_exit(0);
	state_join(child);
}

static void *read_forever(void *stream)
{
	char line[64];

	return fgets(line, sizeof(line), stream);
}

/* One stream that is written to, while a thread holds the lock of another one, waiting for input that never comes. */
static void stdio(void)
{
	char text[64] = "";
	int ends[2], fd;
	FILE *output, *input;

	MUST(pipe(ends));
	input = fdopen(ends[0], "r");
	state_thread(read_forever, input);
	output = fopen(state_path("output"), "w");
	CHECK(output, "no output");
	fprintf(output, "before\n");
	state_ready();
	state_wait_go();
	fd = MUST(open(state_path("output"), O_RDONLY));
	EQUAL(MUST(read(fd, text, sizeof(text) - 1)), 7);
	fprintf(output, "after\n");
	EQUAL(fclose(output), 0);
	EQUAL(MUST(pread(fd, text, sizeof(text) - 1, 0)), 13);
	CHECK(strcmp(text, "before\nafter\n") == 0, "the file holds %s", text);
}

/* When this process was made, in ticks: another one once it has been restored, from its first instruction on. */
static unsigned long long birth(void)
{
	unsigned long long ticks;
	char text[1024], *rest;
	int fd = MUST(open("/proc/self/stat", O_RDONLY | O_CLOEXEC));

	text[MUST(read(fd, text, sizeof(text) - 1))] = 0;
	MUST(close(fd));
	rest = strrchr(text, ')');
	CHECK(rest && sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &ticks) == 1, "/proc/self/stat is %s", text);
	return ticks;
}

static volatile long sections_done;
static volatile int torn, restores;

static void count_restore(void *argument)
{
	(void)argument;
	restores++;
}

static int go_on(void *argument)
{
	(void)argument;
	return 0;
}

/* Nearly always in a critical section, and one that has begun in the original never ends in the restored process. */
static void *work_in_sections(void *argument)
{
	while (!state_going) {
		unsigned long long began;

		ckpt_critical_begin("working");
		began = birth();
		state_pause();
		ckpt_critical_begin("inside");
		ckpt_critical_end();
		torn |= began != birth();
		ckpt_critical_end();
		sections_done++;
	}
	return argument;
}

static void sections(void)
{
	pthread_t thread;

	ckpt_on_prepare(go_on, NULL);
	ckpt_on_restore(count_restore, NULL);
	thread = state_thread(work_in_sections, NULL);
	UNTIL(sections_done > 3);
	state_ready();
	state_wait_go();
	pthread_join(thread, NULL);
	EQUAL(torn, 0);
	UNTIL(restores > 0);
}

static int say_asked(void *argument)
{
	(void)argument;
	state_mark("asked");
	return 0;
}

/* Until the driver lets it out. */
static void endless(void)
{
	/* The first to be registered is the last to be asked. */
	EQUAL(ckpt_on_prepare(say_asked, NULL), 0);
	register_hooks();
	ckpt_critical_begin("moving the journal");
	state_ready();
	state_await("leave");
	ckpt_critical_end();
	ckpt_critical_begin("again");
	ckpt_critical_end();
	state_mark("left");
	state_wait_go();
	CHECK(strncmp(order, "21ab", 4) == 0, "hooks were called as %s", order);
}

static void refuses(void)
{
	register_hooks();
	answer = 7;
	state_ready();
	state_await("leave");
	answer = 0;
	state_mark("left");
	state_wait_go();
	/* The first to answer is the last that is asked. */
	CHECK(strncmp(order, "2ab", 3) == 0, "hooks were called as %s", order);
}

static int wait_to_leave(void *argument)
{
	(void)argument;
	state_await("leave");
	return 0;
}

/* Not ready before the driver says so. */
static void stuck(void)
{
	ckpt_on_prepare(wait_to_leave, NULL);
	register_hooks();
	state_ready();
	state_wait_go();
	UNTIL(strlen(order) >= 4);
	CHECK(strncmp(order, "21ab", 4) == 0, "hooks were called as %s", order);
}

static void *close_everything(void *argument)
{
	int mine[64];
	long rounds = 0;

	while (!state_going) {
		close_range(3, ~0U, 0);
		for (int i = 0; i < 64; i++) {
			char text[8];

			mine[i] = MUST(memfd_create("mine", 0));
			EQUAL(mine[i], i + 3);
			EQUAL(MUST(write(mine[i], "contents", 8)), 8);
			EQUAL(MUST(pread(mine[i], text, 8, 0)), 8);
			CHECK(memcmp(text, "contents", 8) == 0, "foreign bytes in a file");
		}
		for (int i = 0; i < 64; i++)
			EQUAL(lseek(mine[i], 0, SEEK_END), 8);
		rounds++;
	}
	close_range(3, ~0U, 0);
	*(long *)argument = rounds;
	return NULL;
}

/* Every number belongs to it, all the time. */
static void closes(void)
{
	long rounds = 0;
	pthread_t thread;

	register_hooks();
	thread = state_thread(close_everything, &rounds);
	/* state_ready opens files, which that thread would close: by its own hand. */
	MUST(mknod(state_path("ready"), S_IFREG | 0666, 0));
	state_wait_go();
	pthread_join(thread, NULL);
	CHECK(rounds > 0, "nothing was closed");
	UNTIL(strlen(order) >= 4);
}

static void in_child(void (*body)(void))
{
	pid_t child = state_fork();

	if (child == 0) {
		require_thread();
		body();
		_exit(0);
	}
	state_join(child);
}

static void enter_namespaces(void)
{
	int fd = MUST(open("/proc/self/ns/user", O_RDONLY));

	MUST(unshare(CLONE_FS));
	require_thread();
	MUST((int)syscall(SYS_unshare, CLONE_NEWUSER));
	require_thread();
	/* Its own: refused, but not because of a thread. */
	EQUAL(setns(fd, CLONE_NEWUSER), -1);
	CHECK(errno == EPERM, "setns: %s", strerror(errno));
	MUST(unshare(CLONE_NEWPID));
	EQUAL(threads_called(THREAD), 0);
}

static void namespaces(void)
{
	for (int i = 0; i < 20; i++)
		in_child(enter_namespaces);
	state_ready();
	state_wait_go();
}

static void require_of_all_threads(const char *line)
{
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *entry;

	while ((entry = readdir(tasks))) {
		char path[320], text[4096];
		int fd;
		ssize_t length;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%s/status", entry->d_name);
		fd = MUST(open(path, O_RDONLY));
		length = MUST(read(fd, text, sizeof(text) - 1));
		text[length] = 0;
		close(fd);
		CHECK(strstr(text, line), "thread %s has not %s", entry->d_name, line);
	}
	closedir(tasks);
}

extern int capset(cap_user_header_t header, const cap_user_data_t data);

static void give_up_capabilities(void)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct none[2] = { 0 };

	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	MUST(capset(&header, none));
	require_thread();
	require_of_all_threads("\nCapPrm:\t0000000000000000\n");
	require_of_all_threads("\nNoNewPrivs:\t1\n");
}

static void become_another(void)
{
	MUST(setgid(65534));
	MUST(setuid(65534));
	require_thread();
	require_of_all_threads("\nUid:\t65534\t65534\t65534\t65534\n");
}

static void become_another_by_hand(void)
{
	MUST((int)syscall(SYS_setresuid, 65534, 65534, 65534));
	require_thread();
	require_of_all_threads("\nUid:\t65534\t65534\t65534\t65534\n");
}

static void rights(void)
{
	in_child(give_up_capabilities);
	if (state_user(65534) == 65534) {
		in_child(become_another);
		in_child(become_another_by_hand);
	}
	state_ready();
	state_wait_go();
}

/* A filter that kills whoever makes a socket: the interceptor's way to say anything. Past the library: on all threads, by a call that it does not see. */
static void forbid_sockets(int past_the_library)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(*code), code };

	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	if (past_the_library) {
		long result;

		/* Made again by the call above. */
		require_thread();
		__asm__ volatile("syscall"
				 : "=a"(result)
				 : "a"(SYS_seccomp), "D"(SECCOMP_SET_MODE_FILTER), "S"(SECCOMP_FILTER_FLAG_TSYNC), "d"(&program)
				 : "rcx", "r11", "memory");
		EQUAL(result, 0);
		EQUAL(threads_called(THREAD), 1);
	} else {
		MUST(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
		EQUAL(threads_called(NULL), 1);
	}
}

static void seccomp(void)
{
	pid_t child = state_fork(), unseen, executed;

	if (child == 0) {
		forbid_sockets(0);
		executed = state_fork();
		if (executed == 0)
			execl("/bin/sleep", "sleep", "1000", NULL);
		state_mark("child");
		state_wait_go();
		EQUAL(threads_called(NULL), 1);
		kill(executed, SIGKILL);
		waitpid(executed, NULL, 0);
		_exit(0);
	}
	unseen = state_fork();
	if (unseen == 0) {
		require_thread();
		forbid_sockets(1);
		state_mark("unseen");
		state_wait_go();
		_exit(0);
	}
	state_await("child");
	state_await("unseen");
	state_ready();
	state_wait_go();
	state_join(child);
	state_join(unseen);
}

static void *end_a_little_later(void *argument)
{
	state_pause();
	return argument;
}

static void end_the_first_thread(void)
{
	state_thread(end_a_little_later, NULL);
	pthread_exit(NULL);
}

/* A process ends with the last thread of its own. */
static void ends(void)
{
	in_child(end_the_first_thread);
	state_ready();
	state_wait_go();
	in_child(end_the_first_thread);
}

static void spawn_once(void)
{
	char *words[] = { "true", NULL };
	int status;
	pid_t pid;

	EQUAL(posix_spawn(&pid, "/bin/true", NULL, NULL, words, environ), 0);
	EQUAL(waitpid(pid, &status, 0), pid);
	EQUAL(status, 0);
	pid = vfork();
	if (pid == 0) {
		execve("/bin/true", words, environ);
		_exit(1);
	}
	EQUAL(waitpid(pid, &status, 0), pid);
	EQUAL(status, 0);
	EQUAL(system("true"), 0);
}

static void spawns(void)
{
	register_hooks();
	state_ready();
	while (!state_exists("go"))
		spawn_once();
	spawn_once();
	UNTIL(strlen(order) >= 4);
}

/* daemon(3), and the long way. */
static void daemons(void)
{
	for (int i = 0; i < 2; i++) {
		pid_t child = state_fork();

		if (child == 0) {
			if (i == 0) {
				MUST(daemon(1, 1));
			} else {
				MUST(setsid());
				if (fork())
					_exit(0);
			}
			require_thread();
			state_markf("daemon%d", i);
			state_await("go");
			require_thread();
			state_markf("over%d", i);
			_exit(0);
		}
		state_join(child);
		state_awaitf("daemon%d", i);
	}
	state_ready();
	state_wait_go();
	state_await("over0");
	state_await("over1");
}

/* Forks all the time, from several threads; every child has a thread of its own, or is in a hurry. */
static void *fork_on(void *argument)
{
	for (long i = 0; !state_going; i++) {
		pid_t child = MUST(fork());
		int status;

		if (child == 0) {
			if (i % 2)
				require_thread();
			_exit(0);
		}
		EQUAL(waitpid(child, &status, 0), child);
		EQUAL(status, 0);
	}
	return argument;
}

static void forks(void)
{
	pthread_t threads[3];

	register_hooks();
	for (int i = 0; i < 3; i++)
		threads[i] = state_thread(fork_on, NULL);
	state_ready();
	state_wait_go();
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	UNTIL(strlen(order) >= 4);
}

static void *wait_for_the_end(void *argument)
{
	state_wait_go();
	return argument;
}

/* Many processes of four threads each: CROWD of them, else 24. */
static void crowd(void)
{
	int count = getenv("CROWD") ? atoi(getenv("CROWD")) : 24;

	register_hooks();
	for (int i = 0; i < count; i++) {
		if (state_fork() == 0) {
			pthread_t threads[3];

			for (int j = 0; j < 3; j++)
				threads[j] = state_thread(wait_for_the_end, NULL);
			require_thread();
			state_markf("member%d", i);
			for (int j = 0; j < 3; j++)
				pthread_join(threads[j], NULL);
			UNTIL(strlen(order) >= 4);
			CHECK(strncmp(order, "21", 2) == 0, "hooks were called as %s", order);
			_exit(0);
		}
	}
	for (int i = 0; i < count; i++)
		state_awaitf("member%d", i);
	state_ready();
	state_wait_go();
	for (int i = 0; i < count; i++)
		state_join(state_children[i]);
}

/* Calls wherever a checkpoint thread may call, and says what nobody says. */
static void molest(void)
{
	char line[512];

	while (!state_exists("go")) {
		FILE *sockets = fopen("/proc/net/unix", "r");

		while (sockets && fgets(line, sizeof(line), sockets)) {
			char *name = strstr(line, "@holdfast-ckpt-");
			struct sockaddr_un address = { .sun_family = AF_UNIX };

			if (!name)
				continue;
			name[strcspn(name, "\n")] = 0;
			memcpy(address.sun_path + 1, name + 1, strlen(name + 1));
			for (int i = 0; i < 200; i++) {
				int fd = MUST(socket(AF_UNIX, SOCK_SEQPACKET, 0));

				if (connect(fd, (struct sockaddr *)&address, offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name + 1)) == 0)
					send(fd, line, (size_t)(i % 2 ? 120 : i), MSG_NOSIGNAL | MSG_DONTWAIT);
				close(fd);
			}
		}
		if (sockets)
			fclose(sockets);
	}
}

/* A child that the interceptor knows nothing of, and that is no friend. */
static void raw(void)
{
	pid_t child;

	register_hooks();
	child = (pid_t)syscall(SYS_fork);
	if (child == 0) {
		EQUAL(threads_called(NULL), 1);
		state_mark("child");
		molest();
		_exit(0);
	}
	state_await("child");
	state_ready();
	state_wait_go();
	state_join(child);
	UNTIL(strlen(order) >= 4);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*body)(void);
	} cases[] = {
		{ "stdio", stdio }, { "sections", sections }, { "endless", endless }, { "refuses", refuses }, { "stuck", stuck }, { "closes", closes },
		{ "namespaces", namespaces }, { "rights", rights }, { "seccomp", seccomp }, { "ends", ends }, { "spawns", spawns },
		{ "daemons", daemons }, { "forks", forks }, { "raw", raw }, { "crowd", crowd },
	};

	state_begin(argc, argv);
	if (!ckpt_intercepted())
		state_skip("it does not run under the interceptor");
	require_thread();
	if (strcmp(state_case, "live") == 0)
		hooks("21ab");
	else if (strcmp(state_case, "restored") == 0)
		hooks("21xy");
	else
		for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
			if (strcmp(state_case, cases[i].name) == 0)
				cases[i].body();
	state_pass();
}
