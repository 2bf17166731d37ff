// fuzz: the agent's reader of archives. What it takes leads nowhere up, and its header says the same when it is written and read
// again.
#include "files/tar_stream.h"
#include "fuzz.h"

// Every read costs something, so that an archive that announces much does not take long.
#define ENTRIES_MAX 1000

static struct input input;

static size_t read_input(void *buffer, size_t size) {
  // Pieces of different lengths, as they arrive.
  size_t count = input.size % 7 == 0 ? 1 : size;
  if (count > input.size) count = input.size;
  if (count > size) count = size;
  memcpy(buffer, input.data, count);
  input.data += count;
  input.size -= count;
  return count;
}

static void check_path(const char *path) {
  REQUIRE(strlen(path) < TAR_PATH_BYTES);
  REQUIRE(path[0] != '/');
  for (const char *at = path; *at != '\0';) {
    size_t length = strcspn(at, "/");
    REQUIRE(length > 0);
    REQUIRE(!(length == 2 && memcmp(at, "..", 2) == 0));
    REQUIRE(!(length == 1 && at[0] == '.'));
    at += length;
    if (*at == '/') REQUIRE(*++at != '\0');
  }
}

// Writes the entry and reads it again, with the records that its header had no room for.
static void check_again(const struct tar_entry *entry) {
  static struct tar_records records;
  static struct tar_entry again;
  unsigned char block[TAR_BLOCK_BYTES];
  struct tar_record record;
  size_t at = 0;
  bool malformed;
  records.length = 0;
  REQUIRE(tar_write_header(block, entry, &records));
  REQUIRE(tar_read_header(block, &again));
  while (tar_next_record(&records, &at, &record, &malformed)) REQUIRE(tar_apply_record(&again, &record));
  REQUIRE(!malformed);
  REQUIRE(strcmp(again.path, entry->path) == 0 && strcmp(again.target, entry->target) == 0);
  REQUIRE(again.size == entry->size && again.uid == entry->uid && again.gid == entry->gid && again.mode == entry->mode);
  REQUIRE(again.mtime.tv_sec == entry->mtime.tv_sec && again.mtime.tv_nsec == entry->mtime.tv_nsec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct tar_stream stream;
  char content[1000];
  input = (struct input){data, size};
  stream.read = read_input;
  stream.problem = NULL;
  stream.left = stream.unread = 0;
  for (int i = 0; i < ENTRIES_MAX && tar_next(&stream); i++) {
    const struct tar_entry *entry = &stream.entry;
    check_path(entry->path);
    if (entry->type == TAR_HARD_LINK) check_path(entry->target);
    REQUIRE(entry->size >= 0 && (entry->type == TAR_FILE || entry->size == 0));
    REQUIRE(entry->uid < UINT32_MAX && entry->gid < UINT32_MAX && entry->mode <= 07777);
    check_again(entry);
    int64_t length = 0;
    size_t count;
    while ((count = tar_read(&stream, content, sizeof content)) > 0) length += (int64_t)count;
    REQUIRE(length == entry->size || stream.problem != NULL);
  }
  return 0;
}
