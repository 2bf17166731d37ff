// guest: helpers for texts: UTF-8, JSON strings, times.
#include "base/text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

void format_time(char *buffer, size_t size) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  struct tm parts;
  gmtime_r(&now.tv_sec, &parts);
  size_t length = strftime(buffer, size, "%Y-%m-%dT%H:%M:%S", &parts);
  snprintf(buffer + length, size - length, ".%03ldZ", now.tv_nsec / 1000000);
}

bool is_visible_text(const char *text) {
  for (; *text != '\0'; text++) {
    if (*text <= ' ' || *text > '~') return false;
  }
  return true;
}

size_t utf8_length(const char *text, size_t left) {
  const unsigned char *at = (const unsigned char *)text;
  // The first byte determines the length and the range of the second byte (Unicode, table 3-7).
  size_t length = at[0] < 0x80 ? 1 : at[0] >= 0xc2 && at[0] < 0xe0 ? 2 : (at[0] & 0xf0) == 0xe0 ? 3
                  : at[0] >= 0xf0 && at[0] < 0xf5 ? 4 : 0;
  if (length == 0 || length > left) return 0;
  unsigned char least = at[0] == 0xe0 ? 0xa0 : at[0] == 0xf0 ? 0x90 : 0x80;
  unsigned char most = at[0] == 0xed ? 0x9f : at[0] == 0xf4 ? 0x8f : 0xbf;
  for (size_t i = 1; i < length; i++, least = 0x80, most = 0xbf) {
    if (at[i] < least || at[i] > most) return 0;
  }
  return length;
}

size_t utf8_whole(const char *text, size_t length) {
  for (size_t tail = 1; tail <= 3 && tail <= length; tail++) {
    unsigned char byte = (unsigned char)text[length - tail];
    size_t wanted = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    if (byte >= 0xc0) return wanted > tail ? length - tail : length;
    if (byte < 0x80) return length;
  }
  return length;
}

size_t json_escape(char *buffer, size_t size, size_t length, const char *text, size_t text_length) {
  for (size_t i = 0; i < text_length;) {
    unsigned char c = (unsigned char)text[i];
    size_t taken = utf8_length(text + i, text_length - i);
    char piece[8];
    size_t piece_length = 0;
    if (c == '"' || c == '\\') {
      piece[piece_length++] = '\\';
      piece[piece_length++] = (char)c;
    } else if (c < 0x20 || c == 0x7f) {
      piece_length = (size_t)snprintf(piece, sizeof piece, "\\u%04x", c);
    } else if (taken == 0) {
      // U+FFFD, the replacement character.
      piece_length = (size_t)snprintf(piece, sizeof piece, "\xef\xbf\xbd");
    } else {
      memcpy(piece, text + i, taken);
      piece_length = taken;
    }
    if (length + piece_length >= size) break;
    memcpy(buffer + length, piece, piece_length);
    length += piece_length;
    i += taken == 0 ? 1 : taken;
  }
  buffer[length] = '\0';
  return length;
}
