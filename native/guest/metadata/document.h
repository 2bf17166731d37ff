// guest: what the daemon has said of the VM, as JSON, and its members as texts. How it comes and who asks is not known here.
#ifndef VOLANT_GUEST_DOCUMENT_H
#define VOLANT_GUEST_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>

// Replaces the document by a copy of the text. Returns false if memory is short; the earlier one stays then.
bool document_set(const char *json);
// The whole document. NULL before the first one.
const char *document_text(void);
// A member by a path of `length` bytes: its name, or the name of an object, "/" and the rest as the name of a member of that.
// Strings, numbers and booleans are given as texts, which the caller frees. Returns NULL for everything else.
char *document_member(const char *path, size_t length);

#endif
