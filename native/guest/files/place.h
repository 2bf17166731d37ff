// guest: where a path leads, with every link resolved inside of a root directory. The kernel does it, by openat2.
#ifndef VOLANT_GUEST_PLACE_H
#define VOLANT_GUEST_PLACE_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

// A name in a directory. The name is "." for the root itself.
struct file_place {
  int parent;  // of O_PATH
  char name[256];
};

// Opens a directory in which links may lead no further. Returns -1 with errno.
int place_open_root(const char *path);
// Opens a path below a root. Links lead nowhere else: an absolute one begins at the root. Returns -1 with errno.
int place_open(int root, const char *path, int flags);
// The same without links that lead out: they fail with EXDEV, absolute ones too.
int place_open_beneath(int directory, const char *path, int flags);
// Opens a file for reading if it is a regular file or a directory. Others are not opened, because opening a device may have
// effects: their descriptor is of O_PATH. Fills `facts`. Returns -1 with errno.
int place_open_readable(int root, const char *path, bool follows, struct stat *facts);
// Finds the directory and the name that a path leads to. The name need not exist. With `follows` a link of this name is
// followed. Returns false with errno.
bool place_find(int root, const char *path, bool follows, struct file_place *place);
// Makes the directories of a path that are missing, all but its last name. Returns false with errno.
bool place_make_parents(int root, const char *path);
// Splits a path into its directory, in a buffer of the same size, and its last name, which is in `path`. Slashes at the end are
// removed from `path`.
const char *place_split(char *path, char *directory);

#endif
