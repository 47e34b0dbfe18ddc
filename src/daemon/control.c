/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/control.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/listener.h>

#include "daemon/drops.h"
#include "daemon/log.h"
#include "daemon/reply.h"
#include "daemon/report.h"
#include "microseg/cleanup.h"

#define MAX_HEADER 16384
#define MAX_BODY ((ssize_t)(MS_FILES_MAX_TOTAL * 2))
#define TIMEOUT_S 30 /* of a connection that says nothing */
#define MAX_GROUPS 1024
#define BACKLOG 64

struct ms_control {
	struct ms_daemon *daemon;
	struct evhttp *http;
	bool bound; /* the socket file is ours */
	gid_t group;
	struct ms_drops *drops;
	struct evhttp_request *apply; /* waits for its policy to be in force */
	struct ms_str apply_warnings;
};

typedef void (*route_fn)(struct ms_control *control, struct evhttp_request *request);

static void get_status(struct ms_control *control, struct evhttp_request *request)
{
	ms_reply_json(request, HTTP_OK, ms_report_status(control->daemon));
}

static void get_endpoints(struct ms_control *control, struct evhttp_request *request)
{
	ms_reply_json(request, HTTP_OK, ms_report_endpoints(control->daemon));
}

static void get_policy(struct ms_control *control, struct evhttp_request *request)
{
	ms_reply_json(request, HTTP_OK, ms_report_policy(control->daemon));
}

static void get_inventory(struct ms_control *control, struct evhttp_request *request)
{
	_cleanup_(ms_str_fini) struct ms_str text = {0};

	if (!control->daemon->inventory) {
		ms_reply_error(request, HTTP_SERVUNAVAIL,
			       "microsegd is starting and has no inventory yet", NULL);
		return;
	}
	ms_inventory_print(control->daemon->inventory, &text);
	ms_reply(request, HTTP_OK, "application/yaml", text.text ? text.text : "", text.len);
}

static void get_metrics(struct ms_control *control, struct evhttp_request *request)
{
	_cleanup_(ms_str_fini) struct ms_str text = {0};

	ms_report_metrics(control->daemon, &text);
	ms_reply(request, HTTP_OK, "text/plain; version=0.0.4", text.text ? text.text : "",
		 text.len);
}

static void get_drops(struct ms_control *control, struct evhttp_request *request)
{
	ms_drops_get(control->drops, request);
}

static void finish_apply(struct ms_control *control)
{
	control->apply = NULL;
	ms_str_fini(&control->apply_warnings);
}

static void on_apply_closed(struct evhttp_connection *connection, void *userdata)
{
	struct ms_control *control = userdata;

	(void)connection;
	ms_daemon_forget_applied(control->daemon, control);
	ms_reply_abandon(control->apply);
	finish_apply(control);
}

static void on_applied(const struct ms_apply_result *result, void *userdata)
{
	struct ms_control *control = userdata;
	struct evhttp_request *request = control->apply;
	const char *warnings = control->apply_warnings.text;
	json_t *json = NULL;

	evhttp_connection_set_closecb(evhttp_request_get_connection(request), NULL, NULL);
	if (result->error < 0) {
		ms_reply_error(request, HTTP_INTERNAL, result->message, warnings);
	} else {
		json = json_pack("{s:s, s:I, s:s}", "state",
				 ms_daemon_state_name(ms_daemon_state(control->daemon)),
				 "generation", (json_int_t)control->daemon->generation,
				 "diagnostics", warnings ? warnings : "");
		ms_reply_json(request, HTTP_OK, json);
	}
	finish_apply(control);
}

/* Reads {"files": [{"name", "text"}]}. Returns 0; -EINVAL when it is something else; another
 * -errno. */
static int read_files(struct evhttp_request *request, struct ms_files *files)
{
	struct evbuffer *input = evhttp_request_get_input_buffer(request);
	size_t size = evbuffer_get_length(input), i;
	json_t *list = NULL, *item;
	int r = ms_files_init(files);

	if (r < 0)
		return r;
	json_t *body = json_loadb((const char *)evbuffer_pullup(input, -1), size,
				  JSON_REJECT_DUPLICATES, NULL);
	if (!body || json_unpack(body, "{s:o!}", "files", &list) < 0 || !json_is_array(list))
		r = -EINVAL;
	json_array_foreach(list, i, item)
	{
		const char *name, *text;
		size_t text_size;

		if (r == 0 &&
		    json_unpack(item, "{s:s, s:s%!}", "name", &name, "text", &text, &text_size) < 0)
			r = -EINVAL;
		if (r == 0)
			r = ms_files_add(files, name, text, text_size);
	}
	json_decref(body);
	return r;
}

static void park_apply(struct ms_control *control, struct evhttp_request *request,
		       struct ms_str *warnings)
{
	struct evhttp_connection *connection = evhttp_request_get_connection(request);

	control->apply = request;
	control->apply_warnings = *warnings;
	*warnings = (struct ms_str){0};
	evhttp_connection_set_closecb(connection, on_apply_closed, control);
	bufferevent_set_timeouts(evhttp_connection_get_bufferevent(connection), NULL, NULL);
}

