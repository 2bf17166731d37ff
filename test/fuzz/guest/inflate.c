// fuzz: gzip and base64url of the manifest. Inflate is also tried without gzip's checksum, which changed bytes do
// not get past.
#include "base/gunzip.c"

#include "base/base64url.h"
#include "fuzz.h"

#define RESULT_BYTES_MAX (256 * 1024)
#define STORED_BYTES_MAX 65535

static void try_inflate(const uint8_t *data, size_t size) {
  struct reader reader = {.data = data, .length = size};
  struct writer writer = {.max = RESULT_BYTES_MAX};
  inflate_all(&reader, &writer);
  REQUIRE(reader.position <= size && writer.length <= writer.max + 1);
  free(writer.data);
}

static void try_gunzip(const uint8_t *data, size_t size) {
  char *text = NULL;
  ssize_t length = gunzip(data, size, RESULT_BYTES_MAX, &text);
  REQUIRE(length <= RESULT_BYTES_MAX);
  if (length >= 0) REQUIRE(text[length] == '\0');
  free(text);
}

// The input as one stored block is unpacked to itself.
static void try_stored(const uint8_t *data, size_t size) {
  if (size > STORED_BYTES_MAX) return;
  unsigned char head[15] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1};
  for (int i = 0; i < 2; i++) {
    head[11 + i] = (unsigned char)(size >> (8 * i));
    head[13 + i] = (unsigned char)~head[11 + i];
  }
  uint32_t checksum = crc32(data, size);
  unsigned char *packed = malloc(size + 23);
  if (packed == NULL) return;
  memcpy(packed, head, sizeof head);
  if (size > 0) memcpy(packed + sizeof head, data, size);
  for (int i = 0; i < 4; i++) {
    packed[15 + size + (size_t)i] = (unsigned char)(checksum >> (8 * i));
    packed[19 + size + (size_t)i] = (unsigned char)(size >> (8 * i));
  }
  char *text = NULL;
  REQUIRE(gunzip(packed, size + 23, RESULT_BYTES_MAX, &text) == (ssize_t)size);
  REQUIRE(size == 0 || memcmp(text, data, size) == 0);
  free(text);
  free(packed);
}

static void try_base64url(const uint8_t *data, size_t size) {
  char *text = copy_text(data, size);
  unsigned char *bytes = NULL;
  ssize_t length = base64url_decode(text, &bytes);
  if (length >= 0) REQUIRE((size_t)length == strlen(text) * 6 / 8);
  free(bytes);
  free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  try_inflate(data, size);
  try_gunzip(data, size);
  try_stored(data, size);
  try_base64url(data, size);
  return 0;
}
