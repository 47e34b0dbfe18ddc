/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * Who parses what strangers send may die of it. The daemon could not start another one: it has
 * given up the right to become nobody, and must not lend its own rights to such a process. So a
 * keeper stands between: nobody's as well, it holds the listening socket, reads nothing, and does
 * no more than fork, wait, and fork again. While it waits whoever connects stays in the kernel's
 * queue.
 *
 * A child that dies at once would be started without end: each pause is twice the last one, until
 * one has lived for a while.
 */
#include "daemon/exporter_keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/exporter_child.h"
#include "daemon/sandbox.h"
#include "loop/loop.h"
#include "microseg/cleanup.h"

#define MIN_PAUSE_MS UINT64_C(100)
#define MAX_PAUSE_MS UINT64_C(30000)
#define HEALTHY_MS UINT64_C(60000) /* of life, after which its end is no repetition */

/* Keeps @a and @b of all descriptors. Returns them as 3 and 4. */
static int keep(int *a, int *b)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int first = fcntl(*a, F_DUPFD_CLOEXEC, 5), second = fcntl(*b, F_DUPFD_CLOEXEC, 5);

	if (null < 0 || first < 0 || second < 0)
		return -errno;
	for (int fd = 0; fd <= 2; fd++)
		dup2(null, fd);
	*a = dup3(first, 3, O_CLOEXEC);
	*b = dup3(second, 4, O_CLOEXEC);
	return close_range(5, ~0U, 0) < 0 ? -errno : 0;
}

static void hand_over(int fd, int passed_fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	char nothing = 0;
	struct iovec byte = {.iov_base = &nothing, .iov_len = 1};
	struct msghdr message = {.msg_iov = &byte,
				 .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &passed_fd, sizeof(int));
	if (sendmsg(fd, &message, MSG_NOSIGNAL) < 0)
		_exit(errno == EPIPE || errno == ECONNRESET ? 0 : 1); /* our end is the child's */
}

/* The keeper's death is the child's, also one that came before the child could ask for it. */
static noreturn void be_child(int listen_fd, int ask_fd, pid_t keeper)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != keeper)
		_exit(1);
	ms_exporter_child(listen_fd, ask_fd);
}

/* Returns whether it ended because the daemon did. */
static bool run_child(int listen_fd, int fd)
{
	pid_t keeper = getpid();
	int pair[2], status = 0;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return false;
	pid_t pid = fork();
	if (pid == 0) {
		close(fd);
		close(pair[0]);
		be_child(listen_fd, pair[1], keeper);
	}
	close(pair[1]);
	if (pid > 0)
		hand_over(fd, pair[0]);
	close(pair[0]);
	if (pid < 0)
		return false;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void pause_ms(uint64_t ms)
{
	struct timespec left = {.tv_sec = (time_t)(ms / 1000),
				.tv_nsec = (long)(ms % 1000) * 1000000};

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

noreturn void ms_exporter_keeper(int listen_fd, int fd)
{
	uint64_t next_pause_ms = MIN_PAUSE_MS;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN); /* a terminal's: the daemon ends us */
	prctl(PR_SET_NAME, "microsegd-keep");
	if (keep(&listen_fd, &fd) < 0 || ms_sandbox_become_nobody() < 0 ||
	    prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		_exit(1);
	for (;;) {
		uint64_t since_ms = ms_monotonic_ms();

		if (run_child(listen_fd, fd))
			_exit(0);
		if (ms_monotonic_ms() - since_ms > HEALTHY_MS)
			next_pause_ms = MIN_PAUSE_MS;
		pause_ms(next_pause_ms);
		next_pause_ms = next_pause_ms * 2 < MAX_PAUSE_MS ? next_pause_ms * 2 : MAX_PAUSE_MS;
	}
}
