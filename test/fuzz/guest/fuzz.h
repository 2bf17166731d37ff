// fuzz: what the targets of the agent's parsers share. A target is one program: LLVMFuzzerTestOneInput with the
// sources of the agent that it is about. libFuzzer runs it, or driver.c where there is no clang.
#ifndef VOLANT_FUZZ_H
#define VOLANT_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What holds for every input. Ends the program, which is a finding.
#define REQUIRE(condition)                                                          \
  do {                                                                              \
    if (!(condition)) {                                                             \
      fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
      abort();                                                                      \
    }                                                                               \
  } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// The bytes of an input, one after the other; zeros behind its end.
struct input {
  const uint8_t *data;
  size_t size;
};

static inline uint8_t take_byte(struct input *input) {
  if (input->size == 0) return 0;
  input->size--;
  return *input->data++;
}

static inline unsigned take_number(struct input *input) {
  unsigned high = take_byte(input);
  return high << 8 | take_byte(input);
}

// A copy of exactly its size with a NUL, so that a byte read behind it is found.
static inline char *copy_text(const uint8_t *data, size_t size) {
  char *text = malloc(size + 1);
  if (text == NULL) abort();
  if (size > 0) memcpy(text, data, size);
  text[size] = '\0';
  return text;
}

#endif
