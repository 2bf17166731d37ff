// addon: how code that runs between clone and exec, or on a thread of its own, says what failed: there it can
// neither throw nor allocate.
#pragma once

namespace volant {

struct ChildFailure {
  // The system call; nullptr when nothing has failed. Both texts outlive the call.
  const char* step = nullptr;
  const char* subject = nullptr;
  int err = 0;
};

}  // namespace volant
