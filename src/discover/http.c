/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libcurl forbids to start or end a call from within its own callbacks. So what arrives is only
 * stored there; lines and ends are handed out after curl_multi_socket_action() has returned, where
 * everything is allowed. A call that is cancelled while lines are handed out is freed after that.
 */
#include "discover/http.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "microseg/cleanup.h"
#include "microseg/str.h"

#define CONNECT_TIMEOUT_MS 2000L
#define STREAM_ROOM ((size_t)4 * 1024 * 1024) /* bytes of lines that curl may bring in one turn */
#define BULKY ((size_t)1024 * 1024) /* bytes of an answer that go back to the system afterwards */

struct ms_http {
	struct ms_loop *loop;
	CURLM *multi;
	struct ms_timer *timer;
	struct ms_http_call *calls;
	bool handing_out;
};

struct ms_http_call {
	struct ms_http *http;
	struct ms_http_call *next;
	CURL *easy;
	struct ms_http_get get; /* callbacks, userdata and limit; its texts are not ours */
	struct ms_str body;
	bool too_big;
	bool dead;
	char reason[CURL_ERROR_SIZE];
};

static void call_free(struct ms_http_call *call)
{
	if (call->easy) {
		curl_multi_remove_handle(call->http->multi, call->easy);
		curl_easy_cleanup(call->easy);
	}
	ms_str_fini(&call->body);
	free(call);
}

/* Frees what was marked dead, unless somebody is walking the list. */
static void bury(struct ms_http *http)
{
	bool bulky = false;

	if (http->handing_out)
		return;
	for (struct ms_http_call **link = &http->calls; *link;) {
		struct ms_http_call *call = *link;

		if (!call->dead) {
			link = &call->next;
			continue;
		}
		*link = call->next;
		bulky = bulky || call->body.len >= BULKY;
		call_free(call);
	}
	if (bulky)
		malloc_trim(0);
}

/* Hands out the complete lines of a stream and keeps what follows the last of them. */
static void hand_out_lines(struct ms_http_call *call)
{
	size_t from = 0;

	while (!call->dead) {
		const char *line = call->body.text + from;
		const char *end = memchr(line, '\n', call->body.len - from);

		if (!end)
			break;
		call->get.line(line, (size_t)(end - line), call->get.userdata);
		from += (size_t)(end - line) + 1;
	}
	call->body.len -= from;
	memmove(call->body.text, call->body.text + from, call->body.len);
}

static long status_of(const struct ms_http_call *call)
{
	long status = 0;

	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	return status;
}

bool ms_http_has_begun(const struct ms_http_call *call)
{
	return status_of(call) != 0;
}

static int error_of(const struct ms_http_call *call, CURLcode code)
{
	if (call->too_big)
		return -EFBIG;
	switch (code) {
	case CURLE_OK:
		return 0;
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_COULDNT_CONNECT:
		return -ECONNREFUSED;
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	default:
		return -EPROTO;
	}
}

static void finish(struct ms_http_call *call, CURLcode code)
{
	struct ms_http_answer answer = {.error = error_of(call, code)};

	if (call->dead)
		return;
	call->dead = true;
	if (answer.error == 0) {
		answer.status = status_of(call);
		answer.body = call->body.text ? call->body.text : "";
		answer.len = call->body.len;
	} else {
		answer.reason = answer.error == -EFBIG ? "the answer is too big"
				: *call->reason	       ? call->reason
						       : curl_easy_strerror(code);
	}
	call->get.done(&answer, call->get.userdata);
}

static void hand_out_stream(struct ms_http_call *call)
{
	hand_out_lines(call);
	if (!call->dead && call->body.len > call->get.max_size) {
		call->too_big = true;
		curl_multi_remove_handle(call->http->multi, call->easy);
		finish(call, CURLE_WRITE_ERROR);
	}
}

static void hand_out(struct ms_http *http)
{
	CURLMsg *message;
	int left;

	if (http->handing_out)
		return;
	http->handing_out = true;
	for (struct ms_http_call *call = http->calls; call; call = call->next)
		if (call->get.line && !call->dead && call->body.len && status_of(call) == 200)
			hand_out_stream(call);
	while ((message = curl_multi_info_read(http->multi, &left))) {
		struct ms_http_call *call = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
		finish(call, message->data.result);
	}
	http->handing_out = false;
	bury(http);
}

