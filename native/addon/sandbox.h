// addon: the sandbox of a launched process: a user of its own, only the named capabilities, and a root directory with only
// what it was given.
#pragma once

#include <napi.h>
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "child_failure.h"
#include "view_template.h"

namespace volant {

class Sandbox {
 public:
  /**
   * Reads `sandbox` of a launch (see native.ts). Throws if a path is wrong, or if the host forbids a step of making sandboxes.
   */
  Sandbox(Napi::Env env, const Napi::Object& options);

  [[nodiscard]] uid_t uid() const { return uid_; }

  /**
   * Called in the child, as root. Sets limits, enters the namespaces, makes the view the root with `directory` as the working
   * directory, and changes the user. Privileges cannot be regained. Async-signal-safe. Returns false, with the reason, if a
   * step fails.
   */
  bool Enter(const char* directory, ChildFailure* failure);

 private:
  struct Binding {
    std::string source;
    std::string target;
    bool writable;
    // The descriptor of the copied mount, in the child.
    int tree;
  };
  struct Node {
    std::string path;
    mode_t mode;
    dev_t device;
    bool owned;
  };

  void AddParents(const std::string& target);
  void AddBinding(Napi::Env env, const std::string& path, bool writable);
  void AddDevice(Napi::Env env, const std::string& path, bool owned);
  bool Limit(ChildFailure* failure) const;
  bool CopyMounts(ChildFailure* failure);
  bool EnterNamespaces(ChildFailure* failure) const;
  bool EnterView(const char* directory, ChildFailure* failure) const;
  bool Furnish(ChildFailure* failure) const;
  bool BecomeUser(ChildFailure* failure) const;

  uid_t uid_;
  uint64_t capabilities_;
  bool host_network_;
  uint64_t tasks_max_;
  uint64_t files_max_;
  // 0: the limit of the daemon.
  uint64_t locked_bytes_max_;
  // Parents come first.
  std::vector<std::string> directories_;
  std::vector<std::string> files_;
  std::vector<Node> nodes_;
  std::vector<Binding> bindings_;
  // The template's. It outlives all sandboxes.
  const ViewTemplate* template_;
  std::vector<std::string> moved_from_;
  std::vector<std::string> moved_to_;
  // Paths of the template's namespaces. The child has none of the daemon's descriptors.
  std::string mount_namespace_;
  std::string network_namespace_;
  std::string ipc_namespace_;
};

}  // namespace volant
