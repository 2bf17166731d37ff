// guest: helpers for texts: UTF-8, JSON strings, times.
#ifndef VOLANT_GUEST_TEXT_H
#define VOLANT_GUEST_TEXT_H

#include <stdbool.h>
#include <stddef.h>

// The current time in UTC with milliseconds, as RFC 3339 writes it.
void format_time(char *buffer, size_t size);
// Whether a text consists of printable ASCII characters without spaces, as the target of a request line does.
bool is_visible_text(const char *text);
// The number of bytes of the UTF-8 character at the start of text. Returns 0 if there is no valid character.
size_t utf8_length(const char *text, size_t left);
// The length of a text without an incomplete UTF-8 character at its end.
size_t utf8_whole(const char *text, size_t length);
// Appends the content of a JSON string, without quotes, to a buffer of `size` bytes that has `length` bytes in use.
// Bytes that are not UTF-8 become U+FFFD. What does not fit is left out. Returns the new length.
size_t json_escape(char *buffer, size_t size, size_t length, const char *text, size_t text_length);

#endif
