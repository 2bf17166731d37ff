// guest: the newest bytes of one output of an exec.
#include "exec/ring.h"

#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

// All rings together: at most this, and at most this part of the guest's memory.
#define MEMORY_BYTES_MAX (16 * 1024 * 1024)
#define MEMORY_SHARE 8

static size_t budget = MEMORY_BYTES_MAX, allocated;

void ring_begin(void) {
  struct sysinfo info;
  if (sysinfo(&info) < 0) return;
  size_t share = (size_t)info.totalram * info.mem_unit / MEMORY_SHARE;
  budget = share < MEMORY_BYTES_MAX ? share : MEMORY_BYTES_MAX;
}

size_t ring_bytes_max(void) {
  return budget;
}

size_t ring_bytes(void) {
  return allocated;
}

// Copies the kept bytes from `from` on, which lies between start and end.
static size_t copy_out(const struct ring *ring, uint64_t from, char *out, size_t size) {
  size_t length = (size_t)(ring->end - from);
  if (length > size) length = size;
  size_t at = (size_t)(from % ring->size), first = ring->size - at;
  if (first > length) first = length;
  memcpy(out, ring->data + at, first);
  memcpy(out + first, ring->data, length - first);
  return length;
}

// Returns false if nothing was allocated. The ring is unchanged then.
static bool resize(struct ring *ring, size_t size) {
  if (allocated - ring->size + size > budget) return false;
  char *data = malloc(size);
  if (data == NULL) return false;
  for (uint64_t from = ring->start; from < ring->end;) {
    size_t at = (size_t)(from % size);
    from += copy_out(ring, from, data + at, size - at);
  }
  free(ring->data);
  allocated += size - ring->size;
  ring->data = data;
  ring->size = size;
  return true;
}

bool ring_init(struct ring *ring, size_t limit) {
  *ring = (struct ring){.limit = limit < RING_BYTES_MIN ? RING_BYTES_MIN : limit};
  return resize(ring, RING_BYTES_MIN);
}

void ring_free(struct ring *ring) {
  free(ring->data);
  allocated -= ring->size;
  *ring = (struct ring){0};
}

// Doubles the ring if it is more than half full and may be larger.
static void grow_for(struct ring *ring, size_t length) {
  while (ring->size < ring->limit && ring->end - ring->start + length > ring->size / 2) {
    size_t size = ring->size * 2 < ring->limit ? ring->size * 2 : ring->limit;
    if (!resize(ring, size)) return;
  }
}

size_t ring_room(struct ring *ring, uint64_t from) {
  if (from < ring->start) from = ring->start;
  grow_for(ring, 1);
  return ring->size - (size_t)(ring->end - from);
}

void ring_append(struct ring *ring, const char *bytes, size_t length) {
  grow_for(ring, length);
  while (length > 0) {
    size_t at = (size_t)(ring->end % ring->size), count = ring->size - at;
    if (count > length) count = length;
    memcpy(ring->data + at, bytes, count);
    ring->end += count;
    bytes += count;
    length -= count;
  }
  if (ring->end - ring->start > ring->size) ring->start = ring->end - ring->size;
}

size_t ring_read(const struct ring *ring, uint64_t *from, char *out, size_t size) {
  if (*from < ring->start) *from = ring->start;
  if (*from >= ring->end) return 0;
  return copy_out(ring, *from, out, size);
}
