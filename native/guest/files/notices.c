// guest: the changes that a watch tells next, gathered for a short time, so that the same change of a file is reported once.
// Pure.
#include "files/notices.h"

#include <stdlib.h>
#include <string.h>

struct entry {
  bool is_dropped;  // another one says what it said
  bool is_half;     // a move whose second half may follow: told as a removal if it does not
  enum change change;
  bool is_directory;
  uint32_t cookie, hash;  // the hash of `path`
  char *path, *from;
};

static struct entry entries[NOTICES_MAX];
static size_t count;
static bool lost;

// FNV-1a.
static uint32_t hash_of(const char *path) {
  uint32_t hash = 2166136261u;
  for (; *path != '\0'; path++) hash = (hash ^ (unsigned char)*path) * 16777619u;
  return hash;
}

// The last entry about the path before `end`, or NULL.
static struct entry *last_about(const char *path, size_t end) {
  uint32_t hash = hash_of(path);
  for (size_t i = end; i > 0; i--) {
    struct entry *entry = &entries[i - 1];
    if (entry->is_dropped) continue;
    if (entry->hash == hash && strcmp(entry->path, path) == 0) return entry;
    // Under its old name the file is gone.
    if (entry->from != NULL && strcmp(entry->from, path) == 0) return NULL;
  }
  return NULL;
}

static struct entry *add(enum change change, const char *path, bool is_directory) {
  char *copy = count < NOTICES_MAX ? strdup(path) : NULL;
  if (copy == NULL) {
    lost = true;
    return NULL;
  }
  struct entry *entry = &entries[count++];
  *entry = (struct entry){.change = change, .is_directory = is_directory, .hash = hash_of(path), .path = copy};
  return entry;
}

void notices_created(const char *path, bool is_directory) {
  const struct entry *last = last_about(path, count);
  // What was found in a new directory is reported by the kernel, too.
  if (last != NULL && last->change == CREATED && last->is_directory == is_directory) return;
  add(CREATED, path, is_directory);
}

void notices_changed(const char *path, bool is_directory) {
  const struct entry *last = last_about(path, count);
  // Who gets the notice of a new file looks at it after that.
  if (last == NULL || (last->change != CREATED && last->change != CHANGED)) add(CHANGED, path, is_directory);
}

void notices_removed(const char *path, bool is_directory) {
  struct entry *last = last_about(path, count);
  if (last != NULL && last->change == CHANGED) last->is_dropped = true;
  add(REMOVED, path, is_directory);
}

void notices_moved_from(const char *path, bool is_directory, uint32_t cookie) {
  struct entry *entry = add(MOVED, path, is_directory);
  if (entry == NULL) return;
  entry->is_half = true;
  entry->cookie = cookie;
}

static struct entry *half_of(uint32_t cookie) {
  for (size_t i = count; i > 0; i--) {
    if (entries[i - 1].is_half && entries[i - 1].cookie == cookie) return &entries[i - 1];
  }
  return NULL;
}

bool notices_moved_to(const char *path, bool is_directory, uint32_t cookie) {
  struct entry *half = half_of(cookie);
  if (half == NULL) {
    add(CREATED, path, is_directory);
    return false;
  }
  struct entry *before = last_about(half->path, (size_t)(half - entries));
  char *copy = strdup(path);
  if (copy == NULL) {
    // It stays a removal.
    lost = true;
    return false;
  }
  half->is_half = false;
  half->from = half->path;
  half->path = copy;
  half->hash = hash_of(path);
  if (before == NULL || before->change != CREATED || before->is_directory) return true;
  // A file that was written beside and then got its name was never there under the other one.
  before->is_dropped = true;
  half->change = CREATED;
  free(half->from);
  half->from = NULL;
  return true;
}

bool notices_are_full(void) {
  return count == NOTICES_MAX;
}

bool notices_are_empty(void) {
  return count == 0;
}

bool notices_lost(void) {
  bool was = lost;
  lost = false;
  return was;
}

void notices_take(void (*take)(const struct notice *notice)) {
  for (size_t i = 0; i < count; i++) {
    struct entry *entry = &entries[i];
    enum change change = entry->is_half ? REMOVED : entry->change;
    struct notice notice = {change, entry->is_directory, entry->path, entry->from};
    if (!entry->is_dropped) take(&notice);
    free(entry->path);
    free(entry->from);
  }
  count = 0;
}
