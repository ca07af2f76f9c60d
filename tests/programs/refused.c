/*
 * Subject: resources that cannot be captured yet: the checkpoint must be refused, naming process, descriptor
 * and kind, and the program must not notice. `resource` in the work directory says what is expected.
 * Cases: urgent multicast fanotify io_uring userfaultfd seccomp_kills perf netlink_unread netlink_generic
 * Refused: yes
 */
#include "state.h"
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/perf_event.h>
#include <linux/rtnetlink.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <netinet/in.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define IS(name) (strcmp(state_case, name) == 0)

static int first = -1, second = -1, third = -1;
static void *attached;

/* A descriptor that this machine may lack: its absence skips the case. */
static int have(long result)
{
	if (result < 0)
		state_skip("%s: %s", state_case, strerror(errno));
	return (int)result;
}

/* A connection with itself: first is the end that was accepted. */
static void connect_pair(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);

	third = MUST(socket(AF_INET, SOCK_STREAM, 0));
	MUST(bind(third, (struct sockaddr *)&address, size));
	MUST(listen(third, 5));
	MUST(getsockname(third, (struct sockaddr *)&address, &size));
	second = MUST(socket(AF_INET, SOCK_STREAM, 0));
	if (connect(second, (struct sockaddr *)&address, size) != 0)
		state_skip("no loopback here: %s", strerror(errno));
	first = MUST(accept(third, NULL, NULL));
}

/* One system call gets an answer of its own; all else is allowed. */
static void filter(unsigned int call, unsigned int answer)
{
	struct sock_filter instructions[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, answer),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {4, instructions};

	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
		state_skip("no seccomp filters: %s", strerror(errno));
}

static void build(void)
{
	if (IS("urgent")) {
		connect_pair();
		EQUAL(send(second, "!", 1, MSG_OOB), 1);
	} else if (IS("multicast")) {
		struct ip_mreqn group = {.imr_multiaddr.s_addr = htonl(0xe00000fb), .imr_address.s_addr = htonl(INADDR_LOOPBACK)};

		first = MUST(socket(AF_INET, SOCK_DGRAM, 0));
		have(setsockopt(first, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group)));
	} else if (IS("fanotify")) {
		first = have(fanotify_init(FAN_CLASS_NOTIF | FAN_NONBLOCK, O_RDONLY));
	} else if (IS("io_uring")) {
		unsigned int parameters[30] = {0};

		first = have(syscall(425, 8, parameters));
	} else if (IS("userfaultfd")) {
		struct uffdio_api api = {.api = UFFD_API};

		first = have(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK));
		MUST(ioctl(first, UFFDIO_API, &api));
		attached = MUST(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		struct uffdio_register range = {.range = {(unsigned long)attached, PAGE}, .mode = UFFDIO_REGISTER_MODE_MISSING};

		MUST(ioctl(first, UFFDIO_REGISTER, &range));
	} else if (IS("seccomp_kills")) {
		filter(SYS_membarrier, SECCOMP_RET_KILL_PROCESS);
	} else if (IS("perf")) {
		struct perf_event_attr attributes = {.type = PERF_TYPE_SOFTWARE, .size = sizeof(attributes), .config = PERF_COUNT_SW_TASK_CLOCK};

		first = have(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0));
	} else if (IS("netlink_unread")) {
		struct {
			struct nlmsghdr header;
			struct ifinfomsg link;
		} question = {{sizeof(question), RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 1, 0}, {.ifi_family = AF_UNSPEC}};

		first = MUST(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
		EQUAL(send(first, &question, sizeof(question), 0), sizeof(question));
	} else if (IS("netlink_generic")) {
		struct sockaddr_nl address = {.nl_family = AF_NETLINK};

		first = MUST(socket(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC));
		MUST(bind(first, (struct sockaddr *)&address, sizeof(address)));
	} else {
		state_fail("no such case");
	}
}

static void check(void)
{
	if (IS("urgent")) {
		char byte = 0;

		EQUAL(recv(first, &byte, 1, MSG_OOB), 1);
		EQUAL(byte, '!');
	} else if (IS("perf")) {
		uint64_t value = 0;

		EQUAL(read(first, &value, 8), 8);
		CHECK(value > 0, "the counter stands still");
	} else if (IS("netlink_unread")) {
		char bytes[65536];
		struct nlmsghdr *header = (struct nlmsghdr *)bytes;

		CHECK(recv(first, bytes, sizeof(bytes), 0) >= (ssize_t)sizeof(*header), "the answer");
		EQUAL(header->nlmsg_type, RTM_NEWLINK);
		EQUAL(header->nlmsg_seq, 1);
	}
	if (first >= 0)
		MUST(fcntl(first, F_GETFD));
}

int main(int argc, char **argv)
{
	state_begin(argc, argv);
	build();
	state_refusable(first, state_case);
	pid_t child = state_fork();

	if (child == 0) {
		/* Another process beside it, which must go on as well; without the descriptors, so that only one is to blame. */
		if (first >= 0)
			close(first);
		if (second >= 0)
			close(second);
		if (third >= 0)
			close(third);
		if (attached)
			munmap(attached, PAGE);
		state_mark("child");
		state_wait_go();
		_exit(0);
	}
	state_await("child");
	state_ready();
	state_wait_go();
	check();
	state_join(child);
	state_pass();
}
