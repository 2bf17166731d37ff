// fuzz: heads of HTTP. What the workload gets of a request is one head with lines that all read alike, however the
// request was written; an answer becomes the same whatever pieces it comes in.
#include <strings.h>

#include "base/heads.h"
#include "fuzz.h"

static const struct place place = {"127.0.0.1", "/prefix", 8000};

// How often a header is there.
static int count_headers(const char *head, const char *name) {
  int count = 0;
  for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line + 2, "\r\n")) {
    if (strncasecmp(line + 2, name, strlen(name)) == 0 && line[2 + strlen(name)] == ':') count++;
  }
  return count;
}

static void check_lines(const char *head, size_t length) {
  for (size_t i = 0; i < length; i++) {
    if (head[i] == '\n') REQUIRE(i > 0 && head[i - 1] == '\r');
    if (head[i] == '\r') REQUIRE(i + 1 < length && head[i + 1] == '\n');
  }
}

static void try_request(const uint8_t *data, size_t size, size_t room) {
  struct request request = {0};
  char *head = copy_text(data, size);
  char value[32];
  head_value(head, "Content-Length", value, sizeof value);
  struct request_body body = {0};
  bool is_head = strstr(head, "\r\n\r\n") != NULL && head_read_request(head, &request);
  if (is_head && head_read_body(head, &body)) {
    REQUIRE(!body.switches || body.length == 0);
    char *out = malloc(room + 1);
    if (out == NULL) abort();
    REQUIRE(request.target[0] == '/' && request.path_length <= strlen(request.target));
    REQUIRE(strpbrk(request.target, " \r\n") == NULL && strpbrk(request.method, " \r\n") == NULL);
    size_t length = head_for_workload(head, &place, request.method, request.target, body.switches, out, room);
    REQUIRE(length <= room);
    out[length] = '\0';
    if (length > 0) {
      // One head, and nothing behind it.
      REQUIRE(strstr(out, "\r\n\r\n") == out + length - 4 && strlen(out) == length);
      check_lines(out, length);
      REQUIRE(count_headers(out, "Host") == 1 && count_headers(out, "X-Volant-Api-Key") == 0);
      if (!body.switches) REQUIRE(count_headers(out, "Connection") == 1 && count_headers(out, "Upgrade") == 0);
    }
    free(out);
  }
  free(head);
}

// In pieces of `piece` bytes. Returns the length.
static size_t take_in_pieces(const char *answer, size_t size, size_t piece, char *out) {
  struct answer_head state = {0};
  size_t used = 0;
  for (size_t at = 0; at < size; at += piece) {
    size_t length = size - at < piece ? size - at : piece;
    used += head_take_answer(&state, answer + at, length, out + used);
  }
  return used;
}

static void try_answer(const uint8_t *data, size_t size, size_t piece) {
  char *answer = malloc(size + 1), *whole = malloc(2 * size + 1), *pieces = malloc(2 * size + 1);
  if (answer == NULL || whole == NULL || pieces == NULL) abort();
  if (size > 0) memcpy(answer, data, size);
  size_t length = take_in_pieces(answer, size, size + 1, whole);
  REQUIRE(take_in_pieces(answer, size, piece, pieces) == length);
  REQUIRE(memcmp(whole, pieces, length) == 0);
  whole[length] = '\0';
  const char *end = strstr(whole, "\r\n\r\n");
  for (size_t i = 0; end != NULL && i < (size_t)(end - whole); i++) {
    if (whole[i] == '\n') REQUIRE(i > 0 && whole[i - 1] == '\r');
  }
  free(answer);
  answer = malloc(size > 0 ? size : 1);
  if (answer == NULL) abort();
  if (size > 0) memcpy(answer, data, size);
  head_is_success(answer, size);
  free(answer);
  free(whole);
  free(pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct input input = {data, size};
  unsigned number = take_number(&input);
  try_request(input.data, input.size, number);
  try_answer(input.data, input.size, number % 64 + 1);
  return 0;
}
