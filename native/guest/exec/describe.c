// guest: an exec as JSON, for answers and for the end of an attached connection.
#include "exec/describe.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

static const char *word(bool is_true) {
  return is_true ? "true" : "false";
}

// A number, or null for -1.
static void put_count(char *text, size_t size, int count) {
  if (count < 0) snprintf(text, size, "null");
  else snprintf(text, size, "%d", count);
}

size_t describe_exec(const struct exec *exec, char *buffer, size_t size) {
  const struct ring *out = &exec->outputs[0].ring, *err = &exec->outputs[1].ring;
  char user[COMMAND_USER_BYTES_MAX * 6 + 1], code[16], signal[16];
  user[json_escape(user, sizeof user - 1, 0, exec->user, strlen(exec->user))] = '\0';
  put_count(code, sizeof code, exec->exit_code);
  put_count(signal, sizeof signal, exec->exit_signal);
  int length = snprintf(
      buffer, size,
      "{\"id\":\"%s\",\"argv\":[%s],\"user\":\"%s\",\"tty\":%s,\"pid\":%d,\"over\":%s,\"exit_code\":%s,\"exit_signal\":%s,"
      "\"timed_out\":%s,\"started_at\":\"%s\",\"ended_at\":\"%s\",\"stdin_open\":%s,\"stdin_bytes\":%llu,"
      "\"stdout_start\":%llu,\"stdout_end\":%llu,\"stderr_start\":%llu,\"stderr_end\":%llu}",
      exec->id, exec->command, user, word(exec->tty), exec->pid, word(exec->is_over), code, signal,
      word(exec->timed_out), exec->started_at, exec->ended_at, word(exec->input_open),
      (unsigned long long)exec->input_bytes, (unsigned long long)out->start, (unsigned long long)out->end,
      (unsigned long long)err->start, (unsigned long long)err->end);
  return length < 0 || (size_t)length >= size ? 0 : (size_t)length;
}
