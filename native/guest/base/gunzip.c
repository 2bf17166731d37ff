// guest: gzip (RFC 1952) with an inflate (RFC 1951) that is small rather than fast: the only input is the manifest.
#include "base/gunzip.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CODE_BITS_MAX 15

struct reader {
  const unsigned char *data;
  size_t length, position;
  uint32_t bits;
  int bit_count;
  bool failed;
};

struct writer {
  unsigned char *data;
  size_t length, capacity, max;
};

// A canonical Huffman code: the number of codes of each length, and the symbols in the order of their codes.
struct code {
  uint16_t count[CODE_BITS_MAX + 1];
  uint16_t symbol[288];
};

static uint32_t take_bits(struct reader *reader, int wanted) {
  while (reader->bit_count < wanted) {
    if (reader->position == reader->length) {
      reader->failed = true;
      return 0;
    }
    reader->bits |= (uint32_t)reader->data[reader->position++] << reader->bit_count;
    reader->bit_count += 8;
  }
  uint32_t value = reader->bits & ((1U << wanted) - 1);
  reader->bits >>= wanted;
  reader->bit_count -= wanted;
  return value;
}

static bool put_byte(struct writer *writer, unsigned char byte) {
  if (writer->length == writer->capacity) {
    size_t larger = writer->capacity * 2 + 1024;
    if (larger > writer->max + 1) larger = writer->max + 1;
    if (writer->length >= larger) return false;
    unsigned char *data = realloc(writer->data, larger);
    if (data == NULL) return false;
    writer->data = data;
    writer->capacity = larger;
  }
  writer->data[writer->length++] = byte;
  return true;
}

static bool build_code(struct code *code, const unsigned char *lengths, int symbols) {
  memset(code->count, 0, sizeof code->count);
  for (int i = 0; i < symbols; i++) code->count[lengths[i]]++;
  int left = 1;
  for (int bits = 1; bits <= CODE_BITS_MAX; bits++) {
    left = left * 2 - code->count[bits];
    if (left < 0) return false;
  }
  uint16_t offsets[CODE_BITS_MAX + 2] = {0};
  for (int bits = 1; bits <= CODE_BITS_MAX; bits++) {
    offsets[bits + 1] = (uint16_t)(offsets[bits] + code->count[bits]);
  }
  for (int i = 0; i < symbols; i++) {
    if (lengths[i] != 0) code->symbol[offsets[lengths[i]]++] = (uint16_t)i;
  }
  code->count[0] = 0;
  return true;
}

static int take_symbol(struct reader *reader, const struct code *code) {
  int value = 0, first = 0, index = 0;
  for (int bits = 1; bits <= CODE_BITS_MAX; bits++) {
    value |= (int)take_bits(reader, 1);
    if (reader->failed) return -1;
    int count = code->count[bits];
    if (value - count < first) return code->symbol[index + (value - first)];
    index += count;
    first = (first + count) << 1;
    value <<= 1;
  }
  return -1;
}

