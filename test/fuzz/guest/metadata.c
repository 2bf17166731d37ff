// fuzz: members of the metadata document by the path of a request. Whatever is asked of whatever document, the answer is one text
// or none, and the document stays as it is. An input is the length of the path, the path, and the document.
#include "fuzz.h"
#include "metadata/document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct input input = {data, size};
  size_t length = take_byte(&input);
  if (length > input.size) length = input.size;
  char *path = copy_text(input.data, length);
  char *document = copy_text(input.data + length, input.size - length);
  REQUIRE(document_set(document));
  char *text = document_member(path, length);
  REQUIRE(strcmp(document_text(), document) == 0);
  if (text != NULL) REQUIRE(strlen(text) <= strlen(document) + 32);
  // A prefix of the path is no longer read than it is.
  free(document_member(path, length / 2));
  free(text);
  free(document);
  free(path);
  return 0;
}