static void post_apply(struct ms_control *control, struct evhttp_request *request)
{
	_cleanup_(ms_files_fini) struct ms_files files = {0};
	_cleanup_(ms_str_fini) struct ms_str diagnostics = {0};
	_cleanup_(ms_loaded_freep) struct ms_loaded *loaded = NULL;
	int r = read_files(request, &files);

	if (r == -EINVAL) {
		ms_reply_error(request, HTTP_BADREQUEST,
			       "expected {\"files\": [{\"name\", \"text\"}]}", NULL);
		return;
	}
	if (r == 0)
		r = ms_loaded_new(&files, false, &diagnostics, &loaded);
	if (r == -EINVAL) {
		ms_reply_error(request, 422, "the policy has errors; nothing was changed",
			       diagnostics.text);
		return;
	}
	if (r == 0)
		r = ms_daemon_apply(control->daemon, loaded, on_applied, control);
	if (r < 0) {
		ms_reply_error(request, r == -EBUSY ? 409 : HTTP_INTERNAL,
			       r == -EBUSY ? "another policy is being applied" : strerror(-r),
			       NULL);
		return;
	}
	loaded = NULL;
	park_apply(control, request, &diagnostics);
}

static void set_off(struct ms_control *control, struct evhttp_request *request, bool off)
{
	int r = ms_daemon_set_off(control->daemon, off);

	if (r < 0)
		ms_reply_error(request, HTTP_INTERNAL, strerror(-r), NULL);
	else
		ms_reply_json(request, HTTP_OK, json_pack("{s:b}", "off", off));
}

static void post_off(struct ms_control *control, struct evhttp_request *request)
{
	set_off(control, request, true);
}

static void post_on(struct ms_control *control, struct evhttp_request *request)
{
	set_off(control, request, false);
}

static const struct route {
	enum evhttp_cmd_type method;
	const char *path;
	route_fn fn;
} routes[] = {
	{EVHTTP_REQ_GET, "/v1/status", get_status},
	{EVHTTP_REQ_GET, "/v1/endpoints", get_endpoints},
	{EVHTTP_REQ_GET, "/v1/drops", get_drops},
	{EVHTTP_REQ_GET, "/v1/inventory", get_inventory},
	{EVHTTP_REQ_GET, "/v1/policy", get_policy},
	{EVHTTP_REQ_GET, "/metrics", get_metrics},
	{EVHTTP_REQ_POST, "/v1/apply", post_apply},
	{EVHTTP_REQ_POST, "/v1/off", post_off},
	{EVHTTP_REQ_POST, "/v1/on", post_on},
};

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

static bool may(const struct ms_control *control, struct evhttp_request *request, bool change)
{
	struct evhttp_connection *connection = evhttp_request_get_connection(request);
	int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(connection));
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return false;
	return peer.uid == 0 || (!change && has_group(fd, &peer, control->group));
}

static void on_request(struct evhttp_request *request, void *userdata)
{
	struct ms_control *control = userdata;
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
	const struct route *found = NULL;
	bool path_known = false;

	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]) && path; i++) {
		if (strcmp(routes[i].path, path) != 0)
			continue;
		path_known = true;
		if (routes[i].method == evhttp_request_get_command(request))
			found = &routes[i];
	}
	if (!may(control, request, found && found->method == EVHTTP_REQ_POST))
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

static int set_access(struct ms_control *control, const char *path, const char *group_name)
{
	control->group = getegid();
	if (group_name) {
		const struct group *group = getgrnam(group_name);

		if (!group)
			return -ESRCH;
		control->group = group->gr_gid;
		if (chown(path, (uid_t)-1, group->gr_gid) < 0)
			return -errno;
	}
	return chmod(path, 0660) < 0 ? -errno : 0;
}

static int bind_socket(struct ms_control *control, const struct ms_config *config)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct evconnlistener *listener;
	int r;

	if (strlen(config->control_socket) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, config->control_socket);
	if ((r = make_parent(address.sun_path)) < 0 || (r = clear_way(&address)) < 0)
		return r;
	mode_t mask = umask(0177); /* nobody's until owner and mode are right */
	listener = evconnlistener_new_bind(ms_loop_base(control->daemon->loop), NULL, NULL,
					   LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, BACKLOG,
					   (struct sockaddr *)&address, sizeof(address));
	r = listener ? 0 : -errno;
	umask(mask);
	control->bound = listener;
	if (r == 0)
		r = set_access(control, address.sun_path, config->control_group);
	if (r == 0 && !evhttp_bind_listener(control->http, listener))
		r = -ENOMEM;
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
	evhttp_set_allowed_methods(control->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST);
	evhttp_set_max_headers_size(control->http, MAX_HEADER);
	evhttp_set_max_body_size(control->http, MAX_BODY);
	evhttp_set_timeout(control->http, TIMEOUT_S);
	evhttp_set_gencb(control->http, on_request, control);
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
	if (control->apply) {
		ms_daemon_forget_applied(control->daemon, control);
		evhttp_connection_set_closecb(evhttp_request_get_connection(control->apply), NULL,
					      NULL);
		finish_apply(control);
	}
	if (control->http)
		evhttp_free(control->http);
	if (control->bound)
		unlink(control->daemon->config->control_socket);
	free(control);
	return NULL;
}
