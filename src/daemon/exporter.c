/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * Anybody on the node can connect to a loopback port, so what parses HTTP there is not the daemon
 * but another process: nobody's uid, no capability, two descriptors, a system call filter. It asks
 * the daemon for the text through a socket pair, and that is all that can be asked there. The
 * daemon answers at most four times a second and never waits for it.
 *
 * It is forked by a keeper (exporter_keeper.c), which starts it anew when it ends, and the keeper
 * by us at the start, while we may still change our uid. For each start the keeper hands us our end
 * of a new pair: what was half said to the last one is gone with its pair. When the keeper ends
 * there are no metrics on TCP until the next start; everything else goes on.
 */
#include "daemon/exporter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "daemon/exporter_keeper.h"
#include "daemon/log.h"
#include "microseg/cleanup.h"

#define BACKLOG 64
#define PERIOD_MS 250

struct ms_exporter {
	struct ms_loop *loop;
	int keeper_fd;			 /* where it hands pairs over; -1: there is none */
	pid_t keeper_pid;		 /* 0: none */
	struct ms_io *keeper;		 /* reads from keeper_fd */
	struct bufferevent *bufferevent; /* our end of the pair; NULL: nobody serves */
	unsigned int n_ended;		 /* of those who served */
	struct ms_timer *answer;
	uint64_t answered_ms;
	ms_exporter_fn fn;
	const void *userdata;
	struct ms_str problem;
};

static void set_problem(struct ms_exporter *exporter, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void set_problem(struct ms_exporter *exporter, const char *format, ...)
{
	va_list args;

	ms_str_fini(&exporter->problem);
	va_start(args, format);
	ms_str_addv(&exporter->problem, format, args);
	va_end(args);
	ms_log(MS_LOG_ERROR, "%s", exporter->problem.text ? exporter->problem.text : format);
}

static int listen_on(const struct ms_config *config, int *ret_fd)
{
	const struct ms_addr *addr = &config->metrics_addr;
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(config->metrics_port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
				   .sin6_port = htons(config->metrics_port)};
	bool ip4 = addr->ip == MS_IP4;
	int one = 1;

	memcpy(&in.sin_addr, addr->bytes, sizeof(in.sin_addr));
	memcpy(&in6.sin6_addr, addr->bytes, sizeof(in6.sin6_addr));
	_cleanup_(closep) int fd =
		socket(ip4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, ip4 ? (struct sockaddr *)&in : (struct sockaddr *)&in6,
		 ip4 ? sizeof(in) : sizeof(in6)) < 0 ||
	    listen(fd, BACKLOG) < 0)
		return -errno;
	*ret_fd = fd;
	fd = -1;
	return 0;
}

