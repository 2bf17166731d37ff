// guest: reads what a container image says of its program. manifest.c puts it together with the manifest.
#include "workload/image.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/manifest_limits.h"
#include "base/say.h"
#include "system/rootfs.h"

static struct json *settings;
static bool is_read;

static struct json *read_settings(void) {
  struct stat found;
  FILE *file = fopen("/" IMAGE_SETTINGS_FILE, "re");
  if (file == NULL) return NULL;
  bool fits = fstat(fileno(file), &found) == 0 && S_ISREG(found.st_mode) && found.st_size <= MANIFEST_BYTES_MAX;
  char *text = fits ? malloc((size_t)found.st_size + 1) : NULL;
  struct json *json = NULL;
  if (text != NULL) {
    text[fread(text, 1, (size_t)found.st_size, file)] = '\0';
    json = json_parse(text);
  }
  free(text);
  fclose(file);
  if (json == NULL) say("/" IMAGE_SETTINGS_FILE " cannot be read: the image's own settings are not known");
  return json;
}

const struct json *image_settings(void) {
  if (!is_read) settings = read_settings();
  is_read = true;
  return settings;
}
