// guest: messages to the reader of the guest's console.
#ifndef VOLANT_GUEST_SAY_H
#define VOLANT_GUEST_SAY_H

// Writes one line to the console, with the agent's name in front. A message that is too long is truncated.
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
