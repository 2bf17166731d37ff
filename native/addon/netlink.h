// addon: one request to the kernel by netlink, and its answer.
#pragma once

#include <cstddef>

namespace volant {

/**
 * Sends a request that asks for an acknowledgement (NLM_F_ACK) and waits for it. 0, or the errno of the
 * kernel's answer or of the socket.
 */
int Transact(int socket, const void* request, size_t size);

}  // namespace volant
