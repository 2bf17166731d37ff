// addon: the result of code that runs between clone and exec, or on a thread of its own, where it can neither throw nor allocate.
#pragma once

namespace volant {

struct ChildFailure {
  // The system call that failed, or nullptr. Both texts outlive the call.
  const char* step = nullptr;
  const char* subject = nullptr;
  int err = 0;
};

}  // namespace volant
