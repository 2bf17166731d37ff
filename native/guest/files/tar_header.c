// guest: the headers of an archive in the formats ustar and pax (POSIX.1-2001), and the long names of GNU tar. Pure.
#include "files/tar_header.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ustar {
  char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, target[100], magic[6], version[2], user[32],
      group[32], major[8], minor[8], prefix[155], rest[12];
};

_Static_assert(sizeof(struct ustar) == TAR_BLOCK_BYTES, "a header is one block");

// ---- numbers

// Octal with a NUL. Returns false if the number does not fit; the field has zeros then.
static bool put_number(char *field, size_t size, uint64_t number) {
  bool fits = number >> (3 * (size - 1)) == 0;
  char text[24];
  snprintf(text, sizeof text, "%0*llo", (int)size - 1, (unsigned long long)(fits ? number : 0));
  memcpy(field, text, size);
  return fits;
}

// Octal with blanks and NULs around, or base 256 with the highest bit set, as GNU tar writes large numbers.
static bool get_number(const char *field, size_t size, int64_t *number) {
  const unsigned char *bytes = (const unsigned char *)field;
  uint64_t value = 0;
  size_t at = 0;
  if (bytes[0] == 0x80 || bytes[0] == 0xff) {
    for (at = 1; at < size; at++) {
      if (at + 8 < size && bytes[at] != (bytes[0] == 0xff ? 0xff : 0)) return false;
      value = value << 8 | bytes[at];
    }
    if (bytes[0] == 0xff && size <= 8) value |= ~(uint64_t)0 << (8 * (size - 1));
    *number = (int64_t)value;
    return (*number < 0) == (bytes[0] == 0xff);
  }
  while (at < size && field[at] == ' ') at++;
  for (; at < size && field[at] >= '0' && field[at] <= '7'; at++) {
    if (value >> 60 != 0) return false;
    value = value << 3 | (uint64_t)(field[at] - '0');
  }
  while (at < size && (field[at] == ' ' || field[at] == '\0')) at++;
  *number = (int64_t)value;
  return at == size;
}

static unsigned sum_of(const unsigned char block[TAR_BLOCK_BYTES]) {
  unsigned sum = 0;
  // The field of the sum counts as blanks.
  for (size_t i = 0; i < TAR_BLOCK_BYTES; i++) {
    bool is_sum = i >= offsetof(struct ustar, sum) && i < offsetof(struct ustar, type);
    sum += is_sum ? ' ' : block[i];
  }
  return sum;
}

// ---- records

bool tar_add_record(struct tar_records *records, const char *name, const void *value, size_t length) {
  size_t rest = 1 + strlen(name) + 1 + length + 1;
  // The length counts its own digits.
  size_t total = rest + 1;
  char digits[24];
  while ((size_t)snprintf(digits, sizeof digits, "%zu", total) + rest > total) total++;
  if (total > sizeof records->data - records->length) return false;
  char *to = records->data + records->length;
  int head = snprintf(to, total, "%zu %s=", total, name);
  memcpy(to + head, value, length);
  to[total - 1] = '\n';
  records->length += total;
  return true;
}

bool tar_next_record(const struct tar_records *records, size_t *at, struct tar_record *record, bool *malformed) {
  *malformed = false;
  if (*at >= records->length) return false;
  const char *start = records->data + *at;
  size_t left = records->length - *at, total = 0, digits = 0;
  while (digits < left && digits < 7 && start[digits] >= '0' && start[digits] <= '9') {
    total = total * 10 + (size_t)(start[digits++] - '0');
  }
  *malformed = true;
  if (digits == 0 || total > left || total < digits + 4 || start[digits] != ' ' || start[total - 1] != '\n') return false;
  const char *name = start + digits + 1, *equals = memchr(name, '=', total - digits - 2);
  size_t length = equals == NULL ? 0 : (size_t)(equals - name);
  if (length == 0 || length >= sizeof record->name || memchr(name, '\0', length) != NULL) return false;
  memcpy(record->name, name, length);
  record->name[length] = '\0';
  record->value = equals + 1;
  record->length = (size_t)(start + total - 1 - record->value);
  *at += total;
  *malformed = false;
  return true;
}

