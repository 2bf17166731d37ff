// guest: what the daemon sends to an exec on a connection that is attached to it, as frames. README.md in native/guest
// describes them. Pure: nothing here reads or writes a descriptor.
#ifndef VOLANT_GUEST_FRAMES_H
#define VOLANT_GUEST_FRAMES_H

#include <stddef.h>
#include <stdint.h>

#define FRAME_HEAD_BYTES 4
#define FRAME_SMALL_BYTES_MAX 4

// From the daemon.
enum frame_type { FRAME_INPUT = 1, FRAME_CLOSE, FRAME_SIZE, FRAME_SIGNAL, FRAME_ASK };
// To the daemon.
enum frame_answer { FRAME_STDOUT = 1, FRAME_STDERR, FRAME_TAKEN, FRAME_END };

enum frame_result {
  FRAME_MORE,      // more bytes are needed
  FRAME_BAD,       // no frame begins with these bytes
  FRAME_IS_INPUT,  // bytes for standard input
  FRAME_IS_WHOLE,  // another frame, complete
};

struct frame_reader {
  unsigned char head[FRAME_HEAD_BYTES];
  size_t head_length;
  size_t left;  // of the payload
  unsigned char small[FRAME_SMALL_BYTES_MAX];
  size_t small_length;
};

struct frame {
  enum frame_type type;
  unsigned rows, columns, signal;
  size_t input_length;  // FRAME_IS_INPUT: how many of the bytes behind those that are done belong to it
};

// Reads on. `*done` is how many bytes need not be given again. Those of an input are not among them: the caller takes some,
// and says with frame_took how many.
enum frame_result frame_read(struct frame_reader *reader, const char *bytes, size_t length, size_t *done,
                             struct frame *frame);
// Must be called after FRAME_IS_INPUT, if bytes were taken.
void frame_took(struct frame_reader *reader, size_t length);
// Writes the head of a frame to the daemon.
void frame_write_head(char *out, enum frame_answer type, size_t length);
// Writes a number as 8 bytes, little-endian.
void frame_write_number(char *out, uint64_t number);

#endif
