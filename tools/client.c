/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client.h"

#include <curl/curl.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "microseg/cleanup.h"

#define CONNECT_TIMEOUT_MS 2000L
#define ALIVE_MS 5000L	   /* for a sign of life */
#define QUESTION_MS 20000L /* busy as it may be with others */
#define ORDER_MS 60000L	   /* an apply waits for its commit */
#define SILENCE_S 60L	   /* of a stream in which an empty line comes every 15 seconds */
#define MAX_LINE ((size_t)1024 * 1024)
#define MAX_REPLY ((size_t)256 * 1024 * 1024)

struct stream {
	struct ms_str pending; /* a line that has not ended */
	struct ms_str refused; /* the body of an answer that is not 200 */
	client_line_fn fn;
	void *userdata;
	CURL *curl;
};

static void curl_cleanupp(CURL **curl)
{
	if (*curl)
		curl_easy_cleanup(*curl);
}

void client_reply_fini(struct client_reply *reply)
{
	ms_str_fini(&reply->body);
}

static CURL *make_request(const struct cli *cli, const char *path)
{
	_cleanup_(ms_str_fini) struct ms_str url = {0};
	CURL *curl = curl_easy_init();

	if (!curl)
		return NULL;
	ms_str_addf(&url, "http://microsegd%s", path);
	curl_easy_setopt(curl, CURLOPT_URL, url.text);
	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, cli->config.control_socket);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
	return curl;
}

static int perform(CURL *curl)
{
	CURLcode code = curl_easy_perform(curl);
	long error = 0;

	if (code == CURLE_OK)
		return 0;
	if (code == CURLE_OUT_OF_MEMORY)
		return -ENOMEM;
	if (code == CURLE_OPERATION_TIMEDOUT)
		return -ETIMEDOUT;
	if (code != CURLE_COULDNT_CONNECT)
		return -EPIPE;
	curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &error);
	return error == EACCES || error == EPERM ? -EACCES : -ECONNREFUSED;
}

static size_t on_body(char *bytes, size_t one, size_t size, void *userdata)
{
	struct ms_str *body = userdata;

	(void)one;
	if (body->len + size > MAX_REPLY)
		return 0;
	ms_str_add_len(body, bytes, size);
	return body->failed ? 0 : size;
}

static int call(const struct cli *cli, const char *path, const char *body, long timeout_ms,
		struct client_reply *reply)
{
	if (access(cli->config.control_socket, F_OK) < 0 && errno == ENOENT)
		return -ECONNREFUSED; /* known without libcurl, see curl.c */

	_cleanup_(curl_cleanupp) CURL *curl = make_request(cli, path);
	if (!curl)
		return -ELIBACC; /* see curl.c; without memory, too */
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &reply->body);
	if (body) {
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
	}
	int r = perform(curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &reply->code);
	return r;
}

int client_call(const struct cli *cli, const char *path, const char *body,
		struct client_reply *reply)
{
	int r = call(cli, path, body, body ? ORDER_MS : QUESTION_MS, reply);

	if (r != -EPIPE || body)
		return r;
	client_reply_fini(reply); /* a question may be asked twice, an order may not */
	return call(cli, path, NULL, QUESTION_MS, reply);
}

bool client_alive(const struct cli *cli)
{
	_cleanup_(client_reply_fini) struct client_reply reply = {0};

	return call(cli, "/v1/status", NULL, ALIVE_MS, &reply) == 0;
}

