/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/control.h"
#include "daemon/clients.h"
#include "daemon/control_private.h"
#include "daemon/drops.h"
#include "daemon/log.h"
#include "daemon/orders.h"
#include "daemon/reply.h"
#include "daemon/routes.h"
#include "microseg/cleanup.h"
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define MAX_GROUPS 1024
#define BACKLOG 4096 /* who comes while somebody floods us waits instead of being turned away */

static bool has_group(int fd, const struct ucred *peer, gid_t group)
{
	gid_t groups[MAX_GROUPS];
	socklen_t size = sizeof(groups);

	if (peer->gid == group)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
		return false;
	for (size_t i = 0; i < size / sizeof(groups[0]); i++)
		if (groups[i] == group)
			return true;
	return false;
}

int ms_control_peer(struct evhttp_request *request, struct ucred *ret_peer)
{
	struct evhttp_connection *connection = evhttp_request_get_connection(request);
	int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(connection));
	socklen_t size = sizeof(*ret_peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ret_peer, &size) < 0 ? -errno : 0;
}

static bool may(const struct ms_control *control, struct evhttp_request *request, bool change)
{
	struct evhttp_connection *connection = evhttp_request_get_connection(request);
	int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(connection));
	struct ucred peer;

	if (ms_control_peer(request, &peer) < 0)
		return false;
	return peer.uid == 0 || (!change && has_group(fd, &peer, control->group));
}

static void on_request(struct evhttp_request *request, void *userdata)
{
	struct ms_control *control = userdata;
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
	const struct ms_route *found = NULL;
	bool path_known = false;

	for (size_t i = 0; i < ms_n_routes && path; i++) {
		if (strcmp(ms_routes[i].path, path) != 0)
			continue;
		path_known = true;
		if (ms_routes[i].method == (int)evhttp_request_get_command(request))
			found = &ms_routes[i];
	}
	if (!may(control, request, found && found->changes))
		ms_reply_error(request, 403,
			       "reading is for root and the socket's group, changing for root",
			       NULL);
	else if (!found)
		ms_reply_error(request, path_known ? HTTP_BADMETHOD : HTTP_NOTFOUND,
			       "no such thing here", NULL);
	else
		found->fn(control, request);
}

/* A socket file that nobody answers on is left over and goes; one that answers is somebody's. */
static int clear_way(const struct sockaddr_un *address)
{
	_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat st;

	if (lstat(address->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
		return -EADDRINUSE;
	return unlink(address->sun_path) < 0 ? -errno : 0;
}

static int make_parent(const char *path)
{
	const char *slash = strrchr(path, '/');
	_cleanup_(freep) char *parent =
		slash && slash > path ? strndup(path, (size_t)(slash - path)) : NULL;

	if (!parent)
		return 0;
	if (mkdir(parent, 0755) < 0)
		return errno == EEXIST ? 0 : -errno;
	return chmod(parent, 0755) < 0 ? -errno : 0; /* the group reads there, whatever our umask */
}

/* Reading is for this group. Without one named, and without the usual one, it is for root alone. */
static int find_group(const char *name, gid_t *ret_group)
{
	const struct group *group = getgrnam(name ? name : MS_CONTROL_GROUP);

	if (!group && name)
		return -ESRCH;
	*ret_group = group ? group->gr_gid : getegid();
	return 0;
}

/*
 * Binds with the group's id, and so without CAP_CHOWN. The file is nobody's until its mode is
 * right.
 */
static int listen_as_group(struct ms_control *control, const struct sockaddr_un *address,
			   struct evconnlistener **ret_listener)
{
	gid_t own = getegid();
	mode_t mask = umask(0177);
	int r = setegid(control->group) < 0 ? -errno : 0;

	if (r == 0) {
		*ret_listener = evconnlistener_new_bind(
			ms_loop_base(control->daemon->loop), NULL, NULL,
			LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, BACKLOG,
			(const struct sockaddr *)address, sizeof(*address));
		r = *ret_listener ? 0 : -errno;
	}
	umask(mask);
	control->bound = r == 0;
	if (setegid(own) < 0 && r == 0)
		r = -errno;
	if (r == 0 && chmod(address->sun_path, 0660) < 0)
		r = -errno;
	return r;
}

static int bind_socket(struct ms_control *control, const struct ms_config *config)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct evconnlistener *listener = NULL;
	int r;

	if (strlen(config->control_socket) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, config->control_socket);
	if ((r = find_group(config->control_group, &control->group)) < 0 ||
	    (r = make_parent(address.sun_path)) < 0 || (r = clear_way(&address)) < 0)
		return r;
	r = listen_as_group(control, &address, &listener);
	if (r == 0) {
		ms_clients_listen(control->clients, listener);
		r = evhttp_bind_listener(control->http, listener) ? 0 : -ENOMEM;
	}
	if (r < 0 && listener)
		evconnlistener_free(listener);
	return r;
}

static int make_http(struct ms_control *control)
{
	control->http = evhttp_new(ms_loop_base(control->daemon->loop));
	control->drops = ms_drops_new(control->daemon->loop, control->daemon->events);
	if (!control->http || !control->drops)
		return -ENOMEM;
	control->clients =
		ms_clients_new(control->daemon->loop, control->http, on_request, control);
	if (!control->clients)
		return -ENOMEM;
	evhttp_set_allowed_methods(control->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST);
	evhttp_set_max_headers_size(control->http, MS_CONTROL_MAX_HEADER);
	evhttp_set_max_body_size(control->http, (ssize_t)MS_CONTROL_MAX_BODY);
	return 0;
}

int ms_control_new(struct ms_daemon *daemon, struct ms_control **ret_control)
{
	struct ms_control *control = calloc(1, sizeof(*control));
	const struct ms_config *config = daemon->config;

	if (!control)
		return -ENOMEM;
	control->daemon = daemon;
	int r = make_http(control);
	if (r == 0)
		r = bind_socket(control, config);
	if (r < 0) {
		ms_log(MS_LOG_ERROR, "cannot listen on %s: %s", config->control_socket,
		       r == -ESRCH ? "the group of `control` does not exist" : strerror(-r));
		ms_control_free(control);
		return r;
	}
	*ret_control = control;
	return 0;
}

struct ms_control *ms_control_free(struct ms_control *control)
{
	if (!control)
		return NULL;
	ms_drops_free(control->drops);
	ms_orders_fini(control);
	if (control->http)
		evhttp_free(control->http);
	ms_clients_free(control->clients);
	if (control->bound)
		unlink(control->daemon->config->control_socket);
	free(control);
	return NULL;
}
