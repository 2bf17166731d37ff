// fuzz: runs a target without libFuzzer: all files of a directory, then so many changes of them.
// Usage: PROGRAM DIRECTORY CHANGES SEED. The same seed makes the same changes.
#include <dirent.h>
#include <signal.h>
#include <unistd.h>

#include "fuzz.h"

#define FILES_MAX 4096
#define INPUT_BYTES_MAX 65536
#define CHANGES_AT_ONCE 4
// One input takes less, or the program is ended.
#define INPUT_SECONDS_MAX 10

static struct {
  uint8_t *data;
  size_t size;
} files[FILES_MAX];
static size_t file_count;
static uint32_t state;

// xorshift32
static uint32_t random_below(uint32_t bound) {
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return state % bound;
}

static int by_name(const struct dirent **one, const struct dirent **other) {
  return strcmp((*one)->d_name, (*other)->d_name);
}

static void read_files(const char *directory) {
  struct dirent **entries;
  int count = scandir(directory, &entries, NULL, by_name);
  for (int i = 0; i < count; i++) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", directory, entries[i]->d_name);
    FILE *file = entries[i]->d_name[0] == '.' || file_count == FILES_MAX ? NULL : fopen(path, "rb");
    free(entries[i]);
    if (file == NULL) continue;
    uint8_t *data = malloc(INPUT_BYTES_MAX);
    if (data == NULL) abort();
    files[file_count].size = fread(data, 1, INPUT_BYTES_MAX, file);
    files[file_count++].data = data;
    fclose(file);
  }
  if (count >= 0) free(entries);
}

// Of exactly its size, for the checks of memory.
static void run(const uint8_t *data, size_t size) {
  uint8_t *copy = malloc(size > 0 ? size : 1);
  if (copy == NULL) abort();
  memcpy(copy, data, size);
  alarm(INPUT_SECONDS_MAX);
  LLVMFuzzerTestOneInput(copy, size);
  alarm(0);
  free(copy);
}

static size_t change(uint8_t *data, size_t size) {
  uint32_t at = size > 0 ? random_below((uint32_t)size) : 0;
  switch (random_below(5)) {
    case 0:
      if (size > 0) data[at] ^= (uint8_t)(1u << random_below(8));
      return size;
    case 1:
      if (size > 0) data[at] = (uint8_t)random_below(256);
      return size;
    case 2:
      return at;
    case 3:
      if (size == INPUT_BYTES_MAX) return size;
      memmove(data + at + 1, data + at, size - at);
      data[at] = (uint8_t)random_below(256);
      return size + 1;
    default:
      if (size == 0) return size;
      memmove(data + at, data + at + 1, size - at - 1);
      return size - 1;
  }
}

int main(int count, char **arguments) {
  static uint8_t data[INPUT_BYTES_MAX];
  if (count != 4) return 2;
  read_files(arguments[1]);
  if (file_count == 0) return 2;
  for (size_t i = 0; i < file_count; i++) run(files[i].data, files[i].size);
  state = (uint32_t)strtoul(arguments[3], NULL, 10) | 1;
  unsigned long changes = strtoul(arguments[2], NULL, 10);
  for (unsigned long i = 0; i < changes; i++) {
    size_t file = random_below((uint32_t)file_count);
    size_t size = files[file].size;
    memcpy(data, files[file].data, size);
    for (uint32_t j = random_below(CHANGES_AT_ONCE) + 1; j > 0; j--) size = change(data, size);
    run(data, size);
  }
  printf("%zu %lu\n", file_count, changes);
}