static int fork_keeper(struct ms_exporter *exporter, const struct ms_config *config)
{
	_cleanup_(closep) int listen_fd = -1;
	int pair[2];
	int r = listen_on(config, &listen_fd);

	if (r == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		r = -errno;
	if (r < 0)
		return r;
	exporter->keeper_pid = fork();
	if (exporter->keeper_pid == 0)
		ms_exporter_keeper(listen_fd, pair[1]);
	close(pair[1]);
	if (exporter->keeper_pid < 0) {
		r = -errno;
		exporter->keeper_pid = 0;
		close(pair[0]);
		return r;
	}
	exporter->keeper_fd = pair[0];
	return 0;
}

int ms_exporter_fork(const struct ms_config *config, struct ms_exporter **ret_exporter)
{
	if (config->metrics_port == 0)
		return 0;

	struct ms_exporter *exporter = calloc(1, sizeof(*exporter));
	if (!exporter)
		return -ENOMEM;
	exporter->keeper_fd = -1;
	int r = fork_keeper(exporter, config);
	if (r < 0)
		set_problem(exporter, "metrics are not served on TCP port %u: %s",
			    config->metrics_port, strerror(-r));
	*ret_exporter = exporter;
	return 0;
}

static void on_answer(void *userdata)
{
	struct ms_exporter *exporter = userdata;
	_cleanup_(ms_str_fini) struct ms_str text = {0};

	exporter->fn(exporter->userdata, &text);
	uint32_t size = (uint32_t)text.len;
	bufferevent_write(exporter->bufferevent, &size, sizeof(size));
	bufferevent_write(exporter->bufferevent, text.text ? text.text : "", size);
	exporter->answered_ms = ms_monotonic_ms();
}

/* However often it asks, it is answered once, and not before it has read the last answer. */
static void on_asked(struct bufferevent *bufferevent, void *userdata)
{
	struct ms_exporter *exporter = userdata;
	struct evbuffer *input = bufferevent_get_input(bufferevent);
	uint64_t since_ms = ms_monotonic_ms() - exporter->answered_ms;

	evbuffer_drain(input, evbuffer_get_length(input));
	if (ms_timer_is_set(exporter->answer) ||
	    evbuffer_get_length(bufferevent_get_output(bufferevent)) > 0)
		return;
	ms_timer_set(exporter->answer, since_ms < PERIOD_MS ? PERIOD_MS - since_ms : 0);
}

static void end_serving(struct ms_exporter *exporter)
{
	ms_timer_stop(exporter->answer);
	if (exporter->bufferevent)
		bufferevent_free(exporter->bufferevent);
	exporter->bufferevent = NULL;
}

static void on_ended(struct bufferevent *bufferevent, short what, void *userdata)
{
	struct ms_exporter *exporter = userdata;

	(void)bufferevent;
	(void)what;
	end_serving(exporter);
	exporter->n_ended++;
	set_problem(exporter,
		    "the process that serves metrics on TCP has ended, %u time%s since the start; "
		    "it is started anew within half a minute",
		    exporter->n_ended, exporter->n_ended == 1 ? "" : "s");
}

/* Somebody new serves, and asks through @fd, which becomes ours. */
static void begin_serving(struct ms_exporter *exporter, int fd)
{
	if (exporter->bufferevent) /* its end was not seen yet */
		on_ended(exporter->bufferevent, 0, exporter);
	evutil_make_socket_nonblocking(fd);
	exporter->bufferevent =
		bufferevent_socket_new(ms_loop_base(exporter->loop), fd, BEV_OPT_CLOSE_ON_FREE);
	if (!exporter->bufferevent) {
		close(fd); /* it sees that, ends, and is started anew */
		return;
	}
	bufferevent_setcb(exporter->bufferevent, on_asked, NULL, on_ended, exporter);
	bufferevent_enable(exporter->bufferevent, EV_READ | EV_WRITE);
	if (exporter->n_ended > 0)
		ms_log(MS_LOG_INFO, "metrics are served on TCP again");
	ms_str_fini(&exporter->problem);
}

/* Returns a descriptor, -ENODATA when the message has none, -EPIPE when the keeper is gone. */
static int receive_fd(int keeper_fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	char byte;
	struct iovec room = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {.msg_iov = &room,
				 .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes)};
	ssize_t n = recvmsg(keeper_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	int fd;

	if (n < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
	    header->cmsg_len != CMSG_LEN(sizeof(int)))
		return n == 0 ? -EPIPE : -ENODATA;
	memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	return fd;
}

static void on_keeper(int keeper_fd, void *userdata)
{
	struct ms_exporter *exporter = userdata;
	int fd = receive_fd(keeper_fd);

	if (fd >= 0)
		begin_serving(exporter, fd);
	if (fd != -EPIPE)
		return;
	exporter->keeper = ms_io_free(exporter->keeper);
	close(exporter->keeper_fd);
	exporter->keeper_fd = -1;
	end_serving(exporter);
	set_problem(exporter, "the process that keeps the TCP port of the metrics has ended; a "
			      "restart of microsegd brings it back, and changes no verdict");
	if (waitpid(exporter->keeper_pid, NULL, WNOHANG) == exporter->keeper_pid)
		exporter->keeper_pid = 0;
}

int ms_exporter_start(struct ms_exporter *exporter, struct ms_loop *loop, ms_exporter_fn fn,
		      const void *userdata)
{
	if (!exporter || exporter->keeper_fd < 0)
		return 0;
	exporter->loop = loop;
	exporter->fn = fn;
	exporter->userdata = userdata;
	exporter->answer = ms_loop_timer(loop, on_answer, exporter);
	exporter->keeper = ms_loop_io(loop, exporter->keeper_fd, MS_IO_READ, on_keeper, exporter);
	return exporter->answer && exporter->keeper ? 0 : -ENOMEM;
}

struct ms_exporter *ms_exporter_free(struct ms_exporter *exporter)
{
	if (!exporter)
		return NULL;
	if (exporter->answer)
		end_serving(exporter);
	ms_io_free(exporter->keeper);
	if (exporter->keeper_fd >= 0)
		close(exporter->keeper_fd);
	if (exporter->answer)
		ms_timer_free(exporter->answer);
	if (exporter->keeper_pid > 0) /* it ends when the pair does, but is not waited for */
		waitpid(exporter->keeper_pid, NULL, WNOHANG);
	ms_str_fini(&exporter->problem);
	free(exporter);
	return NULL;
}

const char *ms_exporter_problem(const struct ms_exporter *exporter)
{
	return exporter ? exporter->problem.text : NULL;
}
