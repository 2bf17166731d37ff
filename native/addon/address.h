// addon: IPv4 addresses of interfaces.
#pragma once

#include <napi.h>
#include <netinet/in.h>

#include <string>
#include <string_view>

namespace volant {

struct InterfaceAddress {
  in_addr address;
  int prefix_length;
};

/** Throws a TypeError if an argument is no IPv4 address or no prefix length. */
InterfaceAddress RequireAddress(const Napi::Value& address, const Napi::Value& prefix_length,
                                std::string_view usage);

/** Adds an address to an interface. An address that it has already is no error. Throws on failure. */
void AddAddress(Napi::Env env, const std::string& name, const InterfaceAddress& address);

}  // namespace volant
