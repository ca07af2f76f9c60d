/*
 * Subject: inotify: watch descriptors with their numbers and masks, on a directory, a file and a symbolic link; no event that the
 * application did not cause.
 * Files: written
 */
#include "state.h"
#include <sys/inotify.h>

static int fd;

/* Exactly one event. */
static void expect(int watch, uint32_t mask, const char *name)
{
	char bytes[4096] __attribute__((aligned(8)));
	ssize_t n = read(fd, bytes, sizeof(bytes));
	struct inotify_event *event = (void *)bytes;

	CHECK(n > 0, "no event: %s", strerror(errno));
	EQUAL(event->wd, watch);
	EQUAL(event->mask, mask);
	EQUAL(n, sizeof(*event) + event->len);
	CHECK(event->len == 0 || strcmp(event->name, name) == 0, "name %s", event->name);
}

static void expect_none(void)
{
	char bytes[4096];

	EQUAL(read(fd, bytes, sizeof(bytes)), -1);
	EQUAL(errno, EAGAIN);
}

int main(int argc, char **argv)
{
	int file, directory, once, link, gone;

	state_begin(argc, argv);
	fd = MUST(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
	MUST(mkdir(state_path("watched"), 0755));
	MUST(mkdir(state_path("other"), 0755));
	int held = MUST(open(state_path("file"), O_CREAT | O_RDWR, 0644));

	MUST(symlink("file", state_path("link")));
	gone = MUST(inotify_add_watch(fd, state_path("other"), IN_CREATE));
	directory = MUST(inotify_add_watch(fd, state_path("watched"), IN_CREATE | IN_DELETE | IN_ONLYDIR));
	file = MUST(inotify_add_watch(fd, state_path("file"), IN_ALL_EVENTS));
	once = MUST(inotify_add_watch(fd, state_path("other"), IN_DELETE | IN_ONESHOT | IN_MASK_ADD));
	EQUAL(once, gone);
	MUST(inotify_rm_watch(fd, gone));
	expect(gone, IN_IGNORED, "");
	once = MUST(inotify_add_watch(fd, state_path("other"), IN_CREATE | IN_ONESHOT));
	link = MUST(inotify_add_watch(fd, state_path("link"), IN_ATTRIB | IN_DONT_FOLLOW));
	expect_none();
	state_ready();
	state_wait_go();
	EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);
	expect_none();
	EQUAL(write(held, "x", 1), 1);
	expect(file, IN_MODIFY, "");
	close(MUST(open(state_path("watched/new"), O_CREAT | O_WRONLY, 0644)));
	expect(directory, IN_CREATE, "new");
	MUST(lchown(state_path("link"), getuid(), getgid()));
	expect(link, IN_ATTRIB, "");
	MUST(mkdir(state_path("other/one"), 0755));
	char bytes[4096] __attribute__((aligned(8)));

	CHECK(read(fd, bytes, sizeof(bytes)) > 0, "no event");
	EQUAL(((struct inotify_event *)bytes)->wd, once);
	MUST(mkdir(state_path("other/two"), 0755));
	expect_none();
	MUST(inotify_rm_watch(fd, directory));
	expect(directory, IN_IGNORED, "");
	CHECK(MUST(inotify_add_watch(fd, state_path("watched"), IN_CREATE)) > link, "a number was given twice");
	state_pass();
}
