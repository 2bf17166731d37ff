// addon: the exports, one function each. Their promises are documented for JavaScript in
// src/host/jobs/native.ts.
#pragma once

#include <napi.h>

namespace volant {

Napi::Value TapsDelete(const Napi::CallbackInfo& info);
Napi::Value TapsSettle(const Napi::CallbackInfo& info);
Napi::Value SetElementsChange(const Napi::CallbackInfo& info);
Napi::Value LinkNames(const Napi::CallbackInfo& info);
Napi::Value Links(const Napi::CallbackInfo& info);
Napi::Value LinkJoin(const Napi::CallbackInfo& info);
Napi::Value BridgeEnsure(const Napi::CallbackInfo& info);
Napi::Value BridgeDelete(const Napi::CallbackInfo& info);
Napi::Value AddressDelete(const Napi::CallbackInfo& info);
Napi::Value LinkAddresses(const Napi::CallbackInfo& info);
Napi::Value FlowsDelete(const Napi::CallbackInfo& info);
Napi::Value FlowsForget(const Napi::CallbackInfo& info);
Napi::Value FlowsFrom(const Napi::CallbackInfo& info);
Napi::Value Launch(const Napi::CallbackInfo& info);
Napi::Value SandboxTry(const Napi::CallbackInfo& info);
Napi::Value HypervisorsFind(const Napi::CallbackInfo& info);
Napi::Value PidfdOpen(const Napi::CallbackInfo& info);
Napi::Value PidfdSignal(const Napi::CallbackInfo& info);
Napi::Value CloseFd(const Napi::CallbackInfo& info);
Napi::Value ThreadRealTime(const Napi::CallbackInfo& info);
Napi::Value ThreadCpuMs(const Napi::CallbackInfo& info);
Napi::Value TscKhz(const Napi::CallbackInfo& info);
Napi::Value EndProcess(const Napi::CallbackInfo& info);
Napi::Value LockFile(const Napi::CallbackInfo& info);
Napi::Value ExitWatchStart(const Napi::CallbackInfo& info);
Napi::Value ExitWatchAdd(const Napi::CallbackInfo& info);
Napi::Value NetworkWatchStart(const Napi::CallbackInfo& info);
Napi::Value ExitWatchStop(const Napi::CallbackInfo& info);
Napi::Value ListeningSockets(const Napi::CallbackInfo& info);
Napi::Value ListenBacklog(const Napi::CallbackInfo& info);
Napi::Value ListenHandles(const Napi::CallbackInfo& info);
Napi::Value FdReplace(const Napi::CallbackInfo& info);
Napi::Value VfioProbeGroup(const Napi::CallbackInfo& info);
Napi::Value XattrSet(const Napi::CallbackInfo& info);
Napi::Value NodeMake(const Napi::CallbackInfo& info);

}  // namespace volant
