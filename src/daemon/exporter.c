/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * Anybody on the node can connect to a loopback port, so what parses HTTP there is not the daemon
 * but a child of it: nobody's uid, no capability, two descriptors, a system call filter. It asks
 * the daemon for the text through a socket pair, and that is all that can be asked there. The
 * daemon answers at most four times a second and never waits for the child.
 *
 * The child is forked at the start, while we may still change our uid. When it ends there are no
 * metrics on TCP until the next start; everything else goes on.
 */
#include "daemon/exporter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "daemon/exporter_child.h"
#include "daemon/log.h"
#include "microseg/cleanup.h"

#define BACKLOG 64
#define PERIOD_MS 250

struct ms_exporter {
	int fd;				 /* our end of the pair; -1: there is no child */
	pid_t pid;			 /* 0: none */
	struct bufferevent *bufferevent; /* owns fd from the start on */
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

static int fork_child(struct ms_exporter *exporter, const struct ms_config *config)
{
	_cleanup_(closep) int listen_fd = -1;
	int pair[2];
	int r = listen_on(config, &listen_fd);

	if (r == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		r = -errno;
	if (r < 0)
		return r;
	exporter->pid = fork();
	if (exporter->pid == 0)
		ms_exporter_child(listen_fd, pair[1]);
	close(pair[1]);
	if (exporter->pid < 0) {
		r = -errno;
		exporter->pid = 0;
		close(pair[0]);
		return r;
	}
	exporter->fd = pair[0];
	return 0;
}

int ms_exporter_fork(const struct ms_config *config, struct ms_exporter **ret_exporter)
{
	if (config->metrics_port == 0)
		return 0;

	struct ms_exporter *exporter = calloc(1, sizeof(*exporter));
	if (!exporter)
		return -ENOMEM;
	exporter->fd = -1;
	int r = fork_child(exporter, config);
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

static void on_ended(struct bufferevent *bufferevent, short what, void *userdata)
{
	struct ms_exporter *exporter = userdata;

	(void)bufferevent;
	(void)what;
	ms_timer_stop(exporter->answer);
	bufferevent_free(exporter->bufferevent);
	exporter->bufferevent = NULL;
	set_problem(exporter, "the process that serves metrics on TCP has ended; a restart of "
			      "microsegd brings it back");
	if (waitpid(exporter->pid, NULL, WNOHANG) == exporter->pid)
		exporter->pid = 0;
}

int ms_exporter_start(struct ms_exporter *exporter, struct ms_loop *loop, ms_exporter_fn fn,
		      const void *userdata)
{
	if (!exporter || exporter->fd < 0)
		return 0;
	exporter->fn = fn;
	exporter->userdata = userdata;
	exporter->answer = ms_loop_timer(loop, on_answer, exporter);
	evutil_make_socket_nonblocking(exporter->fd);
	exporter->bufferevent =
		bufferevent_socket_new(ms_loop_base(loop), exporter->fd, BEV_OPT_CLOSE_ON_FREE);
	if (!exporter->answer || !exporter->bufferevent)
		return -ENOMEM;
	exporter->fd = -1;
	bufferevent_setcb(exporter->bufferevent, on_asked, NULL, on_ended, exporter);
	return bufferevent_enable(exporter->bufferevent, EV_READ | EV_WRITE) < 0 ? -ENOMEM : 0;
}

struct ms_exporter *ms_exporter_free(struct ms_exporter *exporter)
{
	if (!exporter)
		return NULL;
	if (exporter->bufferevent)
		bufferevent_free(exporter->bufferevent);
	if (exporter->fd >= 0)
		close(exporter->fd);
	if (exporter->answer)
		ms_timer_free(exporter->answer);
	if (exporter->pid > 0) /* it ends when the pair does, but is not waited for */
		waitpid(exporter->pid, NULL, WNOHANG);
	ms_str_fini(&exporter->problem);
	free(exporter);
	return NULL;
}

const char *ms_exporter_problem(const struct ms_exporter *exporter)
{
	return exporter ? exporter->problem.text : NULL;
}
