// addon: the tap of a process that is being launched.
#pragma once

#include <napi.h>
#include <net/if.h>

#include <cstdint>

#include "child_failure.h"

namespace volant {

class Tap {
 public:
  /** Reads `tap` of a launch (see native.ts). Throws if a name is wrong. */
  explicit Tap(const Napi::Object& options);

  /**
   * Called in the child, as root. Makes the tap, or opens it where it exists: a port of its bridge, up, and of its owner. Returns
   * its descriptor, which is closed at an exec, or -1 with the reason. Async-signal-safe.
   */
  int Open(ChildFailure* failure) const;

 private:
  bool Attach(int tun, int control, ChildFailure* failure) const;

  // Requests with nothing but the name.
  ifreq tap_request_;
  ifreq bridge_request_;
  uint32_t owner_ = 0;
};

}  // namespace volant
