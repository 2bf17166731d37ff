// guest: base64url (RFC 4648, section 5).
#include "base/base64url.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static int base64url_digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '-') return 62;
  if (c == '_') return 63;
  return -1;
}

ssize_t base64url_decode(const char *text, unsigned char **result) {
  size_t length = strlen(text);
  if (length % 4 == 1) return -1;
  unsigned char *bytes = malloc(length / 4 * 3 + 3);
  if (bytes == NULL) return -1;
  uint32_t bits = 0;
  int bit_count = 0;
  size_t count = 0;
  for (size_t i = 0; i < length; i++) {
    int digit = base64url_digit(text[i]);
    if (digit < 0) {
      free(bytes);
      return -1;
    }
    bits = bits << 6 | (uint32_t)digit;
    bit_count += 6;
    if (bit_count >= 8) {
      bit_count -= 8;
      bytes[count++] = (unsigned char)(bits >> bit_count);
    }
  }
  *result = bytes;
  return (ssize_t)count;
}