static void act(struct ms_http *http, curl_socket_t fd)
{
	int running;

	curl_multi_socket_action(http->multi, fd, 0, &running);
	hand_out(http);
}

static void on_socket(int fd, void *userdata)
{
	act(userdata, fd);
}

static void on_timer(void *userdata)
{
	act(userdata, CURL_SOCKET_TIMEOUT);
}

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *userdata,
			void *socket_userdata)
{
	struct ms_http *http = userdata;
	struct ms_io *io = socket_userdata;

	(void)easy;
	ms_io_free(io);
	io = NULL;
	if (what != CURL_POLL_REMOVE && what != CURL_POLL_NONE) {
		io = ms_loop_io(http->loop, fd,
				(what & CURL_POLL_IN ? MS_IO_READ : 0) |
					(what & CURL_POLL_OUT ? MS_IO_WRITE : 0),
				on_socket, http);
		if (!io)
			return -1;
	}
	curl_multi_assign(http->multi, fd, io);
	return 0;
}

static int watch_time(CURLM *multi, long timeout_ms, void *userdata)
{
	struct ms_http *http = userdata;

	(void)multi;
	if (timeout_ms < 0)
		ms_timer_stop(http->timer);
	else
		ms_timer_set(http->timer, (uint64_t)timeout_ms);
	return 0;
}

static size_t on_bytes(char *bytes, size_t size, size_t n, void *userdata)
{
	struct ms_http_call *call = userdata;

	(void)size; /* always 1 */
	if (call->dead)
		return 0;
	if (n + call->body.len > call->get.max_size + (call->get.line ? STREAM_ROOM : 0)) {
		call->too_big = true;
		return 0;
	}
	ms_str_add_len(&call->body, bytes, n);
	return call->body.failed ? 0 : n;
}

struct ms_http *ms_http_new(struct ms_loop *loop)
{
	struct ms_http *http = calloc(1, sizeof(*http));

	if (!http)
		return NULL;
	http->loop = loop;
	http->timer = ms_loop_timer(loop, on_timer, http);
	if (!http->timer || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		ms_timer_free(http->timer);
		free(http);
		return NULL;
	}
	http->multi = curl_multi_init();
	if (!http->multi)
		return ms_http_free(http);
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, watch_time);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
	curl_multi_setopt(http->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
	return http;
}

struct ms_http *ms_http_free(struct ms_http *http)
{
	if (!http)
		return NULL;
	for (struct ms_http_call *call = http->calls; call; call = call->next)
		call->dead = true;
	http->handing_out = false;
	bury(http);
	if (http->multi)
		curl_multi_cleanup(http->multi);
	curl_global_cleanup();
	ms_timer_free(http->timer);
	free(http);
	return NULL;
}

static bool set_options(CURL *easy, struct ms_http_call *call, const char *url)
{
	const struct ms_http_get *get = &call->get;

	return curl_easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, get->socket_path) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http") == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK && /* not the environment's */
	       curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) ==
		       CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)get->timeout_ms) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_bytes) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_WRITEDATA, call) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->reason) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_PRIVATE, call) == CURLE_OK;
}

struct ms_http_call *ms_http_get(struct ms_http *http, const struct ms_http_get *get)
{
	_cleanup_(ms_str_fini) struct ms_str url = {0};
	struct ms_http_call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	ms_str_addf(&url, "http://localhost%s", get->path);
	call->http = http;
	call->get = *get;
	call->easy = curl_easy_init();
	if (url.failed || !call->easy || !set_options(call->easy, call, url.text) ||
	    curl_multi_add_handle(http->multi, call->easy) != CURLM_OK) {
		call_free(call);
		return NULL;
	}
	call->get.socket_path = call->get.path = NULL; /* curl has copies */
	call->next = http->calls;
	http->calls = call;
	return call;
}

struct ms_http_call *ms_http_cancel(struct ms_http_call *call)
{
	if (call) {
		call->dead = true;
		curl_multi_remove_handle(call->http->multi, call->easy);
		bury(call->http);
	}
	return NULL;
}
