/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/exporter_child.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <event2/http.h>
#include <event2/listener.h>

#include "daemon/clients.h"
#include "daemon/reply.h"
#include "daemon/sandbox.h"
#include "loop/loop.h"
#include "microseg/cleanup.h"

#define MAX_HEADER 4096
#define MAX_TEXT ((uint32_t)16 * 1024 * 1024)
#define FRESH_MS 1000 /* a text this old is good enough for the next one who asks */
#define PATIENCE_S 5  /* with the daemon */

struct child {
	int fd;
	char *text;
	uint32_t size;
	uint64_t at_ms;
};

static int read_all(int fd, void *bytes, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = read(fd, (char *)bytes + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EPIPE;
		done += (size_t)n;
	}
	return 0;
}

/* After a failure what comes next is not known: then we end, and the daemon says so. */
static void fetch(struct child *child)
{
	uint32_t size = 0;

	if (write(child->fd, "", 1) != 1 || read_all(child->fd, &size, sizeof(size)) < 0 ||
	    size > MAX_TEXT)
		_exit(1);
	free(child->text);
	child->text = malloc(size + 1);
	if (!child->text || read_all(child->fd, child->text, size) < 0)
		_exit(1);
	child->size = size;
	child->at_ms = ms_monotonic_ms();
}

static void on_request(struct evhttp_request *request, void *userdata)
{
	struct child *child = userdata;
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));

	if (!path || strcmp(path, "/metrics") != 0) {
		ms_reply(request, HTTP_NOTFOUND, "text/plain", "only /metrics is here\n", 22);
		return;
	}
	if (!child->text || ms_monotonic_ms() - child->at_ms > FRESH_MS)
		fetch(child);
	ms_reply(request, HTTP_OK, "text/plain; version=0.0.4", child->text, child->size);
}

static void on_daemon(int fd, void *userdata)
{
	(void)fd;
	(void)userdata;
	_exit(0); /* it says nothing unasked: it has ended */
}

static int serve(int listen_fd, struct child *child)
{
	const struct timeval patience = {.tv_sec = PATIENCE_S};
	struct ms_loop *loop = ms_loop_new();
	struct evhttp *http = loop ? evhttp_new(ms_loop_base(loop)) : NULL;
	struct ms_clients *clients = http ? ms_clients_new(loop, http, on_request, child) : NULL;
	struct evconnlistener *listener =
		clients ? evconnlistener_new(ms_loop_base(loop), NULL, NULL,
					     LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0,
					     listen_fd)
			: NULL;

	if (!listener || !ms_loop_io(loop, child->fd, MS_IO_READ, on_daemon, child))
		return -ENOMEM;
	setsockopt(child->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
	evhttp_set_max_headers_size(http, MAX_HEADER);
	evhttp_set_max_body_size(http, 0);
	ms_clients_listen(clients, listener);
	if (!evhttp_bind_listener(http, listener))
		return -ENOMEM;
	return ms_loop_run(loop);
}

noreturn void ms_exporter_child(int listen_fd, int fd)
{
	struct child child = {.fd = fd};

	prctl(PR_SET_NAME, "microsegd-http");
	if (ms_sandbox_only_serve() < 0)
		_exit(1);
	_exit(serve(listen_fd, &child) < 0 ? 1 : 0);
}