static bool inflate_coded(struct reader *reader, struct writer *writer, const struct code *literals,
                          const struct code *distances) {
  static const uint16_t length_base[] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                         31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
  static const uint8_t length_extra[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                         2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
  static const uint16_t distance_base[] = {1,   2,   3,   4,   5,   7,    9,    13,   17,   25,
                                           33,  49,  65,  97,  129, 193,  257,  385,  513,  769,
                                           1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
  static const uint8_t distance_extra[] = {0, 0, 0, 0, 1, 1, 2, 2,  3,  3,  4,  4,  5,  5,  6,
                                           6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13};
  for (;;) {
    int symbol = take_symbol(reader, literals);
    if (symbol < 0) return false;
    if (symbol < 256) {
      if (!put_byte(writer, (unsigned char)symbol)) return false;
      continue;
    }
    if (symbol == 256) return true;
    symbol -= 257;
    if (symbol >= 29) return false;
    size_t length = length_base[symbol] + take_bits(reader, length_extra[symbol]);
    symbol = take_symbol(reader, distances);
    if (symbol < 0 || symbol >= 30) return false;
    size_t distance = distance_base[symbol] + take_bits(reader, distance_extra[symbol]);
    if (reader->failed || distance > writer->length) return false;
    while (length-- > 0) {
      if (!put_byte(writer, writer->data[writer->length - distance])) return false;
    }
  }
}

static bool inflate_stored(struct reader *reader, struct writer *writer) {
  reader->bits = 0;
  reader->bit_count = 0;
  uint32_t length = take_bits(reader, 16);
  uint32_t complement = take_bits(reader, 16);
  if (reader->failed || length != (~complement & 0xffffU)) return false;
  while (length-- > 0) {
    uint32_t byte = take_bits(reader, 8);
    if (reader->failed || !put_byte(writer, (unsigned char)byte)) return false;
  }
  return true;
}

static bool inflate_fixed(struct reader *reader, struct writer *writer) {
  unsigned char lengths[288];
  for (int i = 0; i < 288; i++) lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
  struct code literals, distances;
  build_code(&literals, lengths, 288);
  memset(lengths, 5, 30);
  build_code(&distances, lengths, 30);
  return inflate_coded(reader, writer, &literals, &distances);
}

static bool inflate_dynamic(struct reader *reader, struct writer *writer) {
  static const uint8_t order[] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
  int literal_count = (int)take_bits(reader, 5) + 257;
  int distance_count = (int)take_bits(reader, 5) + 1;
  int length_count = (int)take_bits(reader, 4) + 4;
  if (reader->failed || literal_count > 286 || distance_count > 30) return false;
  unsigned char lengths[320] = {0};
  for (int i = 0; i < length_count; i++) lengths[order[i]] = (unsigned char)take_bits(reader, 3);
  struct code code_lengths, literals, distances;
  if (reader->failed || !build_code(&code_lengths, lengths, 19)) return false;
  memset(lengths, 0, sizeof lengths);
  for (int i = 0; i < literal_count + distance_count;) {
    int symbol = take_symbol(reader, &code_lengths);
    if (symbol < 0) return false;
    if (symbol < 16) {
      lengths[i++] = (unsigned char)symbol;
      continue;
    }
    unsigned char value = 0;
    uint32_t repeat;
    if (symbol == 16) {
      if (i == 0) return false;
      value = lengths[i - 1];
      repeat = 3 + take_bits(reader, 2);
    } else {
      repeat = symbol == 17 ? 3 + take_bits(reader, 3) : 11 + take_bits(reader, 7);
    }
    if (reader->failed || i + (int)repeat > literal_count + distance_count) return false;
    while (repeat-- > 0) lengths[i++] = value;
  }
  if (!build_code(&literals, lengths, literal_count) ||
      !build_code(&distances, lengths + literal_count, distance_count)) {
    return false;
  }
  return inflate_coded(reader, writer, &literals, &distances);
}

static bool inflate_all(struct reader *reader, struct writer *writer) {
  for (;;) {
    bool last = take_bits(reader, 1) != 0;
    uint32_t kind = take_bits(reader, 2);
    if (reader->failed || kind == 3) return false;
    bool done = kind == 0   ? inflate_stored(reader, writer)
                : kind == 1 ? inflate_fixed(reader, writer)
                            : inflate_dynamic(reader, writer);
    if (!done) return false;
    if (last) return true;
  }
}

// Skips the optional parts of the header: extra field, name, comment, checksum. Returns 0 if the data is not gzip.
static size_t gzip_header_length(const unsigned char *data, size_t length) {
  if (length < 18 || data[0] != 0x1f || data[1] != 0x8b || data[2] != 8) return 0;
  size_t position = 10;
  if (data[3] & 4) position += 2 + (size_t)(data[10] | data[11] << 8);
  for (int flag = 8; flag <= 16; flag *= 2) {
    if (!(data[3] & flag)) continue;
    while (position < length && data[position] != 0) position++;
    position++;
  }
  if (data[3] & 2) position += 2;
  return position + 8 <= length ? position : 0;
}

static uint32_t crc32(const unsigned char *data, size_t length) {
  uint32_t crc = 0xffffffffU;
  for (size_t i = 0; i < length; i++) {
    crc ^= data[i];
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (0xedb88320U & (0U - (crc & 1)));
  }
  return ~crc;
}

ssize_t gunzip(const unsigned char *data, size_t length, size_t max, char **result) {
  size_t start = gzip_header_length(data, length);
  if (start == 0) return -1;
  struct reader reader = {.data = data + start, .length = length - start - 8};
  struct writer writer = {.max = max};
  const unsigned char *trailer = data + length - 8;
  uint32_t expected = trailer[0] | (uint32_t)trailer[1] << 8 | (uint32_t)trailer[2] << 16 |
                      (uint32_t)trailer[3] << 24;
  bool whole = inflate_all(&reader, &writer) && crc32(writer.data, writer.length) == expected;
  if (!whole || !put_byte(&writer, 0)) {
    free(writer.data);
    return -1;
  }
  *result = (char *)writer.data;
  return (ssize_t)writer.length - 1;
}
