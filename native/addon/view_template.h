// addon: the namespaces that all sandboxes start from: a mount namespace with the host's programs and libraries and no other
// files, a network namespace without links, and an IPC namespace.
#pragma once

#include <string>
#include <vector>

#include "child_failure.h"

namespace volant {

/** The directory of the template in which a sandbox makes its own root. */
inline constexpr const char* kViewRoot = "/view";

struct ViewTemplate {
  struct Link {
    std::string target;
    std::string path;
  };
  // Descriptors of the namespaces. They stay open until the process ends.
  int mount = -1;
  int network = -1;
  int ipc = -1;
  // Paths that are mounted in the template's root and are moved into the root of a sandbox: usr, etc/ld.so.cache.
  std::vector<std::string> mounts;
  // Directories that the root of a sandbox needs for them.
  std::vector<std::string> directories;
  // Empty files in the root of a sandbox, as mount points.
  std::vector<std::string> files;
  std::vector<Link> links;
};

/**
 * Makes the template once for all threads of the process. Returns nullptr, with the reason, if the host forbids a step. The
 * next call tries again.
 */
const ViewTemplate* TemplateOfViews(ChildFailure* failure);

}  // namespace volant
