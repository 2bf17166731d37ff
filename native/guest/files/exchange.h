// guest: one request about files and its answer, as a process of its own sees them: it waits for what is slow, and ends with
// its answer. There is one exchange in each process.
#ifndef VOLANT_GUEST_EXCHANGE_H
#define VOLANT_GUEST_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

// Bytes that are read and written in one piece.
#define PIECE_BYTES 65536

// Takes the connection over. `head` is the request's head with what was read behind it.
void exchange_begin(int fd, const char *head, size_t head_length, size_t length);
// Whether the answer has no body.
bool exchange_is_head(void);
// The value of a header of the request, truncated to the buffer. Returns false if there is none.
bool exchange_header(const char *name, char *value, size_t size);
// Reads from the body of the request. Returns 0 at its end. A body that is aborted is a failure, and ends the process.
size_t exchange_read(void *buffer, size_t size);
// `clean` is called before the process ends by any failure: of the request, of the client, or in the middle of the answer.
void exchange_on_failure(void (*clean)(void));
// Adds a header to the answer. Must be called before the answer is begun.
void exchange_add_header(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Begins an answer whose body has this many bytes, or is chunked if it is negative.
void exchange_begin_answer(int status, const char *reason, const char *type, long long length);
// Writes a part of the body. A client that is gone ends the process.
void exchange_write(const void *data, size_t length);
// Sends what was written of a chunked body so far.
void exchange_flush(void);
// Waits until the descriptor can be read, at most this time if it is not negative. Returns whether it can. A client that is gone
// ends the process.
bool exchange_wait(int fd, int timeout_ms);
// Ends the process after the answer is complete.
void exchange_end(void) __attribute__((noreturn));
// Ends the process so that the client sees that the answer is incomplete.
void exchange_break(void) __attribute__((noreturn));
// A whole answer with a text, and the end of the process.
void exchange_answer(int status, const char *reason, const char *type, const char *body) __attribute__((noreturn));
// An error, and the end of the process: `code` is the daemon's, `subject` what it is about or NULL, `why` a part of a sentence.
void exchange_fail(int status, const char *code, const char *subject, const char *why) __attribute__((noreturn));
// The same for an errno.
void exchange_fail_errno(int error, const char *subject) __attribute__((noreturn));

#endif