static bool copy_text(char out[TAR_PATH_BYTES], const char *text, size_t length) {
  if (length >= TAR_PATH_BYTES || memchr(text, '\0', length) != NULL) return false;
  memcpy(out, text, length);
  out[length] = '\0';
  return true;
}

static bool read_decimal(const char *text, size_t length, int64_t most, int64_t *number) {
  int64_t value = 0;
  if (length == 0 || length > 18) return false;
  for (size_t i = 0; i < length; i++) {
    if (text[i] < '0' || text[i] > '9') return false;
    value = value * 10 + (text[i] - '0');
  }
  *number = value;
  return value <= most;
}

// Seconds with a fraction, maybe negative.
static bool read_time(const char *text, size_t length, struct timespec *time) {
  bool negative = length > 0 && text[0] == '-';
  const char *start = text + negative;
  length -= negative;
  const char *dot = memchr(start, '.', length);
  size_t whole = dot == NULL ? length : (size_t)(dot - start);
  int64_t seconds;
  if (!read_decimal(start, whole, (int64_t)1 << 53, &seconds)) return false;
  long nanoseconds = 0, scale = 100000000;
  for (size_t i = whole + 1; i < length; i++, scale /= 10) {
    if (start[i] < '0' || start[i] > '9') return false;
    nanoseconds += (start[i] - '0') * scale;
  }
  if (negative) seconds = -seconds - (nanoseconds > 0);
  *time = (struct timespec){(time_t)seconds, negative && nanoseconds > 0 ? 1000000000 - nanoseconds : nanoseconds};
  return true;
}

bool tar_apply_record(struct tar_entry *entry, const struct tar_record *record) {
  const char *name = record->name, *value = record->value;
  size_t length = record->length;
  int64_t number;
  if (strcmp(name, "path") == 0) return length > 0 && copy_text(entry->path, value, length);
  if (strcmp(name, "linkpath") == 0) return copy_text(entry->target, value, length);
  if (strcmp(name, "mtime") == 0) return read_time(value, length, &entry->mtime);
  if (strcmp(name, "size") == 0) return read_decimal(value, length, INT64_MAX / 2, &entry->size);
  if (strcmp(name, "uid") == 0 || strcmp(name, "gid") == 0) {
    if (!read_decimal(value, length, UINT32_MAX - 1, &number)) return false;
    *(name[0] == 'u' ? &entry->uid : &entry->gid) = (uint64_t)number;
  }
  if (strncmp(name, "GNU.sparse.", 11) == 0) entry->sparse = true;
  return true;
}

// ---- headers

static void finish(unsigned char block[TAR_BLOCK_BYTES]) {
  struct ustar *header = (struct ustar *)block;
  memcpy(header->magic, "ustar", 6);
  memcpy(header->version, "00", 2);
  snprintf(header->sum, sizeof header->sum, "%06o", sum_of(block));
  header->sum[7] = ' ';
}

static bool put_text(char *field, size_t size, const char *text, const char *record, struct tar_records *records) {
  size_t length = strlen(text);
  memcpy(field, text, length < size ? length : size);
  return length <= size || tar_add_record(records, record, text, length);
}

static bool put_large(char *field, size_t size, uint64_t number, const char *record, struct tar_records *records) {
  char text[24];
  if (put_number(field, size, number)) return true;
  return tar_add_record(records, record, text, (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)number));
}

static bool put_time(char *field, size_t size, struct timespec time, struct tar_records *records) {
  bool fits = put_number(field, size, time.tv_sec < 0 ? UINT64_MAX : (uint64_t)time.tv_sec);
  if (fits && time.tv_nsec == 0) return true;
  bool negative = time.tv_sec < 0;
  long long seconds = negative ? -(long long)time.tv_sec - (time.tv_nsec > 0) : (long long)time.tv_sec;
  long fraction = negative && time.tv_nsec > 0 ? 1000000000 - time.tv_nsec : time.tv_nsec;
  char text[40];
  int length = snprintf(text, sizeof text, "%s%lld.%09ld", negative ? "-" : "", seconds, fraction);
  return tar_add_record(records, "mtime", text, (size_t)length);
}

