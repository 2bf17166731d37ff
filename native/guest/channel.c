// guest: streams over a virtio-serial port. README.md in this folder describes the frames. Each stream is a socket pair: one
// end is here, the other end is a connection of the HTTP server like any other.
#include "channel.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/files.h"
#include "base/loop.h"
#include "http/server.h"

#define AGENT_PORT_NAME "volant.agent"
#define HEADER_BYTES 8
#define PAYLOAD_BYTES_MAX 4096
#define NONCE_BYTES 16
#define WINDOW_BYTES 65536
#define STREAMS_MAX 88
#define OUT_BYTES (4 * WINDOW_BYTES)
// Frames that are written together: the port takes 32 KiB at once.
#define FRAMES_TOGETHER 7
#define FIND_EVERY_MS 50
#define CHANGED_RETRY_MS 500
// The port is also read at this interval, because a wake-up that got lost would stop the channel.
#define LOOK_EVERY_MS 2000

enum frame { NOP, HELLO, HELLO_ACK, OPEN, DATA, WINDOW, END, RESET, CHANGED, RESULT };

static const char magic[] = "VOLANT01";

struct stream {
  bool used;
  uint32_t number;
  struct source source;
  uint32_t credit;      // bytes that we may still send
  uint32_t uncredited;  // bytes that we have passed on and not yet granted again
  bool host_ended, ours_ended;
  size_t start, end;  // the bytes of `pending` that the HTTP server has not taken yet
  char pending[WINDOW_BYTES];
};

static struct source port;
static int port_fd = -1;
static struct stream *streams[STREAMS_MAX];
static unsigned char in[HEADER_BYTES + PAYLOAD_BYTES_MAX];
static size_t in_length;
static unsigned char out[OUT_BYTES];
static size_t out_length;
static bool in_step;
static unsigned char session[NONCE_BYTES];

static void on_stream(void *context, uint32_t events);

// ---- sending

static void flush(void) {
  while (out_length > 0) {
    ssize_t count = write(port_fd, out, out_length);
    if (count <= 0) return;
    out_length -= (size_t)count;
    memmove(out, out + count, out_length);
  }
}

// Frames with data that fit, and leave room for others.
static size_t room_for_data(void) {
  size_t room = sizeof out - out_length;
  return room < 1024 ? 0 : (room - 1024) / (HEADER_BYTES + PAYLOAD_BYTES_MAX);
}

static void write_header(unsigned char *to, enum frame type, uint32_t number, size_t length) {
  to[0] = (unsigned char)type;
  to[1] = 0;
  to[2] = (unsigned char)length;
  to[3] = (unsigned char)(length >> 8);
  for (int i = 0; i < 4; i++) to[4 + i] = (unsigned char)(number >> (8 * i));
}

// Returns false if there is no room. Frames with data leave room for other frames: see room_for_data.
static bool send_frame(enum frame type, uint32_t number, const void *payload, size_t length) {
  if (sizeof out - out_length < HEADER_BYTES + length) return false;
  unsigned char *to = out + out_length;
  write_header(to, type, number, length);
  if (length > 0) memcpy(to + HEADER_BYTES, payload, length);
  out_length += HEADER_BYTES + length;
  flush();
  return true;
}

// Grants the host the bytes that were passed on. Without room it is done later, because a lost grant would stop the stream.
static void send_window(struct stream *stream) {
  unsigned char payload[4];
  for (int i = 0; i < 4; i++) payload[i] = (unsigned char)(stream->uncredited >> (8 * i));
  if (send_frame(WINDOW, stream->number, payload, sizeof payload)) stream->uncredited = 0;
}

// ---- streams

static void forget(struct stream *stream) {
  for (int i = 0; i < STREAMS_MAX; i++) {
    if (streams[i] != stream) continue;
    streams[i] = NULL;
    loop_remove(&stream->source);
    close(stream->source.fd);
    free(stream);
    return;
  }
}

static void forget_all(void) {
  for (int i = 0; i < STREAMS_MAX; i++) {
    if (streams[i] != NULL) forget(streams[i]);
  }
}

static struct stream *find(uint32_t number) {
  for (int i = 0; i < STREAMS_MAX; i++) {
    if (streams[i] != NULL && streams[i]->number == number) return streams[i];
  }
  return NULL;
}

static void open_stream(uint32_t number) {
  int pair[2];
  for (int i = 0; i < STREAMS_MAX; i++) {
    if (streams[i] != NULL) continue;
    struct stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
      free(stream);
      break;
    }
    stream->number = number;
    stream->credit = WINDOW_BYTES;
    streams[i] = stream;
    set_nonblocking(pair[0]);
    loop_add(&stream->source, pair[0], EPOLLIN, on_stream, stream);
    http_serve(pair[1], true);
    return;
  }
  send_frame(RESET, number, NULL, 0);
}