/* Says why nothing was answered. @order: something may have been changed all the same. */
static void say_failure(const struct cli *cli, int r, bool order)
{
	const char *socket = cli->config.control_socket;
	const char *doubt = order ? "; whether the order was carried out is not known: "
				    "microseg status and microseg history tell"
				  : "; what stands in the kernel stays";

	switch (r) {
	case -ECONNREFUSED:
		cli_fail(cli, "microsegd is not running: nothing answers on %s", socket);
		return;
	case -EACCES:
		cli_fail(cli, "no permission for %s: be root, or of the socket's group", socket);
		return;
	case -ETIMEDOUT:
		cli_fail(cli,
			 "microsegd did not answer on %s within %ld seconds: it is busy, or it "
			 "hangs%s",
			 socket, (order ? ORDER_MS : QUESTION_MS) / 1000, doubt);
		return;
	case -EPIPE:
		cli_fail(cli,
			 "microsegd broke off on %s before it had answered: it has just ended, or "
			 "has too many clients or too little memory%s",
			 socket, doubt);
		return;
	default:
		cli_fail(cli, "asking microsegd on %s failed: %s", socket, strerror(-r));
	}
}

int client_refused(const struct cli *cli, const struct client_reply *reply)
{
	const char *error = NULL, *diagnostics = "";
	json_t *json = json_loads(reply->body.text ? reply->body.text : "", 0, NULL);

	json_unpack(json, "{s:s, s?s}", "error", &error, "diagnostics", &diagnostics);
	if (*diagnostics)
		fputs(diagnostics, stderr);
	cli_fail(cli, "microsegd: %s (%ld)", error ? error : "unexpected answer", reply->code);
	json_decref(json);
	return CLI_UNANSWERED;
}

int client_json(const struct cli *cli, const char *path, const char *body, json_t **ret_json)
{
	_cleanup_(client_reply_fini) struct client_reply reply = {0};
	int r = client_call(cli, path, body, &reply);

	if (r < 0) {
		say_failure(cli, r, body && strcmp(path, "/v1/plan") != 0);
		return r;
	}
	if (reply.code != 200) {
		client_refused(cli, &reply);
		return -EBADMSG;
	}
	*ret_json =
		json_loads(reply.body.text ? reply.body.text : "", JSON_REJECT_DUPLICATES, NULL);
	if (*ret_json)
		return 0;
	cli_fail(cli, "microsegd talks nonsense on %s", cli->config.control_socket);
	return -EBADMSG;
}

/* Lines end at \n, never at the end of a chunk. */
static size_t on_stream(char *bytes, size_t one, size_t size, void *userdata)
{
	struct stream *stream = userdata;
	struct ms_str *pending = &stream->pending;
	long code = 0;
	char *newline;

	(void)one;
	curl_easy_getinfo(stream->curl, CURLINFO_RESPONSE_CODE, &code);
	if (code != 200)
		return on_body(bytes, one, size, &stream->refused);
	ms_str_add_len(pending, bytes, size);
	if (pending->failed)
		return 0;
	while (pending->len && (newline = memchr(pending->text, '\n', pending->len))) {
		size_t len = (size_t)(newline - pending->text) + 1;

		*newline = '\0';
		if (len > 1)
			stream->fn(pending->text, stream->userdata);
		memmove(pending->text, pending->text + len, pending->len - len + 1);
		pending->len -= len;
	}
	return pending->len > MAX_LINE ? 0 : size;
}

int client_lines(const struct cli *cli, const char *path, client_line_fn fn, void *userdata)
{
	_cleanup_(curl_cleanupp) CURL *curl = make_request(cli, path);
	_cleanup_(client_reply_fini) struct client_reply reply = {0};
	struct stream stream = {.fn = fn, .userdata = userdata, .curl = curl};

	if (!curl)
		return -ELIBACC; /* see curl.c; without memory, too */
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_stream);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &stream);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, SILENCE_S);
	int r = perform(curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &reply.code);
	reply.body = stream.refused;
	ms_str_fini(&stream.pending);
	if (r == -ETIMEDOUT) {
		cli_fail(cli, "microsegd fell silent on %s: for %ld seconds nothing came",
			 cli->config.control_socket, SILENCE_S);
	} else if (r < 0) {
		say_failure(cli, r, false);
	} else if (reply.code != 200) {
		client_refused(cli, &reply);
		r = -EBADMSG;
	}
	return r;
}

void client_escape(struct ms_str *out, const char *text)
{
	for (const char *c = text; *c; c++)
		ms_str_addf(out, "%%%02X", (unsigned char)*c);
}
