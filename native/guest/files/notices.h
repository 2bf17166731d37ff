// guest: the changes that a watch tells next, gathered for a short time, so that the same change of a file is reported once.
// Pure.
#ifndef VOLANT_GUEST_NOTICES_H
#define VOLANT_GUEST_NOTICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Notices that are gathered at most.
#define NOTICES_MAX 512

enum change { CREATED, CHANGED, REMOVED, MOVED };

struct notice {
  enum change change;
  bool is_directory;
  const char *path;  // of a move: the new one
  const char *from;  // of a move, else NULL
};

// Paths are copied. Each of these does nothing more if there is no memory: that is reported by notices_lost.
void notices_created(const char *path, bool is_directory);
void notices_changed(const char *path, bool is_directory);
void notices_removed(const char *path, bool is_directory);
// The halves of a move, which the kernel tells one after the other with the same number. One half alone is a removal or a
// creation. The second one returns whether the first one was still there.
void notices_moved_from(const char *path, bool is_directory, uint32_t cookie);
bool notices_moved_to(const char *path, bool is_directory, uint32_t cookie);

bool notices_are_full(void);
bool notices_are_empty(void);
// Whether one was lost since the last call.
bool notices_lost(void);
// Gives out all of them in their order, and forgets them.
void notices_take(void (*take)(const struct notice *notice));

#endif
