// guest: the facts about a file in the forms of an answer: JSON, headers, the tag of a version. And what a request says about the
// version that it wants.
#include "files/describe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "files/exchange.h"

#define HTTP_DATE "%a, %d %b %Y %H:%M:%S GMT"
#define VALUE_BYTES 1024

void describe_tag(const struct stat *facts, char tag[TAG_BYTES]) {
  // The time of the last change of the inode, too: programs can set the other one.
  snprintf(tag, TAG_BYTES, "\"%llx-%llx-%llx%08lx-%llx%08lx\"", (unsigned long long)facts->st_ino,
           (unsigned long long)facts->st_size, (unsigned long long)facts->st_mtim.tv_sec, facts->st_mtim.tv_nsec,
           (unsigned long long)facts->st_ctim.tv_sec, facts->st_ctim.tv_nsec);
}

void describe_date(time_t time, char *text, size_t size) {
  struct tm parts;
  if (gmtime_r(&time, &parts) == NULL || strftime(text, size, HTTP_DATE, &parts) == 0) text[0] = '\0';
}

const char *describe_type(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return "file";
    case S_IFDIR:
      return "directory";
    case S_IFLNK:
      return "link";
    case S_IFCHR:
      return "character";
    case S_IFBLK:
      return "block";
    case S_IFIFO:
      return "fifo";
    default:
      return "socket";
  }
}

static bool is_utf8(const char *text) {
  size_t length = strlen(text);
  for (size_t at = 0; at < length;) {
    size_t taken = utf8_length(text + at, length - at);
    if (taken == 0) return false;
    at += taken;
  }
  return true;
}

static size_t add_text(char *buffer, size_t size, size_t length, const char *member, const char *text) {
  length += (size_t)snprintf(buffer + length, size - length, "\"%s\":\"", member);
  length = json_escape(buffer, size - 64, length, text, strlen(text));
  return length + (size_t)snprintf(buffer + length, size - length, "\",");
}

// A path that JSON cannot have, as a path of a request has it.
static size_t add_escaped(char *buffer, size_t size, size_t length, const char *member, const char *path) {
  length += (size_t)snprintf(buffer + length, size - length, "\"%s_escaped\":\"", member);
  for (; *path != '\0'; path++) {
    if (*path == '/') length += (size_t)snprintf(buffer + length, size - length, "/");
    else length += (size_t)snprintf(buffer + length, size - length, "%%%02X", (unsigned char)*path);
  }
  return length + (size_t)snprintf(buffer + length, size - length, "\",");
}

size_t describe_path(char *buffer, size_t size, size_t length, const char *member, const char *path) {
  length = add_text(buffer, size, length, member, path);
  return is_utf8(path) ? length : add_escaped(buffer, size, length, member, path);
}

size_t describe_json(char *buffer, size_t size, const char *name, const struct stat *facts, const char *target) {
  char tag[TAG_BYTES], time[40];
  struct tm parts;
  size_t length = (size_t)snprintf(buffer, size, "{");
  length = describe_path(buffer, size, length, "name", name);
  if (target != NULL) length = add_text(buffer, size, length, "target", target);
  describe_tag(facts, tag);
  if (gmtime_r(&facts->st_mtim.tv_sec, &parts) == NULL || strftime(time, sizeof time, "%Y-%m-%dT%H:%M:%S", &parts) == 0) {
    strcpy(time, "1970-01-01T00:00:00");
  }
  length += (size_t)snprintf(buffer + length, size - length,
                             "\"type\":\"%s\",\"size\":%lld,\"mode\":\"%04o\",\"uid\":%u,\"gid\":%u,"
                             "\"mtime\":\"%s.%03ldZ\",\"links\":%lu,\"etag\":\"",
                             describe_type(facts->st_mode), (long long)facts->st_size,
                             (unsigned)(facts->st_mode & 07777), (unsigned)facts->st_uid, (unsigned)facts->st_gid, time,
                             facts->st_mtim.tv_nsec / 1000000, (unsigned long)facts->st_nlink);
  length = json_escape(buffer, size, length, tag, strlen(tag));
  return length + (size_t)snprintf(buffer + length, size - length, "\"}");
}

