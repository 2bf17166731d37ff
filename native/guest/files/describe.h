// guest: the facts about a file in the forms of an answer: JSON, headers, the tag of a version. And what a request says about the
// version that it wants.
#ifndef VOLANT_GUEST_DESCRIBE_H
#define VOLANT_GUEST_DESCRIBE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#define TAG_BYTES 96
// For a name of 255 bytes and a target of 4095, each escaped.
#define DESCRIPTION_BYTES 32768

// The tag of this version of a file, with its quotes.
void describe_tag(const struct stat *facts, char tag[TAG_BYTES]);
// An HTTP date.
void describe_date(time_t time, char *text, size_t size);
// file, directory, link, character, block, fifo or socket.
const char *describe_type(mode_t mode);
// Adds a member of a JSON object, with a comma, and the same escaped as `member`_escaped if the path is not UTF-8. Returns
// the new length. A character takes up to 6 bytes in each form, and the rest less than 128.
size_t describe_path(char *buffer, size_t size, size_t length, const char *member, const char *path);
// A JSON object. `target` is that of a link, or NULL. Returns its length.
size_t describe_json(char *buffer, size_t size, const char *name, const struct stat *facts, const char *target);
// Adds the headers of a file to the answer.
void describe_headers(const struct stat *facts);
// Ends the exchange with 412 or 304 if the conditions of the request do not hold. `facts` is NULL if there is no file.
void describe_check_conditions(const struct stat *facts, bool reads, const char *path);
// The part of a file that the request asks for. Returns false for the whole file. Ends the exchange with 416 for a part that is
// not there.
bool describe_range(const struct stat *facts, long long *first, long long *last);
// Reads the form bytes=FIRST-LAST. Returns 0 if the value is none of these forms, -1 if the part is not there, else 1.
int describe_read_range(const char *value, long long size, long long *first, long long *last);

#endif
