// guest: what the workload prints: split into lines for the log, and unchanged for the console.
#include "workload/output.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/console.h"
#include "base/files.h"
#include "base/loop.h"
#include "base/text.h"
#include "workload/log_ring.h"

#define CONSOLE_RETRY_MS 20
#define PIPE_BYTES 65536

// One of stdout and stderr, split into lines.
struct output {
  struct source source;
  const char *name;
  bool open;
  size_t length;
  char line[LOG_LINE_BYTES_MAX + 1];
};

static struct output outputs[2] = {{.name = "stdout"}, {.name = "stderr"}};

static void end_line(struct output *output) {
  log_append(output->name, output->line, output->length);
  output->line[output->length++] = '\n';
  console_write(output->line, output->length);
  output->length = 0;
}

// Cuts a line that is too long for the log, between two characters. The console gets it unchanged.
static void cut_line(struct output *output) {
  size_t length = utf8_whole(output->line, output->length);
  log_append(output->name, output->line, length);
  console_write(output->line, length);
  output->length -= length;
  memmove(output->line, output->line + length, output->length);
}

static void take_text(struct output *output, const char *text, size_t length) {
  for (size_t i = 0; i < length; i++) {
    if (text[i] == '\n') {
      end_line(output);
      continue;
    }
    if (output->length == LOG_LINE_BYTES_MAX) cut_line(output);
    output->line[output->length++] = text[i];
  }
  log_announce();
}

static void close_output(struct output *output) {
  if (!output->open) return;
  if (output->length > 0) end_line(output);
  loop_remove(&output->source);
  close(output->source.fd);
  output->open = false;
}

static void resume_output(void *context) {
  struct output *output = context;
  if (!output->open) return;
  if (console_has_room()) loop_change(&output->source, EPOLLIN);
  else loop_timer(CONSOLE_RETRY_MS, resume_output, output);
}

static void on_output(void *context, uint32_t events) {
  struct output *output = context;
  char text[4096];
  (void)events;
  // A slow console slows the workload down, as a terminal would. No line is lost.
  if (!console_has_room()) {
    loop_change(&output->source, 0);
    loop_timer(CONSOLE_RETRY_MS, resume_output, output);
    return;
  }
  ssize_t count = read(output->source.fd, text, sizeof text);
  if (count > 0) take_text(output, text, (size_t)count);
  else if (count == 0 || errno != EAGAIN) close_output(output);
}

static void open_output(struct output *output, int fd) {
  close_output(output);
  set_nonblocking(fd);
  output->length = 0;
  output->open = true;
  loop_add(&output->source, fd, EPOLLIN, on_output, output);
}

void outputs_open(int out, int err) {
  open_output(&outputs[0], out);
  open_output(&outputs[1], err);
}

static void read_rest(struct output *output) {
  char text[4096];
  for (int i = 0; i < PIPE_BYTES / (int)sizeof text && output->open; i++) {
    ssize_t count = read(output->source.fd, text, sizeof text);
    // The last line may have no line end.
    if (count == 0) close_output(output);
    if (count <= 0) return;
    take_text(output, text, (size_t)count);
  }
}

void outputs_read_rest(void) {
  for (int i = 0; i < 2; i++) read_rest(&outputs[i]);
}