void describe_headers(const struct stat *facts) {
  char text[TAG_BYTES];
  describe_tag(facts, text);
  exchange_add_header("ETag", "%s", text);
  describe_date(facts->st_mtim.tv_sec, text, sizeof text);
  if (text[0] != '\0') exchange_add_header("Last-Modified", "%s", text);
  exchange_add_header("X-Volant-Type", "%s", describe_type(facts->st_mode));
  exchange_add_header("X-Volant-Mode", "%04o", (unsigned)(facts->st_mode & 07777));
  exchange_add_header("X-Volant-Owner", "%u:%u", (unsigned)facts->st_uid, (unsigned)facts->st_gid);
}

// ---- conditions (RFC 9110, section 13)

// Whether a list of tags has this one. A tag of ours has no comma and no quote inside.
static bool lists_tag(const char *list, const char *tag) {
  if (list[strspn(list, " \t")] == '*') return true;
  const char *at = strstr(list, tag);
  return at != NULL;
}

// Whether the file was changed after the date of a header. A date that cannot be read is ignored.
static bool is_newer(const struct stat *facts, const char *date, bool *readable) {
  struct tm parts = {0};
  const char *end = strptime(date, HTTP_DATE, &parts);
  *readable = end != NULL && *end == '\0';
  return *readable && facts->st_mtim.tv_sec > timegm(&parts);
}

static void fail_changed(const char *path, const char *why) {
  exchange_fail(412, "FILE_CHANGED", path, why);
}

void describe_check_conditions(const struct stat *facts, bool reads, const char *path) {
  char value[VALUE_BYTES], tag[TAG_BYTES] = "";
  bool readable;
  if (facts != NULL) describe_tag(facts, tag);
  if (exchange_header("If-Match", value, sizeof value)) {
    if (facts == NULL) fail_changed(path, "there is no such file, and a version of it was expected");
    if (!lists_tag(value, tag)) fail_changed(path, "the file has another version than expected");
  } else if (facts != NULL && exchange_header("If-Unmodified-Since", value, sizeof value)) {
    if (is_newer(facts, value, &readable)) fail_changed(path, "the file was changed since");
  }
  if (facts == NULL) return;
  if (exchange_header("If-None-Match", value, sizeof value)) {
    if (!lists_tag(value, tag)) return;
    if (!reads) fail_changed(path, value[0] == '*' ? "the file exists" : "the file has this version");
  } else if (!reads || !exchange_header("If-Modified-Since", value, sizeof value) ||
             is_newer(facts, value, &readable) || !readable) {
    return;
  }
  describe_headers(facts);
  exchange_answer(304, "Not Modified", "text/plain", "");
}

int describe_read_range(const char *value, long long size, long long *first, long long *last) {
  static const char unit[] = "bytes=";
  char *end;
  if (strncmp(value, unit, sizeof unit - 1) != 0) return 0;
  const char *at = value + sizeof unit - 1;
  size_t before = strspn(at, "0123456789"), after = at[before] == '-' ? strspn(at + before + 1, "0123456789") : 0;
  // Several parts would need an answer of several parts: the whole file is an answer, too.
  if (at[before] != '-' || at[before + 1 + after] != '\0' || before + after == 0 || before > 18 || after > 18) return 0;
  *first = strtoll(at, &end, 10);
  *last = strtoll(at + before + 1, &end, 10);
  if (before == 0) {
    if (*last == 0 || size == 0) return -1;
    *first = *last >= size ? 0 : size - *last;
    *last = size - 1;
    return 1;
  }
  if (after == 0 || *last >= size) *last = size - 1;
  else if (*last < *first) return 0;
  return *first < size ? 1 : -1;
}

bool describe_range(const struct stat *facts, long long *first, long long *last) {
  char value[VALUE_BYTES], condition[VALUE_BYTES], text[TAG_BYTES];
  if (!exchange_header("Range", value, sizeof value)) return false;
  if (exchange_header("If-Range", condition, sizeof condition)) {
    describe_tag(facts, text);
    if (strcmp(condition, text) != 0) {
      describe_date(facts->st_mtim.tv_sec, text, sizeof text);
      if (strcmp(condition, text) != 0) return false;
    }
  }
  long long from, to;
  int result = describe_read_range(value, facts->st_size, &from, &to);
  if (result == 0) return false;
  if (result == 1) {
    *first = from;
    *last = to;
    return true;
  }
  exchange_add_header("Content-Range", "bytes */%lld", (long long)facts->st_size);
  exchange_fail(416, "FILE_RANGE_INVALID", NULL, "the file has no such part");
}
