// guest: base64url, the form of volant.manifest on the kernel command line.
#ifndef VOLANT_GUEST_BASE64URL_H
#define VOLANT_GUEST_BASE64URL_H

#include <sys/types.h>

// Decodes base64url without padding (RFC 4648, section 5). Returns the length of *result, which the caller frees, or -1 if
// the text is malformed or memory is short.
ssize_t base64url_decode(const char *text, unsigned char **result);

#endif
