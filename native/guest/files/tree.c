// guest: the directories of a watch, each with a mark of inotify, so that its events name paths. Paths are those below the
// directory that is watched, without a slash in front; it itself is "". One watch in each process.
#include "files/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "files/kernel_files.h"
#include "files/place.h"

#define DIRECTORIES_MAX 8192
#define DEPTH_MAX 256
#define CHANGES (IN_CREATE | IN_MODIFY | IN_ATTRIB | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_MOVE_SELF)
#define EVENTS (CHANGES | IN_ONLYDIR | IN_EXCL_UNLINK)
#define NONE (-1)

struct node {
  int mark;         // NONE: not in use
  int next;         // of the same bucket, or of those that are free
  int parent;       // NONE: the directory that is watched
  uint32_t cookie;  // of the move by which it has left its place; 0: none
  char *name;
};

static struct node nodes[DIRECTORIES_MAX];
static int buckets[DIRECTORIES_MAX];
static int first_free;
static int events = -1, top = -1, above_mark = NONE;
static int home = -1;  // the root of this process, to which it returns
static bool is_recursive;
static char path_now[TREE_PATH_BYTES];

static int node_of(int mark) {
  if (mark < 0) return NONE;
  int at = buckets[mark % DIRECTORIES_MAX];
  while (at != NONE && nodes[at].mark != mark) at = nodes[at].next;
  return at;
}

static void release(int index) {
  int *link = &buckets[nodes[index].mark % DIRECTORIES_MAX];
  while (*link != index) link = &nodes[*link].next;
  *link = nodes[index].next;
  free(nodes[index].name);
  nodes[index] = (struct node){.mark = NONE, .next = first_free};
  first_free = index;
}

static bool is_below(int index, int ancestor) {
  while (index != NONE && index != ancestor) index = nodes[index].parent;
  return index == ancestor;
}

// Gives up a directory and those below it. The kernel refuses what it has given up itself.
static void release_all(int index) {
  static bool goes[DIRECTORIES_MAX];
  // First all of them are found: the way from one to the top leads through others.
  for (int i = 0; i < DIRECTORIES_MAX; i++) goes[i] = nodes[i].mark != NONE && is_below(i, index);
  for (int i = 0; i < DIRECTORIES_MAX; i++) {
    if (!goes[i]) continue;
    inotify_rm_watch(events, nodes[i].mark);
    release(i);
  }
}

static void begin_empty(void) {
  for (int i = 0; i < DIRECTORIES_MAX; i++) {
    free(nodes[i].name);
    nodes[i] = (struct node){.mark = NONE, .next = i + 1 < DIRECTORIES_MAX ? i + 1 : NONE};
    buckets[i] = NONE;
  }
  first_free = 0;
}

// A mark by the descriptor alone: the process goes there and back, because a process in a directory keeps it from being gone.
static int mark_of(int fd, uint32_t mask) {
  if (fchdir(fd) < 0) return -1;
  int mark = inotify_add_watch(events, ".", mask);
  int why = errno;
  if (fchdir(home) < 0) return -1;
  errno = why;
  return mark;
}

// Takes a node for a mark. Returns NONE with errno if there is none.
static int take_node(int mark, int parent, const char *name) {
  int index = first_free;
  char *copy = index == NONE ? NULL : strdup(name);
  if (copy == NULL) {
    inotify_rm_watch(events, mark);
    errno = ENOSPC;
    return NONE;
  }
  first_free = nodes[index].next;
  int *bucket = &buckets[mark % DIRECTORIES_MAX];
  nodes[index] = (struct node){.mark = mark, .next = *bucket, .parent = parent, .name = copy};
  *bucket = index;
  return index;
}

