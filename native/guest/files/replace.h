// guest: a new file in the place of another one, in one step: a reader of the name sees the old file or the new one, whole.
#ifndef VOLANT_GUEST_REPLACE_H
#define VOLANT_GUEST_REPLACE_H

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

// A file that is being written and has no place yet.
struct new_file {
  int fd;
  int parent;      // the directory where it will be
  char name[40];   // its temporary name there; empty as long as it has none
};

// Begins a file in a directory of O_PATH. Returns false with errno.
bool replace_begin(struct new_file *file, int parent);
// Gives it its name, in the place of a file that may be there. With `syncs` the change is on the disk afterwards. Closes the
// descriptor. Returns false with errno; the file is gone then.
bool replace_finish(struct new_file *file, const char *name, bool syncs);
// Removes a file that got no place. Does nothing for one that was finished.
void replace_abandon(struct new_file *file);

#endif