static void watch(struct stream *stream) {
  bool reads = !stream->ours_ended && stream->credit > 0 && room_for_data() > 0;
  loop_change(&stream->source, (reads ? EPOLLIN : 0) | (stream->start < stream->end ? EPOLLOUT : 0));
}

// Reads what the HTTP server has written into the payloads of frames, as many as there is credit and room for.
static ssize_t read_payloads(const struct stream *stream, unsigned char *to) {
  struct iovec payloads[FRAMES_TOGETHER];
  size_t room = room_for_data(), left = stream->credit;
  int used = 0;
  for (; used < FRAMES_TOGETHER && (size_t)used < room && left > 0; used++) {
    size_t length = left < PAYLOAD_BYTES_MAX ? left : PAYLOAD_BYTES_MAX;
    payloads[used] = (struct iovec){to + HEADER_BYTES, length};
    to += HEADER_BYTES + PAYLOAD_BYTES_MAX;
    left -= length;
  }
  return readv(stream->source.fd, payloads, used);
}

// From the HTTP server to the host.
static bool send_up(struct stream *stream) {
  while (!stream->ours_ended && stream->credit > 0 && room_for_data() > 0) {
    unsigned char *to = out + out_length;
    ssize_t count = read_payloads(stream, to);
    if (count < 0) return errno == EAGAIN;
    if (count == 0) {
      stream->ours_ended = true;
      send_frame(END, stream->number, NULL, 0);
      return true;
    }
    stream->credit -= (uint32_t)count;
    for (size_t left = (size_t)count; left > 0;) {
      size_t length = left < PAYLOAD_BYTES_MAX ? left : PAYLOAD_BYTES_MAX;
      write_header(to, DATA, stream->number, length);
      to += HEADER_BYTES + length;
      left -= length;
    }
    out_length = (size_t)(to - out);
    flush();
  }
  return true;
}

// From the host to the HTTP server.
static bool send_down(struct stream *stream) {
  while (stream->start < stream->end) {
    ssize_t count = send(stream->source.fd, stream->pending + stream->start,
                         stream->end - stream->start, MSG_NOSIGNAL);
    if (count < 0) return errno == EAGAIN;
    stream->start += (size_t)count;
    stream->uncredited += (uint32_t)count;
  }
  stream->start = stream->end = 0;
  if (stream->uncredited >= WINDOW_BYTES / 4) send_window(stream);
  if (stream->host_ended) shutdown(stream->source.fd, SHUT_WR);
  return true;
}

static void move(struct stream *stream) {
  if (!send_down(stream) || !send_up(stream)) {
    send_frame(RESET, stream->number, NULL, 0);
    forget(stream);
  } else if (stream->ours_ended && stream->host_ended && stream->end == 0) {
    forget(stream);
  } else {
    watch(stream);
  }
}

static void on_stream(void *context, uint32_t events) {
  struct stream *stream = context;
  if (stream->ours_ended && (events & (EPOLLHUP | EPOLLERR)) != 0) {
    // Our side has ended, and nobody reads what the host still sends.
    send_frame(RESET, stream->number, NULL, 0);
    forget(stream);
    return;
  }
  move(stream);
}

static void take_data(struct stream *stream, const unsigned char *payload, size_t length) {
  if (stream->start > 0) {
    stream->end -= stream->start;
    memmove(stream->pending, stream->pending + stream->start, stream->end);
    stream->start = 0;
  }
  // More than the window. The host violates the protocol.
  if (length > sizeof stream->pending - stream->end) {
    send_frame(RESET, stream->number, NULL, 0);
    forget(stream);
    return;
  }
  memcpy(stream->pending + stream->end, payload, length);
  stream->end += length;
  // The rest when all that has come is taken.
  if (stream->end >= WINDOW_BYTES / 4) move(stream);
}

static void take_window(struct stream *stream, const unsigned char *payload) {
  uint32_t more = payload[0] | (uint32_t)payload[1] << 8 | (uint32_t)payload[2] << 16 | (uint32_t)payload[3] << 24;
  // More than was sent. The host violates the protocol.
  if (more > WINDOW_BYTES - stream->credit) {
    send_frame(RESET, stream->number, NULL, 0);
    forget(stream);
    return;
  }
  stream->credit += more;
  move(stream);
}

// ---- receiving

