/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A fake engine: a thread behind a unix socket that speaks just enough of the Docker API, or
 * refuses to, as told.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FAKE_MAX_CONTAINERS 8
#define FAKE_MAX_STREAMS 16

enum fake_mood {
	FAKE_WELL,
	FAKE_HANGS,	      /* accepts and says nothing */
	FAKE_NO_HTTP,	      /* answers with what is not HTTP */
	FAKE_NO_JSON,	      /* answers 200 with what is not JSON */
	FAKE_ERRORS,	      /* answers 500 */
	FAKE_FLOODS,	      /* a body without end */
	FAKE_ENDS_STREAMS,    /* answers, but every stream ends at once */
	FAKE_NONSENSE_STREAM, /* answers, but the stream of events is not JSON */
	FAKE_SILENT_STREAM,   /* answers, but not on the stream of events */
	FAKE_ENDLESS_LINE,    /* a stream of one line */
};

struct fake_container {
	char id[65];
	const char *name, *labels, *mode, *networks, *powers, *mounts;
	int pid;
	bool gone;	    /* 404 */
	bool hangs;	    /* no answer about it */
	bool other_process; /* every look shows another start time */
	bool nonsense;
};

static struct {
	pthread_mutex_t lock;
	enum fake_mood mood;
	const char *version, *networks, *info;
	struct fake_container containers[FAKE_MAX_CONTAINERS];
	int n_containers;
	int streams[FAKE_MAX_STREAMS];
	int n_streams;
	int listener;
	int n_looks; /* at containers */
	char path[64];
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER, .listener = -1};

static const char *const fake_docker =
	"{\"Platform\":{\"Name\":\"\"},\"Components\":[{\"Name\":\"Engine\"}],"
	"\"Version\":\"20.10.24\",\"ApiVersion\":\"1.41\"}";
static const char *const fake_podman = "{\"Components\":[{\"Name\":\"Podman Engine\"}],"
				       "\"Version\":\"4.3.1\",\"ApiVersion\":\"1.41\"}";

static inline void fake_say(int fd, const char *text)
{
	if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
		return;
}

static inline void fake_answer(int fd, int status, const char *body)
{
	char head[128];

	snprintf(head, sizeof(head),
		 "HTTP/1.1 %d X\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", status,
		 strlen(body));
	fake_say(fd, head);
	fake_say(fd, body);
}

static inline void fake_answer_list(int fd)
{
	char body[4096] = "[";

	for (int i = 0; i < fake.n_containers; i++)
		if (!fake.containers[i].gone)
			snprintf(body + strlen(body), sizeof(body) - strlen(body),
				 "%s{\"Id\":\"%s\"}", strlen(body) > 1 ? "," : "",
				 fake.containers[i].id);
	strcat(body, "]");
	fake_answer(fd, 200, body);
}

/* Returns whether the connection is done with. */
static inline bool fake_answer_container(int fd, const char *id)
{
	char body[8192];

	for (int i = 0; i < fake.n_containers; i++) {
		struct fake_container *c = &fake.containers[i];

		if (strncmp(c->id, id, 64) != 0)
			continue;
		fake.n_looks++;
		if (c->hangs)
			return false;
		if (c->gone)
			break;
		snprintf(
			body, sizeof(body),
			"{\"Id\":\"%s\",\"Name\":\"/%s\",\"State\":{\"Running\":%s,\"Pid\":%d,\"StartedAt\":\"t%d\"},"
			"\"Mounts\":%s,\"HostConfig\":{\"NetworkMode\":\"%s\"%s},\"Config\":{\"Image\":\"image:1\",\"Labels\":%s},"
			"\"NetworkSettings\":{\"Networks\":%s}}",
			c->id, c->name, c->pid ? "true" : "false", c->pid,
			c->other_process ? fake.n_looks : 0, c->mounts ? c->mounts : "[]",
			c->mode ? c->mode : "bridge", c->powers ? c->powers : "",
			c->labels ? c->labels : "{}", c->networks ? c->networks : "{}");
		fake_answer(fd, 200, c->nonsense ? "{\"Id\":[" : body);
		return true;
	}
	fake_answer(fd, 404, "{\"message\":\"no such container\"}");
	return true;
}