bool tar_write_header(unsigned char block[TAR_BLOCK_BYTES], const struct tar_entry *entry, struct tar_records *records) {
  struct ustar *header = (struct ustar *)block;
  memset(block, 0, TAR_BLOCK_BYTES);
  header->type = entry->type;
  put_number(header->mode, sizeof header->mode, entry->mode & 07777);
  put_number(header->major, sizeof header->major, entry->major);
  put_number(header->minor, sizeof header->minor, entry->minor);
  bool fits = put_text(header->name, sizeof header->name, entry->path, "path", records) &&
              put_text(header->target, sizeof header->target, entry->target, "linkpath", records) &&
              put_large(header->uid, sizeof header->uid, entry->uid, "uid", records) &&
              put_large(header->gid, sizeof header->gid, entry->gid, "gid", records) &&
              put_large(header->size, sizeof header->size, (uint64_t)entry->size, "size", records) &&
              put_time(header->mtime, sizeof header->mtime, entry->mtime, records);
  finish(block);
  return fits;
}

void tar_write_records_header(unsigned char block[TAR_BLOCK_BYTES], size_t length) {
  struct ustar *header = (struct ustar *)block;
  memset(block, 0, TAR_BLOCK_BYTES);
  header->type = 'x';
  memcpy(header->name, "pax/header", 10);
  put_number(header->mode, sizeof header->mode, 0644);
  put_number(header->uid, sizeof header->uid, 0);
  put_number(header->gid, sizeof header->gid, 0);
  put_number(header->size, sizeof header->size, length);
  put_number(header->mtime, sizeof header->mtime, 0);
  finish(block);
}

static void take_path(const struct ustar *header, char path[TAR_PATH_BYTES]) {
  size_t prefix = 0, name = strnlen(header->name, sizeof header->name);
  // In GNU tar's own format there are other facts in this field.
  if (memcmp(header->magic, "ustar", 6) == 0) prefix = strnlen(header->prefix, sizeof header->prefix);
  memcpy(path, header->prefix, prefix);
  if (prefix > 0) path[prefix++] = '/';
  memcpy(path + prefix, header->name, name);
  path[prefix + name] = '\0';
}

bool tar_read_header(const unsigned char block[TAR_BLOCK_BYTES], struct tar_entry *entry) {
  const struct ustar *header = (const struct ustar *)block;
  int64_t sum, mode, uid, gid, mtime, major = 0, minor = 0;
  entry->sparse = false;
  if (!get_number(header->sum, sizeof header->sum, &sum) || sum != (int64_t)sum_of(block)) return false;
  if (!get_number(header->mode, sizeof header->mode, &mode) || !get_number(header->uid, sizeof header->uid, &uid) ||
      !get_number(header->gid, sizeof header->gid, &gid) || !get_number(header->size, sizeof header->size, &entry->size) ||
      !get_number(header->mtime, sizeof header->mtime, &mtime)) {
    return false;
  }
  if (mode < 0 || uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX) return false;
  if (entry->size < 0 || entry->size > INT64_MAX / 2 || mtime < -((int64_t)1 << 53) || mtime > (int64_t)1 << 53) return false;
  // Archives from before POSIX have a NUL for a file, and for a directory a slash at the end of its name.
  entry->type = header->type == '\0' || header->type == '7' ? TAR_FILE : header->type;
  if (entry->type == TAR_CHARACTER || entry->type == TAR_BLOCK) {
    if (!get_number(header->major, sizeof header->major, &major) || !get_number(header->minor, sizeof header->minor, &minor)) {
      return false;
    }
  }
  if (major < 0 || major > UINT32_MAX || minor < 0 || minor > UINT32_MAX) return false;
  take_path(header, entry->path);
  size_t target = strnlen(header->target, sizeof header->target);
  memcpy(entry->target, header->target, target);
  entry->target[target] = '\0';
  entry->mode = (mode_t)(mode & 07777);
  entry->uid = (uint64_t)uid;
  entry->gid = (uint64_t)gid;
  entry->mtime = (struct timespec){.tv_sec = (time_t)mtime};
  entry->major = (unsigned)major;
  entry->minor = (unsigned)minor;
  size_t length = strlen(entry->path);
  if (header->type == '\0' && length > 0 && entry->path[length - 1] == '/') entry->type = TAR_DIRECTORY;
  return true;
}

bool tar_is_zero(const unsigned char block[TAR_BLOCK_BYTES]) {
  for (size_t i = 0; i < TAR_BLOCK_BYTES; i++) {
    if (block[i] != 0) return false;
  }
  return true;
}
