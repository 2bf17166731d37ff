// guest: heads of HTTP/1 messages. Pure: nothing here reads or writes a descriptor.
#include "base/heads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

// Whether each CR is followed by LF and each LF follows a CR. Programs disagree about other line ends, and a request must
// have the same lines for all of them.
static bool has_plain_lines(const char *head) {
  for (const char *at = head; (at = strpbrk(at, "\r\n")) != NULL; at += 2) {
    if (at[0] != '\r' || at[1] != '\n') return false;
    if (at[2] == '\r' && at[3] == '\n') return true;
  }
  return false;
}

bool head_read_request(const char *head, struct request *request) {
  size_t method = strspn(head, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
  if (method == 0 || method >= sizeof request->method || head[method] != ' ') return false;
  const char *target = head + method + 1;
  size_t length = strcspn(target, " \r\n");
  if (target[0] != '/' || length >= sizeof request->target) return false;
  const char *version = target + length;
  if (strncmp(version, " HTTP/1.", 8) != 0 || (version[8] != '0' && version[8] != '1')) return false;
  if (strncmp(version + 9, "\r\n", 2) != 0 || !has_plain_lines(version + 9)) return false;
  memcpy(request->method, head, method);
  request->method[method] = '\0';
  memcpy(request->target, target, length);
  request->target[length] = '\0';
  request->path_length = strcspn(request->target, "?");
  return true;
}

bool head_value(const char *head, const char *name, char *value, size_t size) {
  size_t name_length = strlen(name);
  for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
    line += 2;
    if (strncmp(line, "\r\n", 2) == 0) return false;
    if (strncasecmp(line, name, name_length) != 0 || line[name_length] != ':') continue;
    const char *start = line + name_length + 1;
    while (*start == ' ' || *start == '\t') start++;
    size_t length = strcspn(start, "\r");
    if (length >= size) length = size - 1;
    memcpy(value, start, length);
    value[length] = '\0';
    return true;
  }
  return false;
}

static bool contains_word(const char *text, const char *word) {
  for (const char *at = text; (at = strcasestr(at, word)) != NULL; at++) {
    if (at == text || strchr(", \t", at[-1]) != NULL) return true;
  }
  return false;
}

// The number of headers with this name. Returns -1 if a name ends in a space or a line is folded: programs interpret such
// heads differently (RFC 9112, section 5).
static int count_headers(const char *head, const char *name) {
  int count = 0;
  size_t name_length = strlen(name);
  for (const char *line = strstr(head, "\r\n") + 2; strncmp(line, "\r\n", 2) != 0; line = strstr(line, "\r\n") + 2) {
    size_t length = strcspn(line, ":\r \t");
    if (line[length] != ':') return -1;
    if (length == name_length && strncasecmp(line, name, length) == 0) count++;
  }
  return count;
}

bool head_read_body(const char *head, struct request_body *body) {
  char coding[64], length[32], upgrade[64];
  bool has_coding = head_value(head, "Transfer-Encoding", coding, sizeof coding);
  bool has_length = head_value(head, "Content-Length", length, sizeof length);
  int lengths = count_headers(head, "Content-Length"), codings = count_headers(head, "Transfer-Encoding");
  // Programs disagree about which of several lengths is valid (RFC 9112, section 6.1).
  if (lengths < 0 || lengths + codings > 1) return false;
  size_t digits = has_length ? strspn(length, "0123456789") : 0;
  if (has_length && (digits == 0 || digits > 18 || length[digits + strspn(length + digits, " \t")] != '\0')) {
    return false;
  }
  body->length = has_coding ? SIZE_MAX : has_length ? strtoull(length, NULL, 10) : 0;
  // An upgrade to HTTP/2 without TLS is not passed on: later requests of the connection would not be rewritten.
  body->switches = body->length == 0 && head_value(head, "Upgrade", upgrade, sizeof upgrade) &&
                   !contains_word(upgrade, "h2c");
  return true;
}

static bool is_hop_header(const char *line, bool switches) {
  static const char *const always[] = {"host:", "keep-alive:", "proxy-connection:", "x-volant-api-key:",
                                       "http2-settings:"};
  static const char *const otherwise[] = {"connection:", "upgrade:"};
  for (size_t i = 0; i < sizeof always / sizeof *always; i++) {
    if (strncasecmp(line, always[i], strlen(always[i])) == 0) return true;
  }
  for (size_t i = 0; i < sizeof otherwise / sizeof *otherwise && !switches; i++) {
    if (strncasecmp(line, otherwise[i], strlen(otherwise[i])) == 0) return true;
  }
  return false;
}

size_t head_for_workload(const char *head, const struct place *place, const char *method, const char *path,
                         bool switches, char *out, size_t size) {
  const char *rest = path[0] == '\0' ? "/" : path;
  // A client of HTTP/1.0 does not know chunks, so the workload is asked with the version of the client.
  char minor = strstr(head, "\r\n")[-1];
  int length = snprintf(out, size, "%s %s%s%s HTTP/1.%c\r\nHost: %s:%u\r\n%s", method, place->prefix,
                        rest[0] == '?' ? "/" : "", rest, minor, place->host, place->port,
                        switches ? "" : "Connection: close\r\n");
  if (length < 0 || (size_t)length >= size) return 0;
  size_t used = (size_t)length;
  const char *line = strstr(head, "\r\n") + 2;
  while (strncmp(line, "\r\n", 2) != 0) {
    // strstr finds an end of line, because the head ends with an empty line.
    size_t line_length = (size_t)(strstr(line, "\r\n") - line) + 2;
    if (!is_hop_header(line, switches)) {
      if (used + line_length + 2 >= size) return 0;
      memcpy(out + used, line, line_length);
      used += line_length;
    }
    line += line_length;
  }
  if (used + 2 > size) return 0;
  memcpy(out + used, "\r\n", 2);
  return used + 2;
}

size_t head_take_answer(struct answer_head *head, const char *from, size_t length, char *out) {
  size_t used = 0;
  for (size_t i = 0; i < length; i++) {
    char byte = from[i];
    if (head->start_length + 1 < sizeof head->start) head->start[head->start_length++] = byte;
    if (!head->complete && byte == '\n') {
      if (head->last != '\r') out[used++] = '\r';
      head->complete = head->line_is_empty;
      head->line_is_empty = true;
    } else if (byte != '\r' || head->last == '\r') {
      head->line_is_empty = false;
    }
    out[used++] = head->last = byte;
  }
  return used;
}

bool head_switches(const struct answer_head *head) {
  return head->complete && strncmp(head->start, "HTTP/1.", 7) == 0 && strcmp(head->start + 8, " 101") == 0;
}

bool head_is_success(const char *answer, size_t length) {
  // "HTTP/1.1 2xx": the class of the status is at index 9.
  return length > 9 && strncmp(answer, "HTTP/1.", 7) == 0 && answer[9] == '2';
}