static void take_hello(const unsigned char *payload, size_t length) {
  if (length != sizeof magic - 1 + NONCE_BYTES || memcmp(payload, magic, sizeof magic - 1) != 0) return;
  const unsigned char *nonce = payload + sizeof magic - 1;
  // The same nonce is a repetition. A new nonce is a new daemon.
  if (!in_step || memcmp(session, nonce, NONCE_BYTES) != 0) {
    forget_all();
    out_length = 0;
    memcpy(session, nonce, NONCE_BYTES);
    in_step = true;
  }
  send_frame(HELLO_ACK, 0, nonce, NONCE_BYTES);
}

static void take_frame(enum frame type, uint32_t number, const unsigned char *payload, size_t length) {
  if (type == HELLO) return take_hello(payload, length);
  if (!in_step) return;
  struct stream *stream = find(number);
  if (type == OPEN && stream == NULL) return open_stream(number);
  if (stream == NULL) return;
  if (type == DATA) {
    take_data(stream, payload, length);
  } else if (type == WINDOW && length == 4) {
    take_window(stream, payload);
  } else if (type == END) {
    stream->host_ended = true;
    move(stream);
  } else if (type == RESET) {
    forget(stream);
  }
}

// Removes one frame from the front of `in`. Returns false if it is not complete.
static bool take_next(void) {
  if (in_length == 0) return false;
  size_t used = 1;
  if (in[0] != NOP) {
    if (in_length < HEADER_BYTES) return false;
    size_t length = in[2] | (size_t)in[3] << 8;
    if (length <= PAYLOAD_BYTES_MAX && in[0] <= RESET) {
      used = HEADER_BYTES + length;
      if (in_length < used) return false;
      uint32_t number = in[4] | (uint32_t)in[5] << 8 | (uint32_t)in[6] << 16 | (uint32_t)in[7] << 24;
      take_frame((enum frame)in[0], number, in + HEADER_BYTES, length);
    }
    // Otherwise the byte begins no frame and is skipped, until the zeros before a HELLO.
  }
  in_length -= used;
  memmove(in, in + used, in_length);
  return true;
}

static void reset(void) {
  in_length = 0;
  out_length = 0;
  in_step = false;
  forget_all();
}

static void on_port(void *context, uint32_t events) {
  (void)context;
  (void)events;
  for (;;) {
    ssize_t count = read(port_fd, in + in_length, sizeof in - in_length);
    // 0 means that no host is connected.
    if (count == 0 && (in_step || in_length > 0)) reset();
    if (count <= 0) break;
    in_length += (size_t)count;
    while (take_next()) continue;
  }
  flush();
  for (int i = 0; i < STREAMS_MAX; i++) {
    if (streams[i] != NULL) move(streams[i]);
  }
}

static void look(void *context) {
  on_port(context, 0);
  loop_timer(LOOK_EVERY_MS, look, NULL);
}

static int open_port(void) {
  DIR *directory = opendir("/sys/class/virtio-ports");
  int fd = -1;
  struct dirent *entry;
  while (directory != NULL && fd < 0 && (entry = readdir(directory)) != NULL) {
    char path[300], name[64];
    snprintf(path, sizeof path, "/sys/class/virtio-ports/%.200s/name", entry->d_name);
    if (entry->d_name[0] == '.' || read_file(path, name, sizeof name) < 0) continue;
    name[strcspn(name, "\n")] = '\0';
    if (strcmp(name, AGENT_PORT_NAME) != 0) continue;
    snprintf(path, sizeof path, "/dev/%.200s", entry->d_name);
    fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  }
  if (directory != NULL) closedir(directory);
  return fd;
}

static void try_open(void *context) {
  (void)context;
  port_fd = open_port();
  if (port_fd < 0) {
    // A port appears some time after its driver was loaded.
    loop_timer(FIND_EVERY_MS, try_open, NULL);
    return;
  }
  // Edge-triggered, because a port without a host reports a hang-up all the time.
  loop_add(&port, port_fd, EPOLLIN | EPOLLOUT | EPOLLET, on_port, NULL);
  look(NULL);
}

void channel_open(void) {
  try_open(NULL);
}

static void send_changed(void *context) {
  (void)context;
  // A host that connects later asks without a notice.
  if (in_step && !send_frame(CHANGED, 0, NULL, 0)) loop_timer(CHANGED_RETRY_MS, send_changed, NULL);
}

void channel_send_changed(void) {
  send_changed(NULL);
}

static void send_result(void *context) {
  (void)context;
  if (in_step && !send_frame(RESULT, 0, NULL, 0)) loop_timer(CHANGED_RETRY_MS, send_result, NULL);
}

void channel_send_result(void) {
  send_result(NULL);
}
