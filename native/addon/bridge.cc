// addon: the bridge whose ports are the taps of guests, and the host's address on it.
#include <linux/sockios.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>

#include "address.h"
#include "errno_error.h"
#include "exports.h"
#include "link.h"

namespace volant {

namespace {

/**
 * Gives the bridge a MAC address of its own. Without one a bridge takes the lowest address of its ports and changes it with
 * them, and then the guests' ARP entries for their gateway are wrong.
 */
void FixHardwareAddress(Napi::Env env, int control, const std::string& name, in_addr address) {
  ifreq request = RequestFor(name);
  request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
  auto* octets = reinterpret_cast<unsigned char*>(request.ifr_hwaddr.sa_data);
  octets[0] = 0x02;
  octets[1] = 0x76;
  std::memcpy(octets + 2, &address, 4);
  // SAFETY: as above.
  if (::ioctl(control, SIOCSIFHWADDR, &request) < 0) {
    throw ErrnoError(env, errno, "ioctl(SIOCSIFHWADDR)", name);
  }
}

}  // namespace

Napi::Value BridgeEnsure(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  constexpr std::string_view usage = "bridgeEnsure(name: string, address: string, prefixLength: number)";
  if (info.Length() != 3) throw UsageError(env, usage);
  const std::string name = RequireLinkName(info[0], usage);
  const InterfaceAddress address = RequireAddress(info[1], info[2], usage);
  UniqueFd control = OpenControlSocket(env);
  // SAFETY: control is open and owned here; the argument is a terminated name of valid length.
  const bool created = ::ioctl(control.get(), SIOCBRADDBR, name.c_str()) == 0;
  if (!created && errno != EEXIST) throw ErrnoError(env, errno, "ioctl(SIOCBRADDBR)", name);
  try {
    if (created) FixHardwareAddress(env, control.get(), name, address.address);
    AddAddress(env, name, address);
    BringUp(env, control.get(), name);
  } catch (...) {
    // SAFETY: as above. A bridge that is half made must not stay.
    if (created) ::ioctl(control.get(), SIOCBRDELBR, name.c_str());
    throw;
  }
  return env.Undefined();
}

Napi::Value BridgeDelete(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  constexpr std::string_view usage = "bridgeDelete(name: string)";
  if (info.Length() != 1) throw UsageError(env, usage);
  const std::string name = RequireLinkName(info[0], usage);
  if (::if_nametoindex(name.c_str()) == 0) return env.Undefined();
  UniqueFd control = OpenControlSocket(env);
  ifreq request = RequestFor(name);
  // SAFETY: control is open and owned here. The kernel deletes a bridge only when it is down.
  if (::ioctl(control.get(), SIOCGIFFLAGS, &request) == 0) {
    request.ifr_flags = static_cast<short>(request.ifr_flags & ~IFF_UP);
    ::ioctl(control.get(), SIOCSIFFLAGS, &request);
  }
  if (::ioctl(control.get(), SIOCBRDELBR, name.c_str()) < 0 && errno != ENXIO) {
    throw ErrnoError(env, errno, "ioctl(SIOCBRDELBR)", name);
  }
  return env.Undefined();
}

}  // namespace volant
