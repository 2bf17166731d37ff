// guest: the frames of an attached connection.
#include "exec/frames.h"

#include <stdbool.h>

static size_t payload_length(const struct frame_reader *reader) {
  const unsigned char *head = reader->head;
  return (size_t)head[1] | (size_t)head[2] << 8 | (size_t)head[3] << 16;
}

static bool is_known(const struct frame_reader *reader) {
  // The length of the payload for each type. An input has any.
  static const size_t lengths[] = {[FRAME_CLOSE] = 0, [FRAME_SIZE] = 4, [FRAME_SIGNAL] = 1, [FRAME_ASK] = 0};
  unsigned type = reader->head[0];
  if (type == FRAME_INPUT) return true;
  return type > FRAME_INPUT && type <= FRAME_ASK && payload_length(reader) == lengths[type];
}

static void finish(struct frame_reader *reader) {
  reader->head_length = reader->small_length = 0;
}

static void describe(const struct frame_reader *reader, struct frame *frame) {
  const unsigned char *small = reader->small;
  *frame = (struct frame){.type = (enum frame_type)reader->head[0]};
  if (frame->type == FRAME_SIGNAL) frame->signal = small[0];
  if (frame->type != FRAME_SIZE) return;
  frame->rows = small[0] | (unsigned)small[1] << 8;
  frame->columns = small[2] | (unsigned)small[3] << 8;
}

enum frame_result frame_read(struct frame_reader *reader, const char *bytes, size_t length, size_t *done,
                             struct frame *frame) {
  *done = 0;
  for (;;) {
    if (reader->head_length < FRAME_HEAD_BYTES) {
      if (*done == length) return FRAME_MORE;
      reader->head[reader->head_length++] = (unsigned char)bytes[(*done)++];
      if (reader->head_length < FRAME_HEAD_BYTES) continue;
      if (!is_known(reader)) return FRAME_BAD;
      reader->left = payload_length(reader);
    }
    if (reader->head[0] == FRAME_INPUT) {
      if (reader->left == 0) {
        finish(reader);
        continue;
      }
      if (*done == length) return FRAME_MORE;
      size_t rest = length - *done;
      *frame = (struct frame){.type = FRAME_INPUT, .input_length = rest < reader->left ? rest : reader->left};
      return FRAME_IS_INPUT;
    }
    if (reader->left == 0) {
      describe(reader, frame);
      finish(reader);
      return FRAME_IS_WHOLE;
    }
    if (*done == length) return FRAME_MORE;
    reader->small[reader->small_length++] = (unsigned char)bytes[(*done)++];
    reader->left--;
  }
}

void frame_took(struct frame_reader *reader, size_t length) {
  reader->left -= length;
}

void frame_write_head(char *out, enum frame_answer type, size_t length) {
  out[0] = (char)type;
  for (int i = 0; i < 3; i++) out[1 + i] = (char)(length >> (8 * i));
}

void frame_write_number(char *out, uint64_t number) {
  for (int i = 0; i < 8; i++) out[i] = (char)(number >> (8 * i));
}
