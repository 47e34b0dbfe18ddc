/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * heap-count: preloaded into microsegd, says how many bytes of its heap are in use, as a number in
 * the file that $MS_HEAP_COUNT names. A process's memory says less: an allocator keeps what was
 * freed, and a leak fills that for hours before anything grows.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* glibc's own, by the names it exports for the like of us. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *block);

static _Atomic int64_t before_the_file;
static _Atomic int64_t *in_use = &before_the_file;

static void *count(void *block)
{
	if (block)
		atomic_fetch_add(in_use, (int64_t)malloc_usable_size(block));
	return block;
}

static void discount(void *block)
{
	if (block)
		atomic_fetch_sub(in_use, (int64_t)malloc_usable_size(block));
}

void *malloc(size_t size)
{
	return count(__libc_malloc(size));
}

void *calloc(size_t n, size_t size)
{
	return count(__libc_calloc(n, size));
}

void *realloc(void *block, size_t size)
{
	int64_t before = block ? (int64_t)malloc_usable_size(block) : 0;
	void *moved = __libc_realloc(block, size);

	if (moved || size == 0)
		atomic_fetch_sub(in_use, before);
	return count(moved);
}

void *memalign(size_t alignment, size_t size)
{
	return count(__libc_memalign(alignment, size));
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return memalign(alignment, size);
}

int posix_memalign(void **ret_block, size_t alignment, size_t size)
{
	void *block = memalign(alignment, size);

	if (!block)
		return ENOMEM;
	*ret_block = block;
	return 0;
}

void free(void *block)
{
	discount(block);
	__libc_free(block);
}

__attribute__((constructor)) static void publish(void)
{
	const char *path = getenv("MS_HEAP_COUNT");
	int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;

	if (fd < 0)
		return;
	void *page =
		ftruncate(fd, sizeof(*in_use)) == 0
			? mmap(NULL, sizeof(*in_use), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
			: MAP_FAILED;
	close(fd);
	if (page == MAP_FAILED)
		return;
	in_use = page;
	atomic_store(in_use, atomic_load(&before_the_file));
}
