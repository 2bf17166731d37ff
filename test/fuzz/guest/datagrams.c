// fuzz: datagrams on a connection to a UDP port. Whatever pieces they come in, each arrives, whole and in order. An
// input is pieces: a length, and whether that many bytes are the next of a datagram as it should be or of the input.
#include <sys/socket.h>

#define send sent_datagram
static ssize_t sent_datagram(int fd, const void *data, size_t length, int flags);
#include "http/datagrams.c"
#undef send

#include "fuzz.h"

#define STREAM_BYTES_MAX (4 * FLOW_BYTES)

static unsigned char stream[STREAM_BYTES_MAX];
static size_t said, delivered;

void connection_close(void *context) {
  (void)context;
}

void connection_answer_error(struct connection *connection, int status, const char *reason, const char *why) {
  (void)connection;
  (void)status;
  (void)reason;
  (void)why;
}

void connection_answer_upgrade(struct connection *connection) {
  (void)connection;
}

void loop_add(struct source *source, int fd, uint32_t events, fd_callback callback, void *context) {
  *source = (struct source){fd, events, callback, context};
}

void loop_change(struct source *source, uint32_t events) {
  source->events = events;
}

void loop_timer(int delay_ms, timer_callback callback, void *context) {
  (void)delay_ms;
  (void)callback;
  (void)context;
}

static ssize_t sent_datagram(int fd, const void *data, size_t length, int flags) {
  (void)fd;
  (void)flags;
  REQUIRE(delivered + PREFIX_BYTES + length <= said);
  REQUIRE(length == ((size_t)stream[delivered] << 8 | stream[delivered + 1]));
  REQUIRE(memcmp(stream + delivered + PREFIX_BYTES, data, length) == 0);
  delivered += PREFIX_BYTES + length;
  return (ssize_t)length;
}

static void say_piece(struct input *input) {
  size_t length = take_number(input);
  bool own = take_byte(input) % 2 == 0;
  for (size_t i = 0; i < length && said < STREAM_BYTES_MAX; i++) {
    stream[said++] = own ? 0xff : take_byte(input);
  }
}

// All that is complete has been delivered.
static bool is_settled(void) {
  size_t rest = said - delivered;
  return rest < PREFIX_BYTES ||
         rest < PREFIX_BYTES + ((size_t)stream[delivered] << 8 | stream[delivered + 1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct input input = {data, size};
  struct flow flow;
  int pair[2];
  said = delivered = 0;
  if (!flow_init(&flow, FLOW_BYTES) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) < 0) abort();
  flow.start = flow.end = 0;
  flow.ended = false;
  while (input.size > 0) {
    size_t before = said;
    say_piece(&input);
    for (size_t at = before; at < said;) {
      ssize_t count = write(pair[1], stream + at, said - at);
      REQUIRE(count > 0 || errno == EAGAIN);
      if (count > 0) at += (size_t)count;
      for (int i = 0; i < 8; i++) {
        REQUIRE(flow_fill(&flow, pair[0]));
        send_datagrams(&flow, -1);
        REQUIRE(flow.start == 0 && flow.end <= flow.size);
      }
    }
    REQUIRE(is_settled());
  }
  close(pair[0]);
  close(pair[1]);
  free(flow.data);
  return 0;
}
