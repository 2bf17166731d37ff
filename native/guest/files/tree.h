// guest: the directories of a watch, each with a mark of inotify, so that its events name paths. Paths are those below the
// directory that is watched, without a slash in front; it itself is "". One watch in each process.
#ifndef VOLANT_GUEST_TREE_H
#define VOLANT_GUEST_TREE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/inotify.h>

// Of a path below the directory, with a name behind it.
#define TREE_PATH_BYTES (PATH_MAX + NAME_MAX + 2)

// Called for what is in a directory that was not marked before.
typedef void (*tree_found)(const char *path, bool is_directory);

// Marks a directory, and those below it if `recursive`; marks from before are given up. Returns the descriptor with the
// events, or -1 with errno: ENOSPC for too many directories.
int tree_begin(int directory, bool recursive);
// Fills the path that an event is about. Returns false if it is about none.
bool tree_path(const struct inotify_event *event, char path[TREE_PATH_BYTES]);
// Whether the event says that the directory itself is no longer where it was.
bool tree_is_gone(const struct inotify_event *event);
// Marks the new directory of an event and those below it, if all are watched. Returns false with errno if there are too many.
bool tree_add(const struct inotify_event *event, tree_found found);
// The directory of the event is gone.
void tree_remove(const struct inotify_event *event);
// The directory of the event has left its place. tree_move says where it came to, and returns false if none has left by this
// move. Those that are left at the next tree_drop_left are no longer watched, with all below them.
void tree_leave(const struct inotify_event *event);
bool tree_move(const struct inotify_event *event);
void tree_drop_left(void);
// The kernel has given up a mark.
void tree_forget(const struct inotify_event *event);

#endif
