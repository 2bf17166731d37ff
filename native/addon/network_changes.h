// addon: the kernel's notifications about links, addresses and tables of nftables that are lost. New ones are not reported.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "unique_fd.h"

namespace volant {

/** The kinds of changes, with the names that JavaScript sees (native.ts). */
struct NetworkChange {
  std::string_view kind;
  std::string name;
};

/** Sockets for notifications about links and addresses, and about nftables. Invalid, with errno, if the kernel refuses. */
UniqueFd OpenRouteChanges();
UniqueFd OpenTableChanges();

/**
 * All changes that a socket has received. Of each link only the last change, and none if it is in order by then. Never
 * blocks.
 */
std::vector<NetworkChange> ReadRouteChanges(int socket);
std::vector<NetworkChange> ReadTableChanges(int socket);

}  // namespace volant
