// fuzz: the channel to the host. Whatever the host says, and whatever the server behind a stream does, the agent
// keeps to its bounds and says frames. An input is steps: one byte of what happens, and its operands.
#include "channel.c"

#include <poll.h>

#include "fuzz.h"

enum step { RAW, FRAME, GREETING, SERVER_WRITES, SERVER_READS, SERVER_ENDS, DEAF, STEPS };

#define PAYLOAD_FILLER 'x'

// The server's ends of streams; -1 is none.
static int served[STREAMS_MAX];
static int host_fd = -1;
static bool is_deaf;
static unsigned char heard[OUT_BYTES];
static size_t heard_length;

void http_serve(int fd, bool trusted) {
  REQUIRE(trusted);
  set_nonblocking(fd);
  for (int i = 0; i < STREAMS_MAX; i++) {
    if (served[i] >= 0) continue;
    served[i] = fd;
    return;
  }
  // The server has more connections than it can serve.
  close(fd);
}

void loop_add(struct source *source, int fd, uint32_t events, fd_callback callback, void *context) {
  *source = (struct source){fd, events, callback, context};
}

void loop_change(struct source *source, uint32_t events) {
  source->events = events;
}

void loop_remove(struct source *source) {
  source->callback = NULL;
}

void loop_timer(int delay_ms, timer_callback callback, void *context) {
  (void)delay_ms;
  (void)callback;
  (void)context;
}

// What comes while a host listens all the time are whole frames of the agent's kinds.
static void hear(void) {
  ssize_t count;
  while ((count = read(host_fd, heard + heard_length, sizeof heard - heard_length)) > 0) {
    heard_length += (size_t)count;
    size_t at = 0;
    while (heard_length - at >= HEADER_BYTES) {
      size_t length = heard[at + 2] | (size_t)heard[at + 3] << 8;
      REQUIRE(heard[at] == HELLO_ACK || heard[at] == DATA || heard[at] >= WINDOW);
      REQUIRE(heard[at] <= RESET && heard[at + 1] == 0 && length <= PAYLOAD_BYTES_MAX);
      if (heard_length - at < HEADER_BYTES + length) break;
      at += HEADER_BYTES + length;
    }
    heard_length -= at;
    memmove(heard, heard + at, heard_length);
  }
}

// As the loop does.
static void deliver(void) {
  on_port(NULL, 0);
  for (int i = 0; i < STREAMS_MAX; i++) {
    if (streams[i] == NULL || streams[i]->source.events == 0) continue;
    struct pollfd poll_fd = {.fd = streams[i]->source.fd, .events = (short)streams[i]->source.events};
    if (poll(&poll_fd, 1, 0) > 0) on_stream(streams[i], (uint32_t)poll_fd.revents);
  }
  if (!is_deaf) hear();
  REQUIRE(in_length < sizeof in && out_length <= sizeof out);
  for (int i = 0; i < STREAMS_MAX; i++) {
    if (streams[i] == NULL) continue;
    REQUIRE(streams[i]->credit <= WINDOW_BYTES && streams[i]->uncredited <= 2 * WINDOW_BYTES);
    REQUIRE(streams[i]->start <= streams[i]->end && streams[i]->end <= WINDOW_BYTES);
  }
}

static void say_bytes(const void *bytes, size_t length) {
  // What does not fit is lost, as when a daemon is killed.
  if (write(host_fd, bytes, length) < 0) REQUIRE(errno == EAGAIN);
}

static void say_frame(struct input *input) {
  static unsigned char frame[HEADER_BYTES + PAYLOAD_BYTES_MAX];
  size_t length = take_number(input) % (PAYLOAD_BYTES_MAX + 1);
  memset(frame, PAYLOAD_FILLER, sizeof frame);
  memset(frame, 0, HEADER_BYTES);
  frame[0] = take_byte(input) % (RESET + 1);
  if (frame[0] == WINDOW) length = 4;
  frame[2] = (unsigned char)length;
  frame[3] = (unsigned char)(length >> 8);
  frame[4] = take_byte(input) % (STREAMS_MAX + 8);
  for (size_t i = 0; i < 4 && frame[0] == WINDOW; i++) frame[HEADER_BYTES + i] = take_byte(input);
  say_bytes(frame, HEADER_BYTES + length);
}

static void greet(struct input *input) {
  static unsigned char greeting[HEADER_BYTES + PAYLOAD_BYTES_MAX + HEADER_BYTES + sizeof magic - 1 + NONCE_BYTES];
  unsigned char *hello = greeting + HEADER_BYTES + PAYLOAD_BYTES_MAX;
  memset(greeting, 0, sizeof greeting);
  hello[0] = HELLO;
  hello[2] = sizeof magic - 1 + NONCE_BYTES;
  memcpy(hello + HEADER_BYTES, magic, sizeof magic - 1);
  hello[HEADER_BYTES + sizeof magic - 1] = take_byte(input);
  say_bytes(greeting, sizeof greeting);
}

static void serve(enum step step, struct input *input) {
  static char text[WINDOW_BYTES];
  int *fd = &served[take_byte(input) % STREAMS_MAX];
  size_t length = take_number(input);
  if (*fd < 0) return;
  // It may fail: the stream may be gone.
  if (step == SERVER_WRITES && send(*fd, text, length, MSG_NOSIGNAL) < 0) return;
  if (step == SERVER_READS && read(*fd, text, length) < 0) return;
  if (step != SERVER_ENDS) return;
  close(*fd);
  *fd = -1;
}

static void take_step(struct input *input) {
  enum step step = take_byte(input) % STEPS;
  if (step == RAW) {
    size_t length = take_byte(input);
    if (length > input->size) length = input->size;
    say_bytes(input->data, length);
    input->data += length;
    input->size -= length;
  } else if (step == FRAME) {
    say_frame(input);
  } else if (step == GREETING) {
    greet(input);
  } else if (step == DEAF) {
    is_deaf = true;
  } else {
    serve(step, input);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct input input = {data, size};
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) < 0) abort();
  host_fd = pair[0];
  port_fd = pair[1];
  heard_length = 0;
  is_deaf = false;
  memset(served, -1, sizeof served);
  while (input.size > 0) {
    take_step(&input);
    deliver();
  }
  reset();
  for (int i = 0; i < STREAMS_MAX; i++) {
    REQUIRE(streams[i] == NULL);
    if (served[i] >= 0) close(served[i]);
  }
  close(host_fd);
  close(port_fd);
  return 0;
}
