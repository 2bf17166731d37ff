// guest: formats a message of the agent and writes it to the console.
#include "base/say.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/console.h"

void say(const char *format, ...) {
  char line[512];
  int length = snprintf(line, sizeof line, "volant-agent: ");
  va_list arguments;
  va_start(arguments, format);
  int more = vsnprintf(line + length, sizeof line - (size_t)length - 1, format, arguments);
  va_end(arguments);
  if (more > 0) length += more < (int)sizeof line - length - 1 ? more : (int)sizeof line - length - 2;
  line[length++] = '\n';
  console_write(line, (size_t)length);
}