static bool is_directory_at(int fd, const struct dirent *entry) {
  struct stat facts;
  if (entry->d_type != DT_UNKNOWN) return entry->d_type == DT_DIR;
  return fstatat(fd, entry->d_name, &facts, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(facts.st_mode);
}

static bool mark_below(int fd, int index, size_t length, int depth, tree_found found);

// Marks an open directory whose path is `path_now`, and those below it. Takes the descriptor.
static bool mark_open(int fd, int parent, const char *name, int depth, tree_found found) {
  int mark = mark_of(fd, EVENTS);
  bool is_known = mark >= 0 && node_of(mark) != NONE;
  // One that is gone again was there for no one. One that is there twice keeps its first path.
  if (mark < 0 || is_known) {
    bool is_full = mark < 0 && (errno == ENOSPC || errno == ENOMEM);
    close(fd);
    if (is_full) errno = ENOSPC;
    return !is_full;
  }
  int index = take_node(mark, parent, name);
  if (index == NONE || !is_recursive) {
    close(fd);
    return index != NONE;
  }
  return mark_below(fd, index, strlen(path_now), depth, found);
}

static bool mark_below(int fd, int index, size_t length, int depth, tree_found found) {
  DIR *directory = fdopendir(fd);
  struct dirent *entry;
  bool fits = true;
  if (directory == NULL) {
    close(fd);
    return true;
  }
  while (fits && (entry = readdir(directory)) != NULL) {
    const char *name = entry->d_name;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
    size_t at = length == 0 ? 0 : length + 1;
    if (at + strlen(name) >= PATH_MAX) continue;
    bool is_directory = is_directory_at(fd, entry);
    if (length > 0) path_now[length] = '/';
    strcpy(path_now + at, name);
    if (found != NULL) found(path_now, is_directory);
    if (!is_directory || depth == DEPTH_MAX) continue;
    int below = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    // What the kernel shows in /proc and its like has no events.
    if (below >= 0 && kernel_files_are_at(below)) close(below);
    else if (below >= 0) fits = mark_open(below, index, name, depth + 1, found);
  }
  int why = errno;
  closedir(directory);
  path_now[length] = '\0';
  errno = why;
  return fits;
}

int tree_begin(int directory, bool recursive) {
  if (events >= 0) close(events);
  if (home < 0) home = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  begin_empty();
  is_recursive = recursive;
  top = directory;
  events = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (events < 0 || home < 0) return -1;
  // The kernel does not tell that a directory is gone while a process has it open. The one above tells it.
  int above = openat(directory, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  above_mark = above < 0 ? NONE : mark_of(above, IN_DELETE | IN_ONLYDIR);
  if (above >= 0) close(above);
  int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (copy < 0) return -1;
  path_now[0] = '\0';
  return mark_open(copy, NONE, "", 0, NULL) ? events : -1;
}

// Writes the path of a node in front of `end`. Returns its beginning, or NULL if it is too long.
static char *write_path(int index, char *start, char *end) {
  for (; nodes[index].parent != NONE; index = nodes[index].parent) {
    size_t length = strlen(nodes[index].name);
    if ((size_t)(end - start) < length + 1) return NULL;
    *--end = '/';
    end -= length;
    memcpy(end, nodes[index].name, length);
  }
  return end;
}

bool tree_path(const struct inotify_event *event, char path[TREE_PATH_BYTES]) {
  int index = node_of(event->wd);
  bool is_top = index != NONE && nodes[index].parent == NONE;
  // Without a name it is about the directory itself, which the one above it tells, too.
  const char *name = event->len > 0 ? event->name : "";
  if (index == NONE || (name[0] == '\0' && !is_top)) return false;
  char *start = write_path(index, path, path + PATH_MAX);
  if (start == NULL) return false;
  size_t length = (size_t)(path + PATH_MAX - start);
  memmove(path, start, length);
  strcpy(path + length, name);
  return true;
}

// The kernel lists nothing of a directory that is gone, not even itself.
static bool is_deleted(int fd) {
  char buffer[1024];
  return lseek(fd, 0, SEEK_SET) == 0 && syscall(SYS_getdents64, fd, buffer, sizeof buffer) < 0 && errno == ENOENT;
}

bool tree_is_gone(const struct inotify_event *event) {
  int index = node_of(event->wd);
  bool is_top = index != NONE && nodes[index].parent == NONE;
  if (is_top && (event->mask & (IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED)) != 0) return true;
  return event->wd == above_mark && (event->mask & IN_DELETE) != 0 && is_deleted(top);
}

bool tree_add(const struct inotify_event *event, tree_found found) {
  static char path[TREE_PATH_BYTES];
  if (!is_recursive || !tree_path(event, path) || strlen(path) >= PATH_MAX) return true;
  int fd = place_open_beneath(top, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  // It is gone, or another file by now.
  if (fd < 0) return true;
  strcpy(path_now, path);
  return mark_open(fd, node_of(event->wd), event->name, 0, found);
}

static int child_of(const struct inotify_event *event) {
  int parent = node_of(event->wd);
  for (int i = 0; parent != NONE && i < DIRECTORIES_MAX; i++) {
    if (nodes[i].mark != NONE && nodes[i].parent == parent && strcmp(nodes[i].name, event->name) == 0) return i;
  }
  return NONE;
}

void tree_remove(const struct inotify_event *event) {
  int index = child_of(event);
  if (index != NONE) release_all(index);
}

void tree_leave(const struct inotify_event *event) {
  int index = child_of(event);
  if (index != NONE) nodes[index].cookie = event->cookie;
}

bool tree_move(const struct inotify_event *event) {
  int parent = node_of(event->wd);
  for (int i = 0; parent != NONE && i < DIRECTORIES_MAX; i++) {
    if (nodes[i].mark == NONE || nodes[i].cookie != event->cookie) continue;
    char *name = strdup(event->name);
    if (name == NULL) return false;
    free(nodes[i].name);
    nodes[i].name = name;
    nodes[i].parent = parent;
    nodes[i].cookie = 0;
    return true;
  }
  return false;
}

void tree_drop_left(void) {
  for (int i = 0; i < DIRECTORIES_MAX; i++) {
    if (nodes[i].mark != NONE && nodes[i].cookie != 0) release_all(i);
  }
}

void tree_forget(const struct inotify_event *event) {
  int index = node_of(event->wd);
  if (index != NONE) release_all(index);
}
