// guest: the changes below a directory as a stream of JSON lines, for as long as the client reads. A client that is slow
// makes this process wait, and then the kernel's own bounded queue overflows, which is reported.
#include "files/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "files/describe.h"
#include "files/exchange.h"
#include "files/kernel_files.h"
#include "files/notices.h"
#include "files/place.h"
#include "files/tree.h"

// The same change of a file within this time is reported once.
#define GATHER_MS 100
#define READS_MAX 16
#define EVENT_BYTES 65536
#define PATH_BYTES (FILE_PATH_BYTES + TREE_PATH_BYTES)
#define LINE_BYTES (2 * PATH_BYTES * (6 + 3) + 1024)

static const char *base;  // without slashes at its ends
static int directory, events;
static bool recursive, overflowed, is_gone, is_too_large;

static long long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// ---- what is reported

static size_t add_path(char *line, size_t length, const char *member, const char *path) {
  static char full[PATH_BYTES + 2];
  snprintf(full, sizeof full, "/%s%s%s", base, base[0] != '\0' && path[0] != '\0' ? "/" : "", path);
  return describe_path(line, LINE_BYTES, length, member, full);
}

static void write_notice(const struct notice *notice) {
  static const char *const names[] = {[CREATED] = "created", [CHANGED] = "changed", [REMOVED] = "removed", [MOVED] = "moved"};
  static char line[LINE_BYTES];
  size_t length = (size_t)snprintf(line, sizeof line, "{\"type\":\"%s\",", names[notice->change]);
  length = add_path(line, length, "path", notice->path);
  if (notice->from != NULL) length = add_path(line, length, "from", notice->from);
  const char *kind = notice->is_directory ? "directory" : "file";
  length += (size_t)snprintf(line + length, sizeof line - length, "\"kind\":\"%s\"}\n", kind);
  exchange_write(line, length);
}

static void tell(void) {
  notices_take(write_notice);
  exchange_flush();
}

static void say(const char *line) {
  exchange_write(line, strlen(line));
  exchange_flush();
}

__attribute__((noreturn)) static void end(const char *line) {
  tell();
  say(line);
  exchange_end();
}

// ---- what has happened

static void make_room(void) {
  if (notices_are_full()) tell();
}

static void found(const char *path, bool is_directory) {
  make_room();
  notices_created(path, is_directory);
}

static void add_directory(const struct inotify_event *event) {
  if (!tree_add(event, found)) is_too_large = true;
}

static void take_arrival(const struct inotify_event *event, const char *path, bool is_directory) {
  bool is_move = notices_moved_to(path, is_directory, event->cookie);
  if (!is_directory || (is_move && tree_move(event))) return;
  // It comes from elsewhere, or was reported as gone already.
  tree_drop_left();
  add_directory(event);
}

// A file that is written before it has a name is called # and its number by the kernel, in the directory where it will be.
static bool has_no_name(const struct inotify_event *event, const char *path) {
  const char *name = event->len > 0 ? event->name : "";
  if (name[0] != '#' || name[1 + strspn(name + 1, "0123456789")] != '\0') return false;
  int fd = place_open_beneath(directory, path, O_PATH | O_NOFOLLOW);
  if (fd >= 0) close(fd);
  return fd < 0;
}

static void take_event(const struct inotify_event *event) {
  static char path[TREE_PATH_BYTES];
  bool is_directory = (event->mask & IN_ISDIR) != 0;
  if ((event->mask & IN_Q_OVERFLOW) != 0) overflowed = true;
  if (tree_is_gone(event)) is_gone = true;
  if ((event->mask & IN_IGNORED) != 0) tree_forget(event);
  if ((event->mask & (IN_Q_OVERFLOW | IN_IGNORED | IN_UNMOUNT | IN_MOVE_SELF)) != 0 || !tree_path(event, path)) return;
  make_room();
  if ((event->mask & IN_CREATE) != 0) {
    notices_created(path, is_directory);
    if (is_directory) add_directory(event);
  } else if ((event->mask & IN_MOVED_TO) != 0) {
    take_arrival(event, path, is_directory);
  } else if ((event->mask & IN_MOVED_FROM) != 0) {
    notices_moved_from(path, is_directory, event->cookie);
    if (is_directory) tree_leave(event);
  } else if ((event->mask & IN_DELETE) != 0) {
    notices_removed(path, is_directory);
    if (is_directory) tree_remove(event);
  } else if (!has_no_name(event, path)) {
    notices_changed(path, is_directory);
  }
}

