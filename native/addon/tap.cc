// addon: makes taps. The process that will use a tap makes it between clone and exec, so that it is opened once: a tap that
// is closed and opened again waits for a grace period of the kernel in between. Taps are persistent: they stay until they are
// deleted.
#include "tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "errno_error.h"
#include "link.h"

namespace volant {

namespace {

constexpr std::string_view kUsage = "tap: { name, bridge, owner: number }";
constexpr const char* kDevice = "/dev/net/tun";

bool Failed(ChildFailure* failure, const char* step, const char* subject) {
  *failure = {step, subject, errno};
  return false;
}

}  // namespace

Tap::Tap(const Napi::Object& options)
    : tap_request_(RequestFor(RequireLinkName(options.Get("name"), kUsage))),
      bridge_request_(RequestFor(RequireLinkName(options.Get("bridge"), kUsage))) {
  const Napi::Value owner = options.Get("owner");
  if (!owner.IsNumber()) throw UsageError(options.Env(), kUsage);
  owner_ = owner.As<Napi::Number>().Uint32Value();
}

int Tap::Open(ChildFailure* failure) const {
  const int tun = ::open(kDevice, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (tun < 0) {
    Failed(failure, "tap: open", kDevice);
    return -1;
  }
  const int control = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (control < 0) {
    Failed(failure, "tap: socket", tap_request_.ifr_name);
    return -1;
  }
  const bool is_attached = Attach(tun, control, failure);
  ::close(control);
  return is_attached ? tun : -1;
}

/** A new tap becomes persistent last. If an earlier step fails, it goes with its descriptor. */
bool Tap::Attach(int tun, int control, ChildFailure* failure) const {
  ifreq request = tap_request_;
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  // SAFETY, here and below: both descriptors are open and the child's own; each request is a copy with a terminated name.
  if (::ioctl(tun, TUNSETIFF, &request) < 0) return Failed(failure, "tap: ioctl(TUNSETIFF)", tap_request_.ifr_name);
  // Anybody who can open /dev/net/tun may use a tap without an owner.
  if (::ioctl(tun, TUNSETOWNER, owner_) < 0) return Failed(failure, "tap: ioctl(TUNSETOWNER)", tap_request_.ifr_name);
  request = tap_request_;
  if (::ioctl(control, SIOCGIFINDEX, &request) < 0) return Failed(failure, "tap: ioctl(SIOCGIFINDEX)", tap_request_.ifr_name);
  ifreq port = bridge_request_;
  port.ifr_ifindex = request.ifr_ifindex;
  // EBUSY: the tap is a port already. That is correct for a tap that an earlier launch made.
  if (::ioctl(control, SIOCBRADDIF, &port) < 0 && errno != EBUSY) {
    return Failed(failure, "tap: ioctl(SIOCBRADDIF)", bridge_request_.ifr_name);
  }
  request = tap_request_;
  if (::ioctl(control, SIOCGIFFLAGS, &request) < 0) return Failed(failure, "tap: ioctl(SIOCGIFFLAGS)", tap_request_.ifr_name);
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  if (::ioctl(control, SIOCSIFFLAGS, &request) < 0) return Failed(failure, "tap: ioctl(SIOCSIFFLAGS)", tap_request_.ifr_name);
  return ::ioctl(tun, TUNSETPERSIST, 1) == 0 || Failed(failure, "tap: ioctl(TUNSETPERSIST)", tap_request_.ifr_name);
}

}  // namespace volant
