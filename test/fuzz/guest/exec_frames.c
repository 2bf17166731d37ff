// fuzz: the frames that a connection to an exec carries. Whatever pieces they come in, the same frames and the same input are
// read. An input is the bytes of a connection, and the first of them says how they are cut.
#include <stdbool.h>

#include "exec/frames.h"
#include "fuzz.h"

#define FRAMES_MAX 4096
#define INPUT_BYTES_MAX 8192

struct outcome {
  struct frame frames[FRAMES_MAX];
  size_t frame_count;
  char input[INPUT_BYTES_MAX];
  size_t input_length;
  bool is_bad;
};

// Gives the bytes in pieces, each of which is copied to a place of its own, so that a byte read behind it is found.
static void read_in_pieces(const uint8_t *data, size_t size, size_t piece_max, size_t take_max, struct outcome *outcome) {
  struct frame_reader reader = {0};
  memset(outcome, 0, sizeof *outcome);
  for (size_t at = 0; at < size;) {
    size_t length = size - at < piece_max ? size - at : piece_max;
    char *piece = malloc(length);
    if (piece == NULL) abort();
    memcpy(piece, data + at, length);
    for (size_t used = 0;;) {
      size_t done;
      struct frame frame;
      enum frame_result result = frame_read(&reader, piece + used, length - used, &done, &frame);
      REQUIRE(done <= length - used);
      used += done;
      if (result == FRAME_BAD) {
        outcome->is_bad = true;
        free(piece);
        return;
      }
      if (result == FRAME_MORE) {
        REQUIRE(used == length);
        break;
      }
      if (result == FRAME_IS_WHOLE) {
        REQUIRE(frame.type != FRAME_INPUT && frame.type <= FRAME_ASK);
        if (outcome->frame_count < FRAMES_MAX) outcome->frames[outcome->frame_count++] = frame;
        continue;
      }
      REQUIRE(frame.input_length > 0 && frame.input_length <= length - used);
      // A program may take less than there is.
      size_t taken = frame.input_length < take_max ? frame.input_length : take_max;
      for (size_t i = 0; i < taken; i++) {
        if (outcome->input_length < INPUT_BYTES_MAX) outcome->input[outcome->input_length++] = piece[used + i];
      }
      frame_took(&reader, taken);
      used += taken;
    }
    free(piece);
    at += length;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct outcome whole, cut;
  struct input input = {data, size};
  size_t piece_max = 1 + take_byte(&input) % 16, take_max = 1 + take_byte(&input) % 8;
  read_in_pieces(input.data, input.size, input.size + 1, input.size + 1, &whole);
  read_in_pieces(input.data, input.size, piece_max, take_max, &cut);
  REQUIRE(whole.is_bad == cut.is_bad);
  REQUIRE(whole.frame_count == cut.frame_count);
  for (size_t i = 0; i < whole.frame_count; i++) {
    const struct frame *one = &whole.frames[i], *other = &cut.frames[i];
    REQUIRE(one->type == other->type && one->signal == other->signal);
    REQUIRE(one->rows == other->rows && one->columns == other->columns);
  }
  REQUIRE(whole.input_length == cut.input_length);
  REQUIRE(memcmp(whole.input, cut.input, whole.input_length) == 0);
  return 0;
}
