// addon: taps. They are made persistent: the descriptor that made one closes with the call, the tap
// stays until it is deleted.
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <thread>

#include "errno_error.h"
#include "exports.h"
#include "link.h"

namespace volant {

namespace {

/** Makes the tap and a port of the bridge; throws at the first thing that fails. */
void Attach(Napi::Env env, int tun, const std::string& name, const std::string& bridge) {
  UniqueFd control = OpenControlSocket(env);
  const unsigned index = ::if_nametoindex(name.c_str());
  if (index == 0) throw ErrnoError(env, errno, "if_nametoindex", name);
  ifreq request = RequestFor(bridge);
  request.ifr_ifindex = static_cast<int>(index);
  // SAFETY: control is open and owned here; request is a zeroed ifreq with the bridge's name.
  if (::ioctl(control.get(), SIOCBRADDIF, &request) < 0) {
    const int err = errno;
    // EBUSY: it is a port already, which is what was asked for when the tap is an old one of ours.
    if (err != EBUSY) throw ErrnoError(env, err, "ioctl(SIOCBRADDIF)", bridge);
  }
  BringUp(env, control.get(), name);
  // SAFETY: tun is the open descriptor of this tap; the argument is a plain integer.
  if (::ioctl(tun, TUNSETPERSIST, 1) < 0) throw ErrnoError(env, errno, "ioctl(TUNSETPERSIST)", name);
}

/**
 * Waits until nobody has the tap open. A process that another thread forks at the wrong moment has a
 * copy of every descriptor until it reaches its exec, and the hypervisor would find the tap busy. A tap
 * has a carrier exactly as long as someone has it open.
 */
void WaitUntilFree(Napi::Env env, const std::string& name) {
  constexpr int kAttempts = 1000;
  constexpr std::chrono::milliseconds kPause{1};
  UniqueFd control = OpenControlSocket(env);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    ethtool_value carrier{};
    carrier.cmd = ETHTOOL_GLINK;
    ifreq request = RequestFor(name);
    request.ifr_data = reinterpret_cast<char*>(&carrier);
    // SAFETY: control is open and owned here; request points to a command that outlives the call.
    if (::ioctl(control.get(), SIOCETHTOOL, &request) < 0) {
      throw ErrnoError(env, errno, "ioctl(ETHTOOL_GLINK)", name);
    }
    if (carrier.data == 0) return;
    std::this_thread::sleep_for(kPause);
  }
  throw ErrnoError(env, EBUSY, "tap", name);
}

}  // namespace

Napi::Value TapAttach(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  constexpr std::string_view usage = "tapAttach(name: string, bridge: string, owner: number)";
  if (info.Length() != 3 || !info[2].IsNumber()) throw UsageError(env, usage);
  const std::string name = RequireLinkName(info[0], usage);
  const std::string bridge = RequireLinkName(info[1], usage);
  UniqueFd tun(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!tun) throw ErrnoError(env, errno, "open", "/dev/net/tun");
  ifreq request = RequestFor(name);
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  // SAFETY: tun is open and owned by this scope; request is a zeroed ifreq with a terminated name.
  if (::ioctl(tun.get(), TUNSETIFF, &request) < 0) {
    throw ErrnoError(env, errno, "ioctl(TUNSETIFF)", name);
  }
  // A tap without an owner is everybody's who can open /dev/net/tun.
  const uint32_t owner = info[2].As<Napi::Number>().Uint32Value();
  // SAFETY: as above; the argument is a plain integer.
  if (::ioctl(tun.get(), TUNSETOWNER, owner) < 0) throw ErrnoError(env, errno, "ioctl(TUNSETOWNER)", name);
  // A new tap is not persistent yet: whatever throws from here on takes it away with its descriptor.
  Attach(env, tun.get(), name, bridge);
  tun.reset();
  WaitUntilFree(env, name);
  return env.Undefined();
}

}  // namespace volant
