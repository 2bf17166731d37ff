// addon: what a launched process may be and see: a user of its own, no capabilities but named ones, and a root that
// holds what it was given and nothing else.
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
   * Reads `sandbox` of a launch (see native.ts). Throws what is wrong with the paths, and where the host forbids
   * sandboxes the step that it forbids.
   */
  Sandbox(Napi::Env env, const Napi::Object& options);

  [[nodiscard]] uid_t uid() const { return uid_; }

  /**
   * In the child, as root: limits, namespaces, the view as the root with `directory` as the working directory, and at
   * last the user. What the process had as root is gone for good. Async-signal-safe. false, and why, when a step fails.
   */
  bool Enter(const char* directory, ChildFailure* failure);

 private:
  struct Binding {
    std::string source;
    std::string target;
    bool writable;
    // Of the copied mount; in the child.
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
  // 0: as the daemon has it.
  uint64_t locked_bytes_max_;
  // Parents first.
  std::vector<std::string> directories_;
  std::vector<std::string> files_;
  std::vector<Node> nodes_;
  std::vector<Binding> bindings_;
  // Of the template; outlives every sandbox.
  const ViewTemplate* template_;
  std::vector<std::string> moved_from_;
  std::vector<std::string> moved_to_;
  // The template's namespaces, as the child finds them: it has none of the daemon's descriptors.
  std::string mount_namespace_;
  std::string network_namespace_;
  std::string ipc_namespace_;
};

}  // namespace volant
