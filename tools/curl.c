/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Curl: libcurl's functions for `microseg`, in a library that is opened when the first is called.
 *
 * Linked, libcurl brings thirty libraries with it, for protocols that nobody here speaks, and each
 * start of the command pays for them. This way only those commands do that ask microsegd or an
 * engine. microsegd links libcurl: it starts once, and opens nothing later.
 */
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <dlfcn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* The same ABI since 2006, whatever TLS it was built with. */
static const char *const names[] = {"libcurl-gnutls.so.4", "libcurl.so.4"};

#define N(array) (sizeof(array) / sizeof((array)[0]))

#define FUNCTIONS(X)                                                                               \
	X(curl_easy_cleanup)                                                                       \
	X(curl_easy_getinfo)                                                                       \
	X(curl_easy_init)                                                                          \
	X(curl_easy_perform)                                                                       \
	X(curl_easy_setopt)                                                                        \
	X(curl_easy_strerror)                                                                      \
	X(curl_global_cleanup)                                                                     \
	X(curl_global_init)                                                                        \
	X(curl_multi_add_handle)                                                                   \
	X(curl_multi_assign)                                                                       \
	X(curl_multi_cleanup)                                                                      \
	X(curl_multi_info_read)                                                                    \
	X(curl_multi_init)                                                                         \
	X(curl_multi_remove_handle)                                                                \
	X(curl_multi_setopt)                                                                       \
	X(curl_multi_socket_action)

#define POINTER(function) __typeof__(function) *function;
static struct {
	FUNCTIONS(POINTER)
} real;

#define PLACE(function) {#function, (void **)&real.function},
static const struct {
	const char *name;
	void **pointer;
} places[] = {FUNCTIONS(PLACE)};

static bool load(void)
{
	static bool done, ok;
	void *library = NULL;

	if (done)
		return ok;
	done = ok = true;
	for (size_t i = 0; i < N(names) && !library; i++)
		library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
	for (size_t i = 0; i < N(places) && library && ok; i++)
		ok = (*places[i].pointer = dlsym(library, places[i].name));
	if (library && ok)
		return true;
	fprintf(stderr, "microseg: libcurl is needed to ask microsegd and engines: %s\n",
		dlerror());
	return ok = false;
}

CURLcode curl_global_init(long flags)
{
	return load() ? real.curl_global_init(flags) : CURLE_FAILED_INIT;
}

CURL *curl_easy_init(void)
{
	return load() ? real.curl_easy_init() : NULL;
}

CURLM *curl_multi_init(void)
{
	return load() ? real.curl_multi_init() : NULL;
}

/* What follows is called with what the functions above gave. */

void curl_global_cleanup(void)
{
	real.curl_global_cleanup();
}

/* The number of an option says what type its value has. */
#define SET(function, handle, option)                                                              \
	({                                                                                         \
		va_list args;                                                                      \
		va_start(args, option);                                                            \
		__auto_type r =                                                                    \
			(int)option < CURLOPTTYPE_OBJECTPOINT                                      \
				? function(handle, option, va_arg(args, long))                     \
			: (int)option < CURLOPTTYPE_OFF_T || (int)option >= CURLOPTTYPE_BLOB       \
				? function(handle, option, va_arg(args, void *))                   \
				: function(handle, option, va_arg(args, curl_off_t));              \
		va_end(args);                                                                      \
		r;                                                                                 \
	})

CURLcode(curl_easy_setopt)(CURL *easy, CURLoption option, ...)
{
	return SET(real.curl_easy_setopt, easy, option);
}

CURLMcode(curl_multi_setopt)(CURLM *multi, CURLMoption option, ...)
{
	return SET(real.curl_multi_setopt, multi, option);
}

CURLcode(curl_easy_getinfo)(CURL *easy, CURLINFO info, ...)
{
	va_list args;

	va_start(args, info);
	CURLcode r = real.curl_easy_getinfo(easy, info, va_arg(args, void *));
	va_end(args);
	return r;
}

CURLcode curl_easy_perform(CURL *easy)
{
	return real.curl_easy_perform(easy);
}

const char *curl_easy_strerror(CURLcode code)
{
	return real.curl_easy_strerror(code);
}

void curl_easy_cleanup(CURL *easy)
{
	real.curl_easy_cleanup(easy);
}

CURLMcode curl_multi_add_handle(CURLM *multi, CURL *easy)
{
	return real.curl_multi_add_handle(multi, easy);
}

CURLMcode curl_multi_remove_handle(CURLM *multi, CURL *easy)
{
	return real.curl_multi_remove_handle(multi, easy);
}

CURLMcode curl_multi_assign(CURLM *multi, curl_socket_t socket, void *data)
{
	return real.curl_multi_assign(multi, socket, data);
}

CURLMcode curl_multi_socket_action(CURLM *multi, curl_socket_t socket, int events, int *running)
{
	return real.curl_multi_socket_action(multi, socket, events, running);
}

CURLMsg *curl_multi_info_read(CURLM *multi, int *left)
{
	return real.curl_multi_info_read(multi, left);
}

CURLMcode curl_multi_cleanup(CURLM *multi)
{
	return real.curl_multi_cleanup(multi);
}
