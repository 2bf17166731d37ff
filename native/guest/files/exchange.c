// guest: one request about files and its answer, as a process of its own sees them: it waits for what is slow, and ends with
// its answer. There is one exchange in each process.
#include "files/exchange.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/heads.h"
#include "base/text.h"

// A client that takes or sends nothing for this time is gone.
#define SILENCE_SECONDS 300
// After its answer the process waits this long for the end of the client, because what a socket has unread when it is closed
// could cost the client the end of the answer.
#define LINGER_SECONDS 5
#define HEADERS_BYTES 4096
#define CHUNK_LINE_BYTES 32

static int client;
static const char *request_head;
static bool is_head;

static unsigned char in[PIECE_BYTES];
static size_t in_start, in_end;
static bool body_chunked, body_ended;
static unsigned long long body_left;  // of the body, or of the current chunk
static void (*on_failure)(void);

static char headers[HEADERS_BYTES];
static size_t headers_length;
static bool answer_begun, answer_chunked;
static char out[PIECE_BYTES + 2 * CHUNK_LINE_BYTES];
static size_t out_length;  // of the current chunk

static void set_timeout(int seconds) {
  struct timeval timeout = {.tv_sec = seconds};
  setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
}

__attribute__((noreturn)) static void give_up(void) {
  if (on_failure != NULL) on_failure();
  _exit(1);
}

void exchange_on_failure(void (*clean)(void)) {
  on_failure = clean;
}

void exchange_begin(int fd, const char *head, size_t head_length, size_t length) {
  client = fd;
  request_head = head;
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
  set_timeout(SILENCE_SECONDS);
  is_head = strncmp(head, "HEAD ", 5) == 0;
  in_end = length - head_length;
  memcpy(in, head + head_length, in_end);
  struct request_body body;
  if (!head_read_body(head, &body)) exchange_fail(400, "PARAMETER_INVALID", NULL, "the length of the body is not clear");
  body_chunked = body.length == SIZE_MAX;
  body_left = body_chunked ? 0 : body.length;
  body_ended = !body_chunked && body_left == 0;
}

bool exchange_is_head(void) {
  return is_head;
}

bool exchange_header(const char *name, char *value, size_t size) {
  return head_value(request_head, name, value, size);
}

// ---- the body of the request

// Reads more. The end of the client here aborts the body.
static void fill(void) {
  if (in_start == in_end) in_start = in_end = 0;
  if (in_start > 0) {
    memmove(in, in + in_start, in_end - in_start);
    in_end -= in_start;
    in_start = 0;
  }
  ssize_t count;
  do {
    count = read(client, in + in_end, sizeof in - in_end);
  } while (count < 0 && errno == EINTR);
  if (count <= 0) give_up();
  in_end += (size_t)count;
}

// Takes a line without its CRLF.
static void take_line(char *line, size_t size) {
  for (;;) {
    unsigned char *end = memchr(in + in_start, '\n', in_end - in_start);
    if (end != NULL) {
      size_t length = (size_t)(end - (in + in_start));
      if (length == 0 || end[-1] != '\r' || length > size) give_up();
      memcpy(line, in + in_start, length - 1);
      line[length - 1] = '\0';
      in_start += length + 1;
      return;
    }
    if (in_end - in_start >= size) give_up();
    fill();
  }
}

// The daemon writes chunks without extensions and trailers.
static void take_chunk_head(void) {
  char line[CHUNK_LINE_BYTES], *end;
  take_line(line, sizeof line);
  body_left = strtoull(line, &end, 16);
  if (end == line || end - line > 15 || (*end != '\0' && *end != ';')) give_up();
  if (body_left > 0) return;
  take_line(line, sizeof line);
  if (line[0] != '\0') give_up();
  body_ended = true;
}

size_t exchange_read(void *buffer, size_t size) {
  if (!body_ended && body_chunked && body_left == 0) take_chunk_head();
  if (body_ended || size == 0) return 0;
  if (in_start == in_end) fill();
  size_t count = in_end - in_start;
  if (count > size) count = size;
  if (count > body_left) count = (size_t)body_left;
  memcpy(buffer, in + in_start, count);
  in_start += count;
  body_left -= count;
  if (body_left == 0 && body_chunked) {
    char line[CHUNK_LINE_BYTES];
    take_line(line, sizeof line);
    if (line[0] != '\0') give_up();
  } else if (body_left == 0) {
    body_ended = true;
  }
  return count;
}

// ---- the answer

static void send_all(const char *data, size_t length) {
  while (length > 0) {
    ssize_t count = send(client, data, length, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) give_up();
    data += count;
    length -= (size_t)count;
  }
}

void exchange_add_header(const char *name, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int length = snprintf(headers + headers_length, sizeof headers - headers_length, "%s: ", name);
  length += vsnprintf(headers + headers_length + length, sizeof headers - headers_length - (size_t)length, format, arguments);
  va_end(arguments);
  headers_length += (size_t)length;
  headers_length += (size_t)snprintf(headers + headers_length, sizeof headers - headers_length, "\r\n");
}

