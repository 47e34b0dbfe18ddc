/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/log.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "microseg/cleanup.h"
#include "microseg/str.h"

void ms_log(enum ms_log_level level, const char *format, ...)
{
	_cleanup_(ms_str_fini) struct ms_str text = {0}, line = {0};
	va_list args;

	va_start(args, format);
	ms_str_addv(&text, format, args);
	va_end(args);
	if (getenv("JOURNAL_STREAM"))
		ms_str_addf(&line, "<%d>", level);
	ms_str_add(&line, "microsegd: ");
	ms_str_add_safe(&line, text.text ? text.text : "");
	ms_str_add_char(&line, '\n');
	if (!text.failed && !line.failed)
		fputs(line.text, stderr);
}

void ms_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (!path || strlen(path) >= sizeof(address.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(address.sun_path, path, strlen(path));
	if (path[0] == '@')
		address.sun_path[0] = '\0';

	_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	/* Nobody listening is the service manager's affair, not ours. */
	(void)!sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT,
		      (struct sockaddr *)&address,
		      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
}
