// addon: the namespaces that every sandbox starts from: a mount namespace with the host's programs and libraries
// and nothing else of its files, a network without links, and an IPC namespace.
#pragma once

#include <string>
#include <vector>

#include "child_failure.h"

namespace volant {

/** The directory of the template where a sandbox makes its own root. */
inline constexpr const char* kViewRoot = "/view";

struct ViewTemplate {
  struct Link {
    std::string target;
    std::string path;
  };
  // Descriptors of namespaces; open as long as the process lives.
  int mount = -1;
  int network = -1;
  int ipc = -1;
  // What is mounted in the template's root and moves into a sandbox's: usr, etc/ld.so.cache.
  std::vector<std::string> mounts;
  // Directories of a sandbox that these need.
  std::vector<std::string> directories;
  // Empty files of a sandbox that are mounted over.
  std::vector<std::string> files;
  std::vector<Link> links;
};

/**
 * Made once and shared by all threads of the process. nullptr, and why, where the host forbids one of the steps;
 * the next call tries again.
 */
const ViewTemplate* TemplateOfViews(ChildFailure* failure);

}  // namespace volant