static inline bool fake_stream(int fd)
{
	static char line[65536];

	if (fake.mood == FAKE_SILENT_STREAM)
		return false;
	fake_say(fd, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n");
	if (fake.mood == FAKE_ENDS_STREAMS)
		return true;
	if (fake.mood == FAKE_NONSENSE_STREAM)
		fake_say(fd, "hello\n");
	memset(line, 'x', sizeof(line) - 1);
	for (int i = 0; fake.mood == FAKE_ENDLESS_LINE && i < 200; i++)
		fake_say(fd, line);
	if (fake.n_streams < FAKE_MAX_STREAMS)
		fake.streams[fake.n_streams++] = fd;
	return false;
}

static inline bool fake_serve(int fd, const char *request)
{
	static char flood[65536];
	const char *path;

	switch (fake.mood) {
	case FAKE_HANGS:
		return false;
	case FAKE_NO_HTTP:
		fake_say(fd, "220 mail.example.org ESMTP\r\n");
		return true;
	case FAKE_NO_JSON:
		fake_answer(fd, 200, "<html>It works!</html>");
		return true;
	case FAKE_ERRORS:
		fake_answer(fd, 500, "{\"message\":\"no\"}");
		return true;
	case FAKE_FLOODS:
		fake_say(fd, "HTTP/1.1 200 OK\r\n\r\n");
		memset(flood, ' ', sizeof(flood) - 1);
		for (int i = 0; i < 300; i++)
			fake_say(fd, flood);
		return true;
	default:
		break;
	}
	if (strncmp(request, "GET /version ", 13) == 0) {
		fake_answer(fd, 200, fake.version);
		return true;
	}
	if (strncmp(request, "GET /v1.41/events?", 18) == 0)
		return fake_stream(fd);
	if (strncmp(request, "GET /v1.41/containers/json ", 27) == 0) {
		fake_answer_list(fd);
		return true;
	}
	if (strncmp(request, "GET /v1.41/networks ", 20) == 0 && fake.networks) {
		fake_answer(fd, 200, fake.networks);
		return true;
	}
	if (strncmp(request, "GET /v1.41/info ", 16) == 0 && fake.info) {
		fake_answer(fd, 200, fake.info);
		return true;
	}
	path = strstr(request, "GET /v1.41/containers/");
	if (path == request)
		return fake_answer_container(fd, request + 22);
	fake_answer(fd, 404, "{}");
	return true;
}

static inline void *fake_connection(void *userdata)
{
	int fd = (int)(intptr_t)userdata;
	char request[4096] = "";
	size_t len = 0;
	ssize_t n;

	while (!strstr(request, "\r\n\r\n") &&
	       (n = read(fd, request + len, sizeof(request) - 1 - len)) > 0) {
		len += (size_t)n;
		request[len] = '\0';
	}
	pthread_mutex_lock(&fake.lock);
	bool done = fake_serve(fd, request);
	pthread_mutex_unlock(&fake.lock);
	if (done)
		close(fd);
	return NULL; /* the others stay open for good: streams and silence */
}

static inline void *fake_listen(void *userdata)
{
	int listener = (int)(intptr_t)userdata, fd;

	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, fake_connection, (void *)(intptr_t)fd) == 0)
			pthread_detach(thread);
	}
	return NULL;
}

static inline void fake_start(const char *path, enum fake_mood mood)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	pthread_t thread;

	snprintf(fake.path, sizeof(fake.path), "%s", path);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	fake.mood = mood;
	fake.version = fake.version ? fake.version : fake_docker;
	fake.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(fake.listener, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(fake.listener, 64) < 0 ||
	    pthread_create(&thread, NULL, fake_listen, (void *)(intptr_t)fake.listener) != 0) {
		perror("fake engine");
		exit(1);
	}
	pthread_detach(thread);
}

/* Ends the streams and closes the door, as an engine that is stopped; the socket stays behind. */
static inline void fake_stop(void)
{
	pthread_mutex_lock(&fake.lock);
	for (int i = 0; i < fake.n_streams; i++)
		shutdown(fake.streams[i], SHUT_RDWR);
	fake.n_streams = 0;
	pthread_mutex_unlock(&fake.lock);
	if (fake.listener >= 0)
		shutdown(fake.listener, SHUT_RDWR);
	fake.listener = -1;
}

static inline void fake_reset(void)
{
	fake_stop();
	unlink(fake.path);
	memset(fake.containers, 0, sizeof(fake.containers));
	fake.n_containers = 0;
	fake.n_looks = 0;
	fake.version = fake.networks = fake.info = NULL;
}

static inline struct fake_container *fake_add(const char *name, int pid, const char *labels)
{
	pthread_mutex_lock(&fake.lock);
	struct fake_container *c = &fake.containers[fake.n_containers++];

	*c = (struct fake_container){.name = name, .pid = pid, .labels = labels};
	memset(c->id, "0123456789abcdef"[fake.n_containers], 64);
	pthread_mutex_unlock(&fake.lock);
	return c;
}

/* A real engine also tells a stream of what happened shortly before it was opened. This one does
 * not, so an event waits for somebody to hear it. */
static inline void fake_await_stream(void)
{
	bool heard = false;

	for (int i = 0; i < 500 && !heard; i++) {
		pthread_mutex_lock(&fake.lock);
		heard = fake.n_streams > 0;
		pthread_mutex_unlock(&fake.lock);
		if (!heard)
			usleep(10000);
	}
}

static inline void fake_event(const struct fake_container *c, const char *action)
{
	char line[512];

	fake_await_stream();

	snprintf(
		line, sizeof(line),
		"{\"Type\":\"container\",\"Action\":\"%s\",\"Actor\":{\"ID\":\"%s\",\"Attributes\":{}}}\n",
		action, c->id);
	pthread_mutex_lock(&fake.lock);
	for (int i = 0; i < fake.n_streams; i++)
		fake_say(fake.streams[i], line);
	pthread_mutex_unlock(&fake.lock);
}
