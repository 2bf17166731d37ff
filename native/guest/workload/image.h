// guest: what a container image says of its program. The daemon has written it into the root disk that it made of the image.
#ifndef VOLANT_GUEST_IMAGE_H
#define VOLANT_GUEST_IMAGE_H

#include "base/json.h"

// The settings as an object with members of a workload: entrypoint, args, env, user, workdir, stop_signal, port. Returns NULL
// if the root file system is not that of an image, or they cannot be read. They are read once and kept.
const struct json *image_settings(void);

#endif