// Takes what has happened so far, up to a bound.
static void take_events(void) {
  static char buffer[EVENT_BYTES] __attribute__((aligned(__alignof__(struct inotify_event))));
  for (int i = 0; i < READS_MAX && !overflowed && !is_gone && !is_too_large; i++) {
    ssize_t count = read(events, buffer, sizeof buffer);
    if (count <= 0) return;
    for (char *at = buffer; at < buffer + count && !overflowed;) {
      const struct inotify_event *event = (const struct inotify_event *)(const void *)at;
      take_event(event);
      at += sizeof *event + event->len;
    }
  }
}

// ---- the watch

// What was lost can be new directories. So all are looked for again, before the client gets it and looks itself.
static void begin_again(void) {
  overflowed = false;
  tell();
  events = tree_begin(directory, recursive);
  if (events < 0 && errno == ENOENT) is_gone = true;
  else if (events < 0) is_too_large = true;
  say("{\"type\":\"overflow\"}\n");
}

__attribute__((noreturn)) static void follow(void) {
  long long due = 0;
  for (;;) {
    bool was_empty = notices_are_empty();
    long long left = was_empty ? -1 : due - now_ms();
    if (!was_empty && left < 0) left = 0;
    if (exchange_wait(events, (int)left)) take_events();
    if (was_empty) due = now_ms() + GATHER_MS;
    bool is_due = !was_empty && now_ms() >= due;
    // What was found in a new directory is reported once, if the kernel's word about it is taken before.
    if (is_due) take_events();
    if (notices_lost()) overflowed = true;
    if (overflowed) begin_again();
    if (is_gone) end("{\"type\":\"end\",\"reason\":\"directory_gone\"}\n");
    if (is_too_large) end("{\"type\":\"end\",\"reason\":\"too_many_directories\"}\n");
    if (!is_due) continue;
    tree_drop_left();
    tell();
  }
}

__attribute__((noreturn)) static void refuse(const char *path) {
  switch (errno) {
    case ENOSPC:
      exchange_fail(409, "FILE_TREE_TOO_LARGE", path, "there are more directories than can be watched");
    case EMFILE:
      exchange_fail(503, "OVERLOADED", NULL, "the guest has no room for one more watch");
    default:
      exchange_fail_errno(errno, path);
  }
}

void watch_serve(int root, const struct file_options *options) {
  static char path[FILE_PATH_BYTES];
  strcpy(path, options->path);
  for (size_t length = strlen(path); length > 0 && path[length - 1] == '/'; length--) path[length - 1] = '\0';
  base = path;
  recursive = options->recursive;
  if (exchange_is_head()) exchange_fail(405, "METHOD_NOT_ALLOWED", NULL, "a watch has no head alone");
  directory = place_open(root, options->path, O_RDONLY | O_DIRECTORY | O_NONBLOCK);
  if (directory < 0) exchange_fail_errno(errno, options->path);
  if (kernel_files_are_at(directory)) {
    exchange_fail(409, "FILE_TYPE_CONFLICT", options->path, "the kernel does not tell changes of files that it makes itself");
  }
  events = tree_begin(directory, recursive);
  if (events < 0) refuse(options->path);
  exchange_begin_answer(200, "OK", "application/x-ndjson", -1);
  follow();
}
