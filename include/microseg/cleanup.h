/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Cleanup: locals that own something free it when they go out of scope.
 *
 *	_cleanup_(ms_str_fini) struct ms_str text = {0};
 *	_cleanup_(freep) char *copy = strdup(name);
 *	return ms_steal(&copy);
 */
#pragma once

#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(function) __attribute__((cleanup(function)))

/** Takes the pointer out of a variable and leaves NULL there. */
#define ms_steal(variable)                                                                         \
	({                                                                                         \
		__typeof__(variable) from_ = (variable);                                           \
		__typeof__(*from_) value_ = *from_;                                                \
		*from_ = NULL;                                                                     \
		value_;                                                                            \
	})

/** Defines NAMEp(), for _cleanup_, out of a NAME() that frees one TYPE *. */
#define MS_DEFINE_CLEANUP(type, name)                                                              \
	static inline void name##p(type *pointer)                                                  \
	{                                                                                          \
		if (*pointer)                                                                      \
			name(*pointer);                                                            \
	}

static inline void freep(void *pointer)
{
	free(*(void **)pointer);
}

static inline void closep(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
