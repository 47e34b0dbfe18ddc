/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Log: what the daemon tells its operator, one line each, on stderr. Under systemd the lines carry
 * a priority.
 */
#pragma once

enum ms_log_level {
	MS_LOG_ERROR = 3, /* as in syslog */
	MS_LOG_WARNING = 4,
	MS_LOG_NOTICE = 5,
	MS_LOG_INFO = 6,
};

void ms_log(enum ms_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** Tells the service manager, e.g. "READY=1". Does nothing without NOTIFY_SOCKET. */
void ms_notify(const char *state);
