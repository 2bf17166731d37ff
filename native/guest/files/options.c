// guest: what a request about files asks for, read from its target. Pure. The daemon has checked the same before, and says what
// is wrong in more detail.
#include "files/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_BYTES FILE_PATH_BYTES

static int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool options_decode(const char *from, size_t length, bool plus, char *out, size_t size) {
  size_t used = 0;
  for (size_t i = 0; i < length; i++) {
    char byte = from[i] == '+' && plus ? ' ' : from[i];
    if (byte == '%') {
      int high = i + 1 < length ? digit_of(from[i + 1]) : -1, low = i + 2 < length ? digit_of(from[i + 2]) : -1;
      if (high < 0 || low < 0) return false;
      byte = (char)(high << 4 | low);
      i += 2;
    }
    if (byte == '\0' || used + 1 >= size) return false;
    out[used++] = byte;
  }
  out[used] = '\0';
  return true;
}

static bool read_flag(const char *value, bool *flag) {
  *flag = strcmp(value, "true") == 0;
  return *flag || strcmp(value, "false") == 0;
}

// Digits only, up to `most`.
static bool read_number(const char *value, int base, uint64_t most, uint64_t *number) {
  char *end;
  if (*value < '0' || *value > '9') return false;
  errno = 0;
  *number = strtoull(value, &end, base);
  return errno == 0 && *end == '\0' && *number <= most;
}

static bool read_owner(char *value, struct file_options *options) {
  char *group = strchr(value, ':');
  uint64_t uid, gid;
  if (group == NULL) return false;
  *group++ = '\0';
  // The largest number means "unchanged" to the kernel.
  if (!read_number(value, 10, UINT32_MAX - 1, &uid) || !read_number(group, 10, UINT32_MAX - 1, &gid)) return false;
  options->uid = (uid_t)uid;
  options->gid = (gid_t)gid;
  return options->has_owner = true;
}

static bool read_format(const char *value, struct file_options *options) {
  static const char *const names[] = {[FORMAT_FILE] = "file", [FORMAT_LIST] = "list", [FORMAT_STAT] = "stat",
                                      [FORMAT_TAR] = "tar"};
  for (int i = FORMAT_FILE; i <= FORMAT_TAR; i++) {
    if (strcmp(value, names[i]) != 0) continue;
    options->format = (enum file_format)i;
    return true;
  }
  return false;
}

static bool read_count(const char *value, int64_t *count) {
  uint64_t number;
  if (!read_number(value, 10, INT64_MAX, &number)) return false;
  *count = (int64_t)number;
  return true;
}

// A time in milliseconds since 1970.
static bool read_mtime(const char *value, struct file_options *options) {
  uint64_t ms;
  if (!read_number(value, 10, INT64_MAX / 1000000, &ms)) return false;
  options->mtime = (struct timespec){(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
  return options->has_mtime = true;
}

static bool read_mode(const char *value, struct file_options *options) {
  uint64_t mode;
  if (!read_number(value, 8, 07777, &mode)) return false;
  options->mode = (mode_t)mode;
  return options->has_mode = true;
}

static bool copy_path(const char *value, char *path) {
  strcpy(path, value + strspn(value, "/"));
  return true;
}

static bool read_parameter(const char *name, char *value, struct file_options *options) {
  if (strcmp(name, "root") == 0) {
    strcpy(options->root, value);
    return value[0] == '/';
  }
  if (strcmp(name, "to") == 0) return copy_path(value, options->to) && options->to[0] != '\0';
  if (strcmp(name, "as") == 0) return copy_path(value, options->as) && options->as[0] != '\0';
  if (strcmp(name, "format") == 0) return read_format(value, options);
  if (strcmp(name, "type") == 0) {
    options->makes_directory = strcmp(value, "directory") == 0;
    return options->makes_directory || strcmp(value, "file") == 0;
  }
  if (strcmp(name, "follow") == 0) return read_flag(value, &options->follows);
  if (strcmp(name, "parents") == 0) return read_flag(value, &options->parents);
  if (strcmp(name, "recursive") == 0) return read_flag(value, &options->recursive);
  if (strcmp(name, "replace") == 0) return read_flag(value, &options->replaces);
  if (strcmp(name, "sync") == 0) return read_flag(value, &options->syncs);
  if (strcmp(name, "keep_owners") == 0) return read_flag(value, &options->keeps_owners);
  if (strcmp(name, "mode") == 0) return read_mode(value, options);
  if (strcmp(name, "owner") == 0) return read_owner(value, options);
  if (strcmp(name, "mtime") == 0) return read_mtime(value, options);
  if (strcmp(name, "offset") == 0) return read_count(value, &options->offset);
  if (strcmp(name, "limit") == 0) return read_count(value, &options->limit);
  // A newer daemon may know more; what it asks for must not be ignored.
  return false;
}

static const char *read_query(const char *query, struct file_options *options) {
  static char name[32], value[VALUE_BYTES];
  while (*query != '\0') {
    size_t length = strcspn(query, "&"), name_length = strcspn(query, "=&");
    if (name_length > 0) {
      size_t skipped = name_length < length ? name_length + 1 : name_length;
      if (!options_decode(query, name_length, true, name, sizeof name)) return "a name in the query";
      if (!options_decode(query + skipped, length - skipped, true, value, sizeof value)) return name;
      if (!read_parameter(name, value, options)) return name;
    }
    query += length + (query[length] == '&');
  }
  return NULL;
}

const char *options_read(const char *from, struct file_options *options) {
  static char path[FILE_PATH_BYTES];
  size_t length = strcspn(from, "?");
  *options = (struct file_options){.root = "/", .follows = true, .replaces = true};
  if (!options_decode(from, length, false, path, sizeof path)) return "path";
  copy_path(path, options->path);
  return from[length] == '?' ? read_query(from + length + 1, options) : NULL;
}
