// addon: what taps and bridges share: the control socket and flags of an interface.
#pragma once

#include <napi.h>
#include <net/if.h>

#include <string>

#include "unique_fd.h"

namespace volant {

/** A socket for the SIOC* requests; the kind does not matter to the kernel. */
UniqueFd OpenControlSocket(Napi::Env env);

/** A zeroed request that names an interface. */
ifreq RequestFor(const std::string& name);

/** Sets IFF_UP. Throws. */
void BringUp(Napi::Env env, int control, const std::string& name);

}  // namespace volant