void exchange_begin_answer(int status, const char *reason, const char *type, long long length) {
  char head[HEADERS_BYTES + 512], framing[64];
  answer_begun = true;
  answer_chunked = length < 0;
  if (answer_chunked) snprintf(framing, sizeof framing, "Transfer-Encoding: chunked");
  else snprintf(framing, sizeof framing, "Content-Length: %lld", length);
  bool has_body = status != 204 && status != 304;
  int used = snprintf(head, sizeof head, "HTTP/1.1 %d %s\r\n%s%s%s%s%s%.*sConnection: close\r\n\r\n", status, reason,
                      has_body ? "Content-Type: " : "", has_body ? type : "", has_body ? "\r\n" : "",
                      has_body ? framing : "", has_body ? "\r\n" : "", (int)headers_length, headers);
  send_all(head, (size_t)used);
}

static void send_chunk(void) {
  if (out_length == 0) return;
  char line[CHUNK_LINE_BYTES];
  int length = snprintf(line, sizeof line, "%zx\r\n", out_length);
  // The data begins behind the room for its line, so that one call sends both.
  char *start = out + CHUNK_LINE_BYTES - length;
  memcpy(start, line, (size_t)length);
  memcpy(out + CHUNK_LINE_BYTES + out_length, "\r\n", 2);
  send_all(start, (size_t)length + out_length + 2);
  out_length = 0;
}

void exchange_write(const void *data, size_t length) {
  if (is_head) return;
  if (!answer_chunked) return send_all(data, length);
  const char *from = data;
  while (length > 0) {
    size_t count = PIECE_BYTES - out_length;
    if (count > length) count = length;
    memcpy(out + CHUNK_LINE_BYTES + out_length, from, count);
    out_length += count;
    from += count;
    length -= count;
    if (out_length == PIECE_BYTES) send_chunk();
  }
}

void exchange_flush(void) {
  if (answer_chunked && !is_head) send_chunk();
}

bool exchange_wait(int fd, int timeout_ms) {
  struct pollfd both[] = {{.fd = client, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
  if (poll(both, 2, timeout_ms) < 0) return false;
  // What a client still sends is not asked for.
  if (both[0].revents != 0 && read(client, in, sizeof in) <= 0) give_up();
  return both[1].revents != 0;
}

void exchange_end(void) {
  if (answer_chunked && !is_head) {
    send_chunk();
    send_all("0\r\n\r\n", 5);
  }
  shutdown(client, SHUT_WR);
  set_timeout(LINGER_SECONDS);
  while (read(client, in, sizeof in) > 0) continue;
  _exit(0);
}

void exchange_break(void) {
  // What is sent already goes out, without the mark of the end.
  give_up();
}

void exchange_answer(int status, const char *reason, const char *type, const char *body) {
  size_t length = strlen(body);
  exchange_begin_answer(status, reason, type, (long long)length);
  if (status != 204 && status != 304) exchange_write(body, length);
  exchange_end();
}

void exchange_fail(int status, const char *code, const char *subject, const char *why) {
  char body[1024];
  if (answer_begun) exchange_break();
  if (on_failure != NULL) on_failure();
  size_t length = (size_t)snprintf(body, sizeof body, "{\"error\":\"");
  // Room is left for the rest.
  if (subject != NULL) {
    length = json_escape(body, sizeof body - 320, length, subject, strlen(subject));
    length += (size_t)snprintf(body + length, sizeof body - length, ": ");
  }
  length = json_escape(body, sizeof body - 64, length, why, strlen(why));
  snprintf(body + length, sizeof body - length, "\",\"code\":\"%s\"}", code);
  exchange_add_header("X-Volant-Code", "%s", code);
  exchange_answer(status, "Refused", "application/json", body);
}

void exchange_fail_errno(int error, const char *subject) {
  switch (error) {
    case ENOENT:
      exchange_fail(404, "FILE_NOT_FOUND", subject, "there is no such file or directory");
    case ENAMETOOLONG:
    case ELOOP:
    case EINVAL:
      exchange_fail(400, "FILE_PATH_INVALID", subject, strerror(error));
    case ENOTDIR:
    case EISDIR:
    case ENOTEMPTY:
    case EBUSY:
      exchange_fail(409, "FILE_TYPE_CONFLICT", subject, strerror(error));
    case EEXIST:
      exchange_fail(409, "FILE_EXISTS", subject, "this file exists");
    case EPERM:
    case EACCES:
    case ETXTBSY:
      exchange_fail(403, "FILE_FORBIDDEN", subject, strerror(error));
    case EXDEV:
      exchange_fail(400, "FILE_PATH_INVALID", subject, "this leads out of the directory, or to another file system");
    case EROFS:
      exchange_fail(409, "FILE_SYSTEM_READ_ONLY", subject, "the file system is read-only");
    case EFBIG:
      exchange_fail(413, "FILE_TOO_LARGE", subject, "the file system allows no file of this size");
    case ENOSPC:
    case EDQUOT:
      exchange_fail(507, "FILE_SYSTEM_FULL", subject, "the file system has no space left");
    case ENOSYS:
      exchange_fail(409, "FILES_UNSUPPORTED", NULL, "the kernel of this guest is older than 5.6");
    default:
      exchange_fail(502, "FILE_OPERATION_FAILED", subject, strerror(error));
  }
}
